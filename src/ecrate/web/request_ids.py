"""The id that a request's answer and its log lines share."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator


def request_ids() -> Iterator[str]:
    """Give UUIDs without end: 18 random digits for this iterator, then a count.

    That no two are alike is all they are for; a random one each would take 8 of the 120
    microseconds of a manifest GET.
    """
    prefix = str(uuid.uuid4())[:24]
    for number in itertools.count():
        yield f"{prefix}{number:012x}"
