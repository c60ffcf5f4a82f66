"""What a client reads manifests for, where it says so.

Reading a manifest counts as a pull, which lifecycle policies go by. ECR cannot be told otherwise;
here a request with `X-Ecrate-Purpose: inspection` only looks, as `ecrate ls` and `du` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HEADER: Final = "X-Ecrate-Purpose"
INSPECTION: Final = "inspection"


def is_inspection(headers: Mapping[str, str]) -> bool:
    """Tell whether what is read is only looked at."""
    return headers.get(HEADER) == INSPECTION
