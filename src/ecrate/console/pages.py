"""Templates, and how values are shown in them.

Whatever others wrote (names, labels, manifests, commands) goes through `shown`: escaped as Jinja2
does, and characters that would not show, or would turn others around, spelled out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jinja2 import Environment

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000
_SHORT: Final = 12
_MINUTE, _HOUR, _DAY, _MONTH = 60, 3600, 86_400, 45 * 86_400
# Controls but for tab and line feed, what reorders text (Unicode TR 9), what has no width, and
# halves of pairs.
_UNSEEN: Final = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
# What a page says was done. Its address names one of these, never the words.
TOLD: Final[Mapping[str, str]] = {
    "created": "The repository is there.",
    "saved": "Saved.",
    "locked": "Nothing is deleted from this repository now.",
    "unlocked": "The lock is off.",
    "deleted": "The repository is deleted.",
    "trashed": "The repository is deleted. The trash has it for now.",
    "restored": "The repository is back.",
    "image-deleted": "The image is deleted.",
    "scanning": "The image is going to be scanned.",
    "lifecycle-saved": "Saved. It is first carried out a period from now.",
    "policy-deleted": "The policy is gone.",
}
STATIC: Final[Mapping[str, str]] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "htmx.LICENSE.txt": "text/plain",
    "icon.svg": "image/svg+xml",
}


def shown(text: str) -> str:
    r"""Spell out, as `\\u202e`, what would not show as it is."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def read_static(name: str) -> bytes:
    """Give a file of `STATIC`."""
    return (resources.files("ecrate.console") / "static" / name).read_bytes()


class Pages:
    """The templates; Jinja2 is imported with the first page (40 ms that no start waits for)."""

    def __init__(self) -> None:
        self._environment: Environment | None = None

    def render(self, template: str, **values: Any) -> str:
        if self._environment is None:
            self._environment = _make_environment()
        return self._environment.get_template(template).render(**values)


def _make_environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    def finalize(value: Any) -> Any:
        return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("ecrate.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    versions = hashlib.sha256(b"".join(read_static(name) for name in STATIC)).hexdigest()[:_SHORT]
    environment.globals |= {"version": versions, "told_texts": TOLD}
    environment.filters |= {
        "bytes": human_bytes,
        "moment": moment,
        "ago": ago,
        "short": short_digest,
        "pretty": pretty,
    }
    return environment


def human_bytes(count: int) -> str:
    """Give 1234567 as `1.2 MB`; units are powers of 1000."""
    size, unit = float(count), 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{count} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def moment(seconds: float) -> str:
    """Give a time as `2026-11-24 18:00:00 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(seconds: float, now: float) -> str:
    """Give how long ago a time was, in words."""
    age = now - seconds
    if age < _MINUTE:
        return "just now"
    if age < _HOUR:
        return f"{age / _MINUTE:.0f} min ago"
    if age < 2 * _DAY:
        return f"{age / _HOUR:.0f} h ago"
    return f"{age / _DAY:.0f} days ago" if age < _MONTH else moment(seconds)[:10]


def short_digest(digest: str) -> str:
    """Give the algorithm and the first 12 characters."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}:{encoded[:_SHORT]}"


def pretty(document: Any) -> str:
    """Give JSON for people; characters beyond ASCII as they are."""
    return json.dumps(document, indent=2, ensure_ascii=False)
