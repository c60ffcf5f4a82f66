"""What is said to the process that reads layers, and by it:

to it      {"most_bytes": N} NEWLINE, then of each layer, from the base on:
           {"digest": DIGEST, "size": N} NEWLINE, and N bytes of the blob
from it    an inventory, or {"error": KIND, "reason": TEXT}, in JSON
"""

from __future__ import annotations

import msgspec


class Start(msgspec.Struct):
    most_bytes: int


class Head(msgspec.Struct):
    digest: str
    size: int


class Failure(msgspec.Struct):
    """Why there is no inventory: `error` is TOO_LARGE, UNREADABLE or MEMORY."""

    error: str
    reason: str
