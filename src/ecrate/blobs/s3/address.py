"""Where an S3 store is: `s3://BUCKET[/PREFIX][?endpoint=…&region=…&style=…]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

# Source: Amazon S3 user guide, "General purpose bucket naming rules"; what else is legal in a key
# would have to be quoted in URLs.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]*/)*")
_LONGEST_PREFIX: Final = 512
_ENDPOINT: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_REGION: Final = re.compile(r"[a-z0-9-]{1,32}")
_PROFILE: Final = re.compile(r"[^\x00-\x1f\]]{1,128}")
_RULES: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    "endpoint": (_ENDPOINT, "http://HOST[:PORT] or https://HOST[:PORT]"),
    "public_endpoint": (_ENDPOINT, "http://HOST[:PORT] or https://HOST[:PORT]"),
    "region": (_REGION, "the name of a region"),
    "style": (re.compile("path|virtual"), "path or virtual"),
    "profile": (_PROFILE, "a profile of the AWS configuration"),
}


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket and how to talk to it. `prefix` is empty or ends in a slash.

    `endpoint` is empty for AWS's own; `public_endpoint` is the one in URLs given to clients, empty
    where that is the same. `is_virtual`: the bucket is named in the host, not in the path.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    public_endpoint: str = ""
    region: str = ""
    profile: str = ""
    is_virtual: bool = False

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read the URL; raises `ValueError` with one line for the operator."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc):
            raise ValueError("it must be s3://BUCKET[/PREFIX], the bucket of 3 to 63 a-z, 0-9, . -")
        prefix = f"{path}/" if (path := parts.path.strip("/")) else ""
        if not _PREFIX.fullmatch(prefix) or len(prefix) > _LONGEST_PREFIX or parts.fragment:
            raise ValueError(
                f"the prefix must be up to {_LONGEST_PREFIX} of A-Z, a-z, 0-9, _ . - and /"
            )
        given = _parameters(parts.query)
        # A bucket with dots in its name has no host that a certificate would fit.
        style = given.get("style") or (
            "path" if "endpoint" in given or "." in parts.netloc else "virtual"
        )
        return cls(
            bucket=parts.netloc,
            prefix=prefix,
            endpoint=given.get("endpoint", ""),
            public_endpoint=given.get("public_endpoint", ""),
            region=given.get("region", ""),
            profile=given.get("profile", ""),
            is_virtual=style == "virtual",
        )

    def base_url(self, endpoint: str) -> str:
        """Give the URL below which objects are, at this endpoint; it ends in a slash."""
        scheme, _, host = endpoint.rstrip("/").partition("://")
        if self.is_virtual:
            return f"{scheme}://{self.bucket}.{host}/{self.prefix}"
        return f"{scheme}://{host}/{self.bucket}/{self.prefix}"


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ValueError("its parameters must be NAME=VALUE, with & between them") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in _RULES:
            raise ValueError(f"unknown parameter '{name}'; known are {', '.join(sorted(_RULES))}")
        pattern, accepted = _RULES[name]
        if name in given or not pattern.fullmatch(value):
            raise ValueError(f"parameter '{name}' is '{value}'; accepted, once: {accepted}")
        given[name] = value
    return given
