"""Keys and certificates: what is signed how, and which certificates are in order.

Source: Notary Project specification, "Signature Algorithm Requirements" and "Certificate
Requirements"; RFC 7518, section 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from ecrate.signers.port import BadSignatureError, SignerError

E = TypeVar("E", bound=x509.ExtensionType)
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

LONGEST_CHAIN: Final = 10
_LONGEST_PEM: Final = 256 * 1024
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA_SIZES: Final = {2048: "PS256", 3072: "PS384", 4096: "PS512"}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_FORBIDDEN_USES: Final = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
    }
)


def algorithm_of(key: PublicKey) -> str:
    """Give what Notary Project's signatures with this key are made by; raises
    `BadSignatureError` for a key that it has none for.
    """
    found = (
        _CURVES.get(key.curve.name)
        if isinstance(key, ec.EllipticCurvePublicKey)
        else _RSA_SIZES.get(key.key_size)
    )
    if found is None:
        raise BadSignatureError(
            "a key has to be on the curve P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits"
        )
    return found


def hash_of(algorithm: str) -> hashes.HashAlgorithm:
    """Give the hash that an algorithm of RFC 7518 uses."""
    return _HASHES[algorithm[2:]]


def is_signed(key: PublicKey, algorithm: str, data: bytes, signature: bytes) -> bool:
    """Tell whether the signature, in the form of RFC 7518, is the key's over the data."""
    kind = hash_of(algorithm)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            size = (key.key_size + 7) // 8
            if algorithm[:2] != "ES" or len(signature) != 2 * size:
                return False
            numbers = [int.from_bytes(signature[:size]), int.from_bytes(signature[size:])]
            key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(kind))
        elif algorithm[:2] == "PS":
            salted = padding.PSS(padding.MGF1(kind), padding.PSS.DIGEST_LENGTH)
            key.verify(signature, data, salted, kind)
        elif algorithm[:2] == "RS":
            key.verify(signature, data, padding.PKCS1v15(), kind)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def sign_with(key: PrivateKey, algorithm: str, data: bytes) -> bytes:
    """Give the key's signature in the form of RFC 7518."""
    kind = hash_of(algorithm)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return joined(key.sign(data, ec.ECDSA(kind)), key.curve.key_size)
    if algorithm[:2] == "PS":
        return key.sign(data, padding.PSS(padding.MGF1(kind), padding.PSS.DIGEST_LENGTH), kind)
    return key.sign(data, padding.PKCS1v15(), kind)


def joined(der: bytes, key_size: int) -> bytes:
    """Give the two numbers of an ECDSA signature in DER one behind the other; raises
    `ValueError` for what is none.
    """
    size = (key_size + 7) // 8
    return b"".join(number.to_bytes(size) for number in decode_dss_signature(der))


def apart(signature: bytes) -> bytes:
    """Give an ECDSA signature in DER whose numbers stand one behind the other."""
    size = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))


