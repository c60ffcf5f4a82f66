"""Keys that sign, and certificates that vouch for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ecrate.signers.certificates import Chain, PrivateKey
from ecrate.signers.keys import KeySigner, make_key
from ecrate.signers.trust import Trust
from tests.support.core import START

_DAY = timedelta(days=1)
_NOTHING = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and those that vouch for it."""

    chain: Chain
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return pem_of(self.chain)


def make_signer(name: str = "releases", kind: str = "p256", now: float = START) -> KeySigner:
    """Make a key with a certificate that it signs itself."""
    certificate, key = make_key(f"CN={name},O=example", kind=kind, days=30, now=now)
    loaded = serialization.load_pem_private_key(key, password=None)
    assert isinstance(loaded, PrivateKey)
    return KeySigner(Chain.parse(certificate), loaded)


def make_profile(folder: Path, name: str, *lines: str, now: float = START) -> Path:
    """Write a profile with a key of its own; give the file of its certificate."""
    folder.mkdir(exist_ok=True, parents=True)
    certificate, key = make_key(f"CN={name}", kind="p256", days=30, now=now)
    (folder / f"{name}.pem").write_bytes(certificate)
    (folder / f"{name}-key.pem").write_bytes(key)
    (folder / f"{name}-key.pem").chmod(0o600)
    named = [f'certificates = "{name}.pem"']
    if not any(line.startswith("command") for line in lines):
        named.append(f'key = "{name}-key.pem"')
    (folder / f"{name}.toml").write_text("\n".join([*named, *lines, ""]))
    return folder / f"{name}.pem"


def issue(
    name: str, by: Issued | None = None, *, is_authority: bool = False, days: int = 30
) -> Issued:
    """Make a certificate for code signing, or for an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name.from_rfc4514_string(f"CN={name}")
    begin = datetime.fromtimestamp(START, UTC) - _DAY
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=False,
        **_NOTHING,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.chain.certificates[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + days * _DAY)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        builder = builder.add_extension(uses, critical=False)
    made = builder.sign(by.key if by else key, hashes.SHA256())
    above = by.chain.certificates if by else ()
    return Issued(Chain((made, *above)), key)


def pem_of(chain: Chain) -> bytes:
    """Give the certificates in PEM."""
    encoding = serialization.Encoding.PEM
    return b"".join(one.public_bytes(encoding) for one in chain.certificates)


def public_pem(chain: Chain) -> bytes:
    """Give the first one's key in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return chain.key.public_bytes(serialization.Encoding.PEM, form)


def trusting(*chains: Chain) -> Trust:
    """Trust the first certificate of each."""
    return Trust(tuple(chain.certificates[0] for chain in chains))
