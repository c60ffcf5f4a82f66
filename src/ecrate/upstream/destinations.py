"""The operator's file of destinations of replication that are at other servers.

["123456789012/eu-west-1"]
endpoint = "https://api.ecr.eu-west-1.amazonaws.com"
access_key_id = "AKIA..."
secret_access_key = "..."
bytes_per_second = 10000000   # as many as it takes, if left out
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from ecrate.domain.names import RegistryRef
from ecrate.upstream.ecr import Access

_NAME: Final = re.compile(r"([0-9]{12})/([0-9a-z-]{2,25})")
_ENDPOINT: Final = re.compile(r"https?://[^/@\s?#]+/?")
_MEMBERS: Final = frozenset({"endpoint", "access_key_id", "secret_access_key", "bytes_per_second"})


def read_destinations(path: str) -> dict[RegistryRef, Access]:
    """Read the file, no file for an empty path; raises `OSError`, `ValueError`."""
    if not path:
        return {}
    with Path(path).open("rb") as file:
        document = tomllib.load(file)
    return dict(_destination(name, given) for name, given in document.items())


def _destination(name: str, given: Any) -> tuple[RegistryRef, Access]:
    match = _NAME.fullmatch(name)
    if match is None or not isinstance(given, dict):
        raise ValueError(f"'{name}' must be ACCOUNT/REGION, a table")
    unknown = sorted(given.keys() - _MEMBERS)
    if unknown:
        raise ValueError(f"'{name}' has no '{unknown[0]}'; known are {', '.join(sorted(_MEMBERS))}")
    texts: dict[str, str] = {}
    for member in ("endpoint", "access_key_id", "secret_access_key"):
        text = given.get(member)
        if not isinstance(text, str) or not text:
            raise ValueError(f"'{name}' needs '{member}', a text")
        texts[member] = text
    if _ENDPOINT.fullmatch(texts["endpoint"]) is None:
        raise ValueError(f"'{name}' needs as endpoint http://HOST[:PORT] or https://HOST[:PORT]")
    rate = given.get("bytes_per_second")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int) or rate < 1):
        raise ValueError(f"'{name}' needs as bytes_per_second a whole number from 1 on")
    access = Access(
        texts["endpoint"].rstrip("/"),
        texts["access_key_id"],
        texts["secret_access_key"],
        match[2],
        None if rate is None else float(rate),
    )
    return RegistryRef(match[1], match[2]), access