@dataclass(frozen=True, slots=True)
class Chain:
    """Certificates: whose key signs first, then each that vouches for the one before it."""

    certificates: tuple[x509.Certificate, ...]

    @classmethod
    def parse(cls, pem: bytes) -> Chain:
        """Read PEM; raises `SignerError`."""
        try:
            return cls(tuple(x509.load_pem_x509_certificates(pem[:_LONGEST_PEM])))
        except ValueError as error:
            raise SignerError(f"it is no chain of certificates in PEM: {error}") from None

    @classmethod
    def of_der(cls, encoded: Sequence[bytes]) -> Chain:
        """Read what stands in an envelope; raises `BadSignatureError`."""
        if not 1 <= len(encoded) <= LONGEST_CHAIN:
            raise BadSignatureError(f"it has not 1 to {LONGEST_CHAIN} certificates")
        try:
            return cls(tuple(x509.load_der_x509_certificate(one) for one in encoded))
        except ValueError as error:
            raise BadSignatureError(f"it has a certificate that is none: {error}") from None

    @property
    def der(self) -> list[bytes]:
        return [one.public_bytes(serialization.Encoding.DER) for one in self.certificates]

    @property
    def thumbprints(self) -> list[str]:
        """SHA-256 of each certificate, in lower case."""
        return [thumbprint(one) for one in self.certificates]

    @property
    def name(self) -> str:
        """Whose key signs, as RFC 4514 writes it."""
        return self.certificates[0].subject.rfc4514_string()

    @property
    def until(self) -> float:
        """When the first of them ends, in epoch seconds."""
        return min(one.not_valid_after_utc.timestamp() for one in self.certificates)

    @property
    def key(self) -> PublicKey:
        """The key that signs; raises `BadSignatureError` for a kind that does not."""
        return key_in(self.certificates[0])

    def check(self, now: float) -> None:
        """Raise `BadSignatureError` unless they are a chain, of a key that may sign now."""
        moment = datetime.fromtimestamp(now, UTC)
        for one in self.certificates:
            name = one.subject.rfc4514_string()
            if moment < one.not_valid_before_utc:
                raise BadSignatureError(f"the certificate of {name} is not valid yet")
            if moment > one.not_valid_after_utc:
                raise BadSignatureError(f"the certificate of {name} has expired")
        algorithm_of(self.key)
        _check_leaf(self.certificates[0])
        for depth, issuer in enumerate(self.certificates[1:]):
            _check_issuer(issuer, depth)
            if not issued(self.certificates[depth], issuer):
                raise BadSignatureError(
                    f"the certificate of {self.certificates[depth].subject.rfc4514_string()} is "
                    f"not issued by {issuer.subject.rfc4514_string()}"
                )


def thumbprint(certificate: x509.Certificate) -> str:
    """Give the SHA-256 of a certificate, in lower case."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def key_in(certificate: x509.Certificate) -> PublicKey:
    """Give the certificate's key; raises `BadSignatureError` for a kind that does not sign."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSignatureError(f"a certificate has no usable key: {error}") from None
    return known(key)


def known(key: object) -> PublicKey:
    """Give a key of a kind that signs here; raises `BadSignatureError`."""
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise BadSignatureError("a key has to be one of an elliptic curve, or of RSA")
    return key


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether the certificate has the issuer's name and signature, made by no broken hash."""
    kind = certificate.signature_hash_algorithm
    if kind is None or isinstance(kind, hashes.SHA1 | hashes.MD5):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_leaf(certificate: x509.Certificate) -> None:
    extensions = _extensions(certificate)
    usage = _find(extensions, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.digital_signature:
        raise BadSignatureError(
            "the signing certificate has to have a critical key usage of digital signature"
        )
    if usage.value.key_cert_sign or usage.value.crl_sign or usage.value.key_encipherment:
        raise BadSignatureError("the signing certificate may be used for more than signing")
    constraints = _find(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise BadSignatureError("the signing certificate is that of an authority")
    uses = _find(extensions, x509.ExtendedKeyUsage)
    if uses is not None and _FORBIDDEN_USES & set(uses.value):
        raise BadSignatureError("the signing certificate is not one for signing code")


def _check_issuer(certificate: x509.Certificate, depth: int) -> None:
    """Check an authority that has `depth` others below it."""
    extensions, name = _extensions(certificate), certificate.subject.rfc4514_string()
    constraints = _find(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise BadSignatureError(f"the certificate of {name} is not that of an authority")
    longest = constraints.value.path_length
    if longest is not None and depth > longest:
        raise BadSignatureError(f"the authority {name} may not have others below it")
    usage = _find(extensions, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise BadSignatureError(f"the authority {name} may not sign certificates")


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension) as error:
        raise BadSignatureError(f"a certificate has extensions that are none: {error}") from None


def _find(extensions: x509.Extensions, kind: type[E]) -> x509.Extension[E] | None:
    try:
        return extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
