"""How fast bytes may be read, as people write it: `50MB`, `1.5GiB`, `unlimited`."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ecrate.operations.pace import Pace

_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([kKMG]?)(i?)B?(?:/s)?")
_POWERS: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3}


def parse_rate(text: str) -> float | None:
    """Give bytes a second, None for `unlimited`; an argparse type."""
    if text == "unlimited":
        return None
    match = _RATE.fullmatch(text)
    rate = 0.0
    if match is not None:
        rate = float(match[1]) * (1024.0 if match[3] else 1000.0) ** _POWERS[match[2]]
    if rate < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no rate, as 50MB (a second) or unlimited")
    return rate


def add_rate_option(parser: argparse.ArgumentParser, default: str, what: str) -> None:
    """Add `--rate`."""
    parser.add_argument(
        "--rate",
        type=parse_rate,
        default=parse_rate(default),
        metavar="BYTES",
        help=f"bytes a second that {what}, as 50MB, or unlimited ({default})",
    )


def make_pace(rate: float | None) -> Pace:
    """Give what keeps to the rate."""
    from ecrate.operations.pace import Pace

    return Pace(rate)
