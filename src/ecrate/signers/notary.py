"""Signatures of images as Notary Project specifies them: an envelope, in an image that refers to
the one that is signed.

Source: Notary Project specifications, signature-specification.md and signature-envelope-jws.md.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ecrate.signers import jws
from ecrate.signers.images import Target, Verified, refers_to
from ecrate.signers.port import BadSignatureError, Signer
from ecrate.signers.trust import Trust

THUMBPRINTS: Final = "io.cncf.notary.x509chain.thumbprint#S256"
_PAYLOAD_TYPE: Final = "application/vnd.cncf.notary.payload.v1+json"
_SCHEME: Final = "io.cncf.notary.signingScheme"
_SIGNED_AT: Final = "io.cncf.notary.signingTime"
_EXPIRY: Final = "io.cncf.notary.expiry"
_X509: Final = "notary.x509"


def sign(signer: Signer, target: Target, now: float, agent: str) -> bytes:
    """Give the envelope for an image; raises `SignerError`."""
    payload = {
        "targetArtifact": {
            "mediaType": target.media_type,
            "digest": target.digest,
            "size": target.size,
        }
    }
    moment = datetime.fromtimestamp(now, UTC)
    headers = {
        "cty": _PAYLOAD_TYPE,
        _SCHEME: _X509,
        _SIGNED_AT: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "crit": [_SCHEME],
    }
    return jws.sign(signer, msgspec.json.encode(payload), headers, agent)


def annotations_for(signer: Signer) -> dict[str, str]:
    """Give those of the image that the envelope goes into."""
    thumbprints = [one.upper() for one in signer.chain.thumbprints]
    return {THUMBPRINTS: json.dumps(thumbprints, separators=(",", ":"))}


def verify(envelope: bytes, target: Target, trust: Trust, now: float) -> Verified:
    """Give who has signed the image; raises `BadSignatureError` where nobody who is trusted
    has, or not for now.
    """
    signed = jws.read(
        envelope, content_type=_PAYLOAD_TYPE, understood=frozenset({_SCHEME, _EXPIRY})
    )
    if signed.headers.get(_SCHEME) != _X509:
        raise BadSignatureError(f"the signing scheme is not {_X509}")
    trust.check(signed.chain, now)
    until = signed.chain.until
    if _EXPIRY in signed.headers:
        until = min(until, _time(signed.headers[_EXPIRY]))
        if now >= until:
            raise BadSignatureError("the signature has expired")
    try:
        payload = msgspec.json.decode(signed.payload, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadSignatureError(f"the payload is not well formed: {error}") from None
    refers_to(payload.get("targetArtifact"), target)
    return Verified(signed.chain.name, until)


def _time(text: object) -> float:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise BadSignatureError(f"{text!r} is no time")
