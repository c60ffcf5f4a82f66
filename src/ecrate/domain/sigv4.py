"""AWS Signature Version 4: checking it, and making it for what we ask of other servers.

Source: AWS General Reference, "Create a signed AWS API request". The payload's hash is always
that of the body: ECR's clients never send UNSIGNED-PAYLOAD.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from ecrate.domain.values import value

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)/([0-9]{8})/([^/,\s]+)/([^/,\s]+)/aws4_request\s*,"
    r"\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]{64})\s*"
)
_LIFETIME: Final = re.compile(r"[0-9]{1,9}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_CREDENTIAL: Final = re.compile(r"([^/]+)/([0-9]{8})/([^/]+)/([^/]+)/aws4_request")


class MalformedSignatureError(Exception):
    """The request does not carry a whole signature; the text says what is missing."""


@value
class Signature:
    """What a request says of its signature. `date` is the scope's, `timestamp` X-Amz-Date.

    `expires` is a presigned URL's lifetime in seconds, None for a signed header.
    """

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str | None
    query: str = ""
    expires: int | None = None


def parse_signature(headers: Mapping[str, str], query: str) -> Signature | None:
    """Find the signature in the header or the query string; None where there is neither.

    Raises `MalformedSignatureError`.
    """
    authorization = headers.get("Authorization")
    if authorization is not None:
        match = _HEADER.fullmatch(authorization)
        timestamp = headers.get("X-Amz-Date")
        if match is None or timestamp is None:
            raise MalformedSignatureError(_what_is_missing(authorization, timestamp))
        key_id, date, region, service, signed, signature = match.groups()
        token = headers.get("X-Amz-Security-Token")
        return Signature(
            key_id,
            date,
            region,
            service,
            tuple(signed.split(";")),
            signature,
            timestamp,
            token,
            query,
        )
    return _parse_presigned(query) if "X-Amz-Signature=" in query else None


def _what_is_missing(authorization: str, timestamp: str | None) -> str:
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if f"{name}=" not in authorization
    ]
    if timestamp is None:
        missing.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    return " ".join([*missing, f"Authorization={authorization.partition(' ')[0]}"])


def _parse_presigned(query: str) -> Signature:
    values = dict(parse_qsl(query, keep_blank_values=True))
    match = _CREDENTIAL.fullmatch(values.get("X-Amz-Credential", ""))
    expires = values.get("X-Amz-Expires", "")
    if (
        values.get("X-Amz-Algorithm") != ALGORITHM
        or match is None
        or _LIFETIME.fullmatch(expires) is None
        or _SIGNATURE.fullmatch(values.get("X-Amz-Signature", "")) is None
        or not values.get("X-Amz-SignedHeaders")
        or not values.get("X-Amz-Date")
    ):
        raise MalformedSignatureError("AWS query-string parameters are incomplete or malformed.")
    key_id, date, region, service = match.groups()
    return Signature(
        key_id=key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(values["X-Amz-SignedHeaders"].split(";")),
        signature=values["X-Amz-Signature"],
        timestamp=values["X-Amz-Date"],
        token=values.get("X-Amz-Security-Token"),
        query=query,
        expires=int(expires),
    )


def is_genuine(
    signature: Signature,
    secret: str,
    method: str,
    headers: Mapping[str, str],
    payload_hash: str,
    *,
    path: str = "/",
) -> bool:
    """Tell whether the request was signed with `secret`; its `path` needs no quoting."""
    canonical = canonical_request(
        method, signature.query, signature.signed_headers, headers, payload_hash, path=path
    )
    expected = _sign(signature, secret, canonical)
    return hmac.compare_digest(expected, signature.signature)


def canonical_request(
    method: str,
    query: str,
    signed_headers: Iterable[str],
    headers: Mapping[str, str],
    payload_hash: str,
    *,
    path: str = "/",
) -> str:
    """Give the text that is signed; its `path` needs no quoting."""
    names = list(signed_headers)
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}" for name in names]
    return "\n".join(
        [method, path, _canonical_query(query), *lines, "", ";".join(names), payload_hash]
    )


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in pairs
        if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in kept)


def _sign(scope: Signature, secret: str, canonical: str) -> str:
    # A header's bytes that are no text came as surrogates.
    digest = hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()
    text = "\n".join(
        [
            ALGORITHM,
            scope.timestamp,
            f"{scope.date}/{scope.region}/{scope.service}/aws4_request",
            digest,
        ]
    )
    key = _signing_key(secret, scope.date, scope.region, scope.service)
    return hmac.digest(key, text.encode(), "sha256").hex()


@functools.lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign_headers(
    headers: Mapping[str, str],
    payload_hash: str,
    *,
    key_id: str,
    secret: str,
    token: str | None,
    region: str,
    service: str,
    timestamp: str,
    method: str = "POST",
    path: str = "/",
    query: str = "",
) -> dict[str, str]:
    """Give a request's `headers` with date, token and signature added.

    `payload_hash` is the body's SHA-256 in hex; `timestamp` is UTC as `YYYYMMDDTHHMMSSZ`; all
    headers given are signed; `path` needs no quoting.
    """
    signed = {name.lower(): value for name, value in headers.items()} | {"x-amz-date": timestamp}
    if token:
        signed["x-amz-security-token"] = token
    names = tuple(sorted(signed))
    scope = Signature(key_id, timestamp[:8], region, service, names, "", timestamp, token)
    canonical = canonical_request(method, query, names, signed, payload_hash, path=path)
    credential = f"{key_id}/{scope.date}/{region}/{service}/aws4_request"
    signature = _sign(scope, secret, canonical)
    signed["authorization"] = (
        f"{ALGORITHM} Credential={credential}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    return signed
