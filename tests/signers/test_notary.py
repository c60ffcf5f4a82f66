"""Notary Project's envelopes: as others read them, and whatever is wrong with one is found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from jwcrypto import jwk, jws
from jwcrypto.common import JWSEHeaderParameter

from ecrate.signers import notary
from ecrate.signers.images import Target
from ecrate.signers.keys import KeySigner
from ecrate.signers.port import BadSignatureError
from ecrate.signers.trust import Trust
from tests.support.core import DAY, START
from tests.support.signers import issue, make_signer, public_pem, trusting

TARGET = Target("application/vnd.oci.image.manifest.v1+json", f"sha256:{'a' * 64}", 527)
AGENT = "ecrate/test"

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def signer() -> KeySigner:
    return make_signer()


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa2048"])
def test_another_library_reads_the_envelope(kind: str) -> None:
    """jwcrypto checks signature and headers by itself; the form is what the specification says."""
    signer = make_signer(kind=kind)
    envelope = notary.sign(signer, TARGET, START, AGENT)

    scheme = JWSEHeaderParameter("scheme", mustprotect=True, supported=True, check_fn=None)
    token = jws.JWS(header_registry={"io.cncf.notary.signingScheme": scheme})
    token.allowed_algs = ["ES256", "ES384", "ES512", "PS256"]
    token.deserialize(envelope.decode(), jwk.JWK.from_pem(public_pem(signer.chain)))

    json_envelope = json.loads(envelope)
    assert json_envelope.keys() == {"payload", "protected", "header", "signature"}
    assert json.loads(token.payload) == {
        "targetArtifact": {"mediaType": TARGET.media_type, "digest": TARGET.digest, "size": 527}
    }
    protected = json.loads(token.objects["protected"])
    assert (
        protected.pop("alg")
        == {"p": "ES", "r": "PS"}[kind[0]]
        + {
            "p256": "256",
            "p384": "384",
            "p521": "512",
            "rsa2048": "256",
        }[kind]
    )
    assert protected == {
        "cty": "application/vnd.cncf.notary.payload.v1+json",
        "crit": ["io.cncf.notary.signingScheme"],
        "io.cncf.notary.signingScheme": "notary.x509",
        "io.cncf.notary.signingTime": "2023-11-14T22:13:20Z",
    }
    x5c = [base64.b64encode(one).decode() for one in signer.chain.der]
    assert json_envelope["header"] == {"x5c": x5c, "io.cncf.notary.signingAgent": AGENT}


def test_the_signer_is_named(signer: KeySigner) -> None:
    envelope = notary.sign(signer, TARGET, START, AGENT)

    verified = notary.verify(envelope, TARGET, trusting(signer.chain), START + DAY)
    assert (verified.signer, verified.until) == ("CN=releases,O=example", START + 30 * DAY)


def test_a_key_is_enough_to_trust(signer: KeySigner) -> None:
    envelope = notary.sign(signer, TARGET, START, AGENT)

    trust = Trust.parse(public_pem(signer.chain))
    assert notary.verify(envelope, TARGET, trust, START).signer == "CN=releases,O=example"


@pytest.mark.parametrize("left_out", [0, 1], ids=["with its root", "without its root"])
def test_an_authority_vouches_for_who_signs(left_out: int) -> None:
    root = issue("root", is_authority=True)
    leaf = issue("leaf", root)
    chain = type(leaf.chain)(leaf.chain.certificates[: 2 - left_out])
    envelope = notary.sign(KeySigner(chain, leaf.key), TARGET, START, AGENT)

    assert notary.verify(envelope, TARGET, trusting(root.chain), START).signer == "CN=leaf"


def test_a_signer_vouches_for_nobody() -> None:
    """A certificate issued by one that is trusted to sign images only is worth nothing."""
    leaf = issue("leaf")
    child = issue("child", leaf)
    envelope = notary.sign(KeySigner(child.chain, child.key), TARGET, START, AGENT)

    with pytest.raises(BadSignatureError, match="is not that of an authority"):
        notary.verify(envelope, TARGET, trusting(leaf.chain), START)


def test_a_stranger_is_not_trusted(signer: KeySigner) -> None:
    envelope = notary.sign(make_signer(), TARGET, START, AGENT)

    with pytest.raises(BadSignatureError, match="is nobody who is trusted"):
        notary.verify(envelope, TARGET, trusting(signer.chain), START)


def test_a_trusted_certificate_borrowed_by_a_stranger_is_worth_nothing(signer: KeySigner) -> None:
    stranger = make_signer()
    stranger.chain = type(signer.chain)((*stranger.chain.certificates, *signer.chain.certificates))
    envelope = notary.sign(stranger, TARGET, START, AGENT)

    with pytest.raises(BadSignatureError, match="is not that of an authority"):
        notary.verify(envelope, TARGET, trusting(signer.chain), START)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        pytest.param(START - 1, "not valid yet", id="before"),
        pytest.param(START + 31 * DAY, "has expired", id="after"),
    ],
)
def test_certificates_have_their_time(signer: KeySigner, now: float, why: str) -> None:
    envelope = notary.sign(signer, TARGET, START, AGENT)

    with pytest.raises(BadSignatureError, match=why):
        notary.verify(envelope, TARGET, trusting(signer.chain), now)


@pytest.mark.parametrize(
    "other",
    [
        Target(TARGET.media_type, f"sha256:{'b' * 64}", 527),
        Target(TARGET.media_type, TARGET.digest, 528),
        Target("application/vnd.oci.image.index.v1+json", TARGET.digest, 527),
    ],
    ids=["digest", "size", "type"],
)
def test_another_image_is_not_signed(signer: KeySigner, other: Target) -> None:
    envelope = notary.sign(signer, TARGET, START, AGENT)

    with pytest.raises(BadSignatureError, match="signature of another image"):
        notary.verify(envelope, other, trusting(signer.chain), START)


def _drop(name: str) -> Change:
    return lambda envelope: envelope.pop(name)


def _put(name: str, value: object) -> Change:
    return lambda envelope: envelope.update({name: value})


def _protect(**headers: object) -> Change:
    """Change the protected headers, as somebody without the key would."""

    def change(envelope: dict[str, Any]) -> None:
        found = json.loads(base64.urlsafe_b64decode(envelope["protected"] + "=="))
        encoded = base64.urlsafe_b64encode(json.dumps(found | headers).encode())
        envelope["protected"] = encoded.decode().rstrip("=")

    return change


def _flip(name: str) -> Change:
    def change(envelope: dict[str, Any]) -> None:
        text = envelope[name]
        envelope[name] = ("B" if text[9] == "A" else "A").join((text[:9], text[10:]))

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(_flip("signature"), "not that of the certificate's key", id="signature"),
        pytest.param(_put("signature", ""), "not that of the certificate's key", id="none"),
        pytest.param(_flip("payload"), "not that of the certificate's key", id="payload"),
        pytest.param(_protect(more=1), "not that of the certificate's key", id="header"),
        pytest.param(_protect(alg="none"), "not its key's", id="no algorithm"),
        pytest.param(_protect(alg="HS256"), "not its key's", id="a secret's algorithm"),
        pytest.param(_protect(alg="ES384"), "not its key's", id="another algorithm"),
        pytest.param(_protect(cty="text/plain"), "is not one of", id="type"),
        pytest.param(_protect(crit=["more"]), "not understood", id="critical"),
        pytest.param(_protect(crit=None), "not understood", id="nothing critical"),
        pytest.param(_drop("payload"), "not well formed", id="no payload"),
        pytest.param(_put("more", 1), "not well formed", id="more"),
        pytest.param(_put("header", {}), "not well formed", id="no certificate"),
        pytest.param(_put("header", {"x5c": []}), "1 to 10 certificates", id="empty chain"),
        pytest.param(_put("header", {"x5c": ["AAAA"]}), "that is none", id="no such certificate"),
        pytest.param(_put("header", {"x5c": ["AAAA"] * 11}), "1 to 10", id="long chain"),
    ],
)
def test_a_changed_envelope_is_refused(signer: KeySigner, change: Change, why: str) -> None:
    envelope = json.loads(notary.sign(signer, TARGET, START, AGENT))
    change(envelope)

    with pytest.raises(BadSignatureError, match=why):
        notary.verify(json.dumps(envelope).encode(), TARGET, trusting(signer.chain), START)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000], ids=len)
def test_what_is_no_envelope_is_refused(signer: KeySigner, content: bytes) -> None:
    with pytest.raises(BadSignatureError):
        notary.verify(content, TARGET, trusting(signer.chain), START)
