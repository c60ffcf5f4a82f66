"""JSON Web Signatures, flattened, with certificates. Source: RFC 7515; for what else is asked of
them, Notary Project's JWS envelope.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ecrate.signers.certificates import Chain, algorithm_of, is_signed
from ecrate.signers.port import BadSignatureError, Signer

LARGEST: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature is over: the payload, and the headers that are protected."""

    payload: bytes
    headers: dict[str, Any]
    chain: Chain


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    payload: str
    protected: str
    signature: str
    header: dict[str, Any]


def sign(signer: Signer, payload: bytes, headers: dict[str, Any], agent: str) -> bytes:
    """Give the envelope of a payload. `headers` are protected, `agent` says what made it.

    Raises `SignerError`.
    """
    algorithm = algorithm_of(signer.chain.key)
    protected = _encode(msgspec.json.encode({"alg": algorithm, **headers}))
    encoded = _encode(payload)
    signature = signer.sign(f"{protected}.{encoded}".encode(), algorithm)
    unprotected = {
        "x5c": [base64.b64encode(one).decode() for one in signer.chain.der],
        "io.cncf.notary.signingAgent": agent,
    }
    return msgspec.json.encode(_Envelope(encoded, protected, _encode(signature), unprotected))


def read(envelope: bytes, *, content_type: str, understood: frozenset[str]) -> Signed:
    """Give what an envelope's own first certificate has signed; whether that is one to rely on
    is another question. Critical headers have to be `understood`. Raises `BadSignatureError`.
    """
    if len(envelope) > LARGEST:
        raise BadSignatureError(f"the envelope has more than {LARGEST} bytes")
    try:
        found = msgspec.json.decode(envelope, type=_Envelope)
        payload, signature = _decode(found.payload), _decode(found.signature)
        headers = msgspec.json.decode(_decode(found.protected), type=dict[str, Any])
        listed = msgspec.convert(found.header.get("x5c"), list[str])
        chain = Chain.of_der([base64.b64decode(one, validate=True) for one in listed])
    except (
        msgspec.MsgspecError,
        UnicodeError,
        binascii.Error,
        ValueError,
        RecursionError,
    ) as error:
        raise BadSignatureError(f"the envelope is not well formed: {error}") from None
    if headers.get("cty") != content_type:
        raise BadSignatureError(f"the envelope is not one of {content_type}")
    critical = headers.get("crit")
    if not isinstance(critical, list) or not set(map(str, critical)) <= understood:
        raise BadSignatureError("the envelope has critical headers that are not understood")
    # The key says which algorithm it has to be, whatever the envelope says.
    algorithm = algorithm_of(chain.key)
    if headers.get("alg") != algorithm:
        raise BadSignatureError(f"the envelope's algorithm is not its key's, {algorithm}")
    data = f"{found.protected}.{found.payload}".encode()
    if not is_signed(chain.key, algorithm, data, signature):
        raise BadSignatureError("the signature is not that of the certificate's key")
    return Signed(payload, headers, chain)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    padded = text.encode() + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)
