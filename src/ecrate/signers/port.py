"""What makes signatures, and what goes wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    from ecrate.signers.certificates import Chain

# The forms a signature of an image can take: Notary Project's, and cosign's, that one as a
# referrer or under a tag made of the image's digest.
NOTARY: Final = "notary"
COSIGN: Final = "cosign"
COSIGN_TAG: Final = "cosign-tag"
FORMATS: Final = (NOTARY, COSIGN, COSIGN_TAG)

# RFC 7518 calls algorithms so. Notary Project's specification has the first six; RS256 is what
# cosign does with an RSA key.
ALGORITHMS: Final = ("PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "RS256")


class SignerError(Exception):
    """Something keeps a signature from being made; the text says what. `is_passing` where it may
    be otherwise a moment later.
    """

    def __init__(self, text: str, *, is_passing: bool = False) -> None:
        super().__init__(text)
        self.is_passing = is_passing


class BadSignatureError(Exception):
    """A signature, or its certificates, are not to be relied on; the text says why."""

    @override
    def __str__(self) -> str:
        return str(self.args[0])


class Signer(Protocol):
    """A key, somewhere, and the certificates that say whose it is."""

    chain: Chain

    def sign(self, data: bytes, algorithm: str) -> bytes:
        """Give the signature over `data`, in the form of RFC 7518: for ECDSA both numbers one
        behind the other. It fits the chain's first certificate. Raises `SignerError`.
        """
