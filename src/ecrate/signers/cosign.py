"""Signatures of images as cosign makes them: a payload as a layer, the signature beside it.

Source: cosign's SIGNATURE_SPEC; containers/image, "JSON data format" of simple signing.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ecrate.signers.certificates import (
    Chain,
    PublicKey,
    apart,
    is_signed,
    joined,
)
from ecrate.signers.images import Signature, Target, Verified
from ecrate.signers.port import BadSignatureError, Signer, SignerError
from ecrate.signers.trust import Trust, key_name

_SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
_CHAIN: Final = "dev.sigstore.cosign/chain"
_KIND: Final = "cosign container image signature"
_P256: Final = "secp256r1"


def sign(
    signer: Signer, target: Target, reference: str, agent: str, now: float
) -> tuple[bytes, dict[str, str]]:
    """Give the payload for an image and the annotations of its layer; `reference` is the
    repository's name. Raises `SignerError`.
    """
    payload = msgspec.json.encode(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": target.digest},
                "type": _KIND,
            },
            "optional": {"creator": agent, "timestamp": int(now)},
        }
    )
    chain = signer.chain
    algorithm = _algorithm(chain.key)
    if algorithm is None:
        raise SignerError("cosign's signatures take a key on the curve P-256, or one of RSA")
    signature = signer.sign(payload, algorithm)
    if isinstance(chain.key, ec.EllipticCurvePublicKey):
        signature = apart(signature)
    first, *others = (
        one.public_bytes(serialization.Encoding.PEM).decode() for one in chain.certificates
    )
    annotations = {_SIGNATURE: base64.b64encode(signature).decode(), _CERTIFICATE: first}
    if others:
        annotations[_CHAIN] = "".join(others)
    return payload, annotations


def verify(
    payload: bytes, signature: Signature, target: Target, trust: Trust, now: float
) -> Verified:
    """Give who has signed the image; raises `BadSignatureError` where nobody who is trusted
    has, or not for now.
    """
    try:
        given = base64.b64decode(signature.annotations.get(_SIGNATURE, ""), validate=True)
    except (binascii.Error, ValueError):
        raise BadSignatureError("the signature is not base64") from None
    verified = _signer(payload, given, signature.annotations, trust, now)
    try:
        found = msgspec.json.decode(payload, type=dict[str, Any])
        critical = found["critical"]
        digest, kind = critical["image"]["docker-manifest-digest"], critical["type"]
    except (msgspec.MsgspecError, LookupError, TypeError):
        raise BadSignatureError("the payload is not well formed") from None
    if kind != _KIND or digest != target.digest:
        raise BadSignatureError(f"it is the signature of another image: {digest}")
    return verified


def _signer(
    payload: bytes, given: bytes, annotations: dict[str, str], trust: Trust, now: float
) -> Verified:
    for key in trust.keys:
        if _fits(key, payload, given):
            return Verified(key_name(key), float("inf"))
    pem = f"{annotations.get(_CERTIFICATE, '')}\n{annotations.get(_CHAIN, '')}"
    chains = [Chain((one,)) for one in trust.certificates]
    if annotations.get(_CERTIFICATE):
        try:
            chains.insert(0, Chain.parse(pem.encode()))
        except SignerError as error:
            raise BadSignatureError(str(error)) from None
    for chain in chains:
        if _is_by(chain, payload, given):
            trust.check(chain, now)
            return Verified(chain.name, chain.until)
    raise BadSignatureError("the signature is by no key that is trusted")


def _algorithm(key: PublicKey) -> str | None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ES256" if key.curve.name == _P256 else None
    return "RS256"


def _is_by(chain: Chain, payload: bytes, given: bytes) -> bool:
    try:
        return _fits(chain.key, payload, given)
    except BadSignatureError:
        return False  # an authority whose key is of another kind


def _fits(key: PublicKey, payload: bytes, given: bytes) -> bool:
    algorithm = _algorithm(key)
    if algorithm is None:
        return False
    if isinstance(key, ec.EllipticCurvePublicKey):
        try:
            given = joined(given, key.key_size)
        except (ValueError, OverflowError):
            return False
    return is_signed(key, algorithm, payload, given)
