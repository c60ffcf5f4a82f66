"""Resource tags: what a key and a value may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# AWS: user guide, "Tagging a private repository".
MAX_RESOURCE_TAGS: Final = 50
_MAX_KEY: Final = 128
_MAX_VALUE: Final = 256

ResourceTag = tuple[str, str]


def find_fault(tags: Iterable[ResourceTag]) -> str | None:
    """Tell what is wrong with the first tag that is not well formed, None if all are."""
    seen = set()
    for key, value in tags:
        if not 0 < len(key) <= _MAX_KEY or key.lower().startswith("aws:"):
            return (
                f"key '{key[:_MAX_KEY]}' must have 1 to {_MAX_KEY} characters and not begin "
                "with 'aws:'"
            )
        if len(value) > _MAX_VALUE:
            return f"the value of '{key}' must have at most {_MAX_VALUE} characters"
        if key in seen:
            return "a key is given twice"
        seen.add(key)
    return None
