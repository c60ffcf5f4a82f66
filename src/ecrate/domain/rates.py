"""How often a second an account may call an operation in a region."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# AWS: service quotas page. It names no others, and no bursts.
RATES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "BatchCheckLayerAvailability": 1_000,
        "BatchGetImage": 2_000,
        "CompleteLayerUpload": 100,
        "GetAuthorizationToken": 500,
        "GetDownloadUrlForLayer": 3_000,
        "InitiateLayerUpload": 100,
        "PutImage": 10,
        "UploadLayerPart": 500,
    }
)
_PAIR: Final = re.compile(r"([A-Za-z]+)=([1-9][0-9]{0,6})")


def parse_rates(text: str) -> Mapping[str, int]:
    """Read `ecr`, `off` or nothing, or changes to ECR's: `PutImage=50,BatchGetImage=5000`.

    Raises `ValueError`.
    """
    if text in {"", "off"}:
        return {}
    if text == "ecr":
        return RATES
    rates = dict(RATES)
    for pair in text.split(","):
        match = _PAIR.fullmatch(pair.strip())
        if match is None or match[1] not in RATES:
            raise ValueError(pair)
        rates[match[1]] = int(match[2])
    return rates
