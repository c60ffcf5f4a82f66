"""What registries answer that is not what was asked for: errors, and when to ask again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST_TEXT: Final = 500
_LONGEST_PAUSE: Final = 24 * 3600.0
_USUAL_PAUSE: Final = 60.0


def read_error(content: bytes) -> tuple[str, str]:
    """Give code and text of an error, as one line each, empty where it has none.

    Source: distribution-spec, "Error Codes".
    """
    try:
        errors = json.loads(content)["errors"]
        code, text = str(errors[0]["code"]), str(errors[0].get("message") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
    return _line(code), _line(text)


def read_pause(headers: Message, now: Callable[[], float] = time.time) -> int:
    """Give for how many seconds a server that answered 429 is to be left alone.

    Source: RFC 9110 section 10.2.3; it is seconds or a date, within a day.
    """
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        seconds = float(told[:9])
    else:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - now()
        except (ValueError, TypeError, OverflowError):
            seconds = _USUAL_PAUSE
    return math.ceil(min(max(seconds, 1.0), _LONGEST_PAUSE))


def _line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:_LONGEST_TEXT])
