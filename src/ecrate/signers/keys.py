"""Keys in files: made, read, and signed with."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ecrate.signers.certificates import Chain, PrivateKey, sign_with
from ecrate.signers.port import SignerError

KINDS: Final = ("p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096")
_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
}
_FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeySigner:
    """Signs with a key that is in memory."""

    def __init__(self, chain: Chain, key: PrivateKey) -> None:
        self.chain = chain
        self._key = key

    def sign(self, data: bytes, algorithm: str) -> bytes:
        return sign_with(self._key, algorithm, data)


def read_chain(path: Path) -> Chain:
    """Give the certificates in a PEM file; raises `SignerError`."""
    try:
        return Chain.parse(path.read_bytes())
    except OSError as error:
        raise SignerError(f"cannot read {path}: {error.strerror}") from None
    except SignerError as error:
        raise SignerError(f"cannot use {path}: {error}") from None


def open_key(chain: Chain, path: Path) -> KeySigner:
    """Give the signer of a key file, which only its owner may read; raises `SignerError`."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _FOR_OTHERS:
                raise SignerError(f"others may read the key in {path}: chmod 600 {path}")
            content = file.read()
        key = serialization.load_pem_private_key(content, password=None)
    except OSError as error:
        raise SignerError(f"cannot read {path}: {error.strerror}") from None
    except TypeError:
        raise SignerError(
            f"the key in {path} is encrypted; use a command that knows its password"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignerError(f"{path} is no private key in PEM: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SignerError(f"the key in {path} is neither of an elliptic curve nor of RSA")
    if key.public_key() != chain.key:
        raise SignerError(f"the key in {path} is not that of the certificate of {chain.name}")
    return KeySigner(chain, key)


def make_key(subject: str, *, kind: str, days: int, now: float) -> tuple[bytes, bytes]:
    """Make a key and a certificate that it signs itself: both in PEM, the certificate first.

    `subject` is a name as RFC 4514 writes it; raises `SignerError` for any other.
    """
    try:
        name = x509.Name.from_rfc4514_string(subject)
    except ValueError as error:
        raise SignerError(
            f"'{subject}' is no name such as CN=releases,O=example: {error}"
        ) from None
    key = _new_key(kind)
    begin = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _new_key(kind: str) -> PrivateKey:
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa")))
