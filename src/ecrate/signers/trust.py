"""Whom signatures are trusted from: certificates and keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from ecrate.signers.certificates import Chain, PublicKey, issued, known, thumbprint
from ecrate.signers.port import BadSignatureError, SignerError

_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates of who signs, or of authorities that vouch for them; and keys without one."""

    certificates: tuple[x509.Certificate, ...] = ()
    keys: tuple[PublicKey, ...] = ()

    @classmethod
    def parse(cls, pem: bytes) -> Trust:
        """Read certificates and public keys in PEM; raises `SignerError`."""
        certificates: list[x509.Certificate] = []
        keys: list[PublicKey] = []
        try:
            if b"BEGIN CERTIFICATE" in pem:
                certificates = x509.load_pem_x509_certificates(pem)
            keys = [known(serialization.load_pem_public_key(one)) for one in _public_keys(pem)]
        except (ValueError, UnsupportedAlgorithm, BadSignatureError) as error:
            raise SignerError(f"not certificates or public keys in PEM: {error}") from None
        if not 1 <= len(certificates) + len(keys) <= _MOST:
            raise SignerError(f"there have to be 1 to {_MOST} certificates or public keys in PEM")
        return cls(tuple(certificates), tuple(keys))

    @property
    def thumbprints(self) -> frozenset[str]:
        """SHA-256 of each certificate, in lower case."""
        return frozenset(map(thumbprint, self.certificates))

    def check(self, chain: Chain, now: float) -> None:
        """Raise `BadSignatureError` unless the chain is in order now and one to rely on."""
        if chain.key in self.keys:
            return
        chain.check(now)
        if self.thumbprints & set(chain.thumbprints):
            return
        for one in self.certificates:
            if issued(chain.certificates[-1], one):
                # An authority that the chain has left out.
                Chain((*chain.certificates, one)).check(now)
                return
        raise BadSignatureError(f"{chain.name} is nobody who is trusted")


def key_name(key: PublicKey) -> str:
    """Name a key that no certificate says the owner of: by its SHA-256."""
    encoded = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"key sha256:{hashlib.sha256(encoded).hexdigest()}"


def _public_keys(pem: bytes) -> list[bytes]:
    begin, end = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
    found = []
    for rest in pem.split(begin)[1:]:
        inside, _, _ = rest.partition(end)
        found.append(begin + inside + end + b"\n")
    return found
