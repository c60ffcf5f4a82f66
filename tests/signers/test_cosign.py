"""Cosign's signatures: checked by openssl, and whatever is wrong with one is found."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ecrate.signers import cosign
from ecrate.signers.certificates import apart
from ecrate.signers.images import PAYLOAD_TYPE, Signature, Target, signatures_in
from ecrate.signers.keys import KeySigner
from ecrate.signers.port import COSIGN, BadSignatureError, SignerError
from ecrate.signers.trust import Trust
from tests.support.clients import find_program
from tests.support.core import START
from tests.support.signers import issue, make_signer, public_pem, trusting

TARGET = Target("application/vnd.oci.image.manifest.v1+json", f"sha256:{'a' * 64}", 527)
SIGNATURE = "dev.cosignproject.cosign/signature"


def sign(signer: KeySigner, target: Target = TARGET) -> tuple[bytes, Signature]:
    payload, annotations = cosign.sign(signer, target, "one", "ecrate/test", START)
    return payload, Signature(COSIGN, f"sha256:{'c' * 64}", len(payload), annotations)


@pytest.fixture(scope="module")
def signer() -> KeySigner:
    return make_signer()


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_openssl_checks_the_signature(kind: str, tmp_path: Path) -> None:
    signer = make_signer(kind=kind)
    payload, signature = sign(signer)
    (tmp_path / "key").write_bytes(public_pem(signer.chain))
    (tmp_path / "signature").write_bytes(base64.b64decode(signature.annotations[SIGNATURE]))
    (tmp_path / "payload").write_bytes(payload)

    options = ("-sha256", "-verify", "key", "-signature", "signature", "payload")
    done = subprocess.run(
        [find_program("openssl"), "dgst", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "Verified OK\n"


def test_the_payload_is_as_cosign_reads_it(signer: KeySigner) -> None:
    payload, signature = sign(signer)

    found = json.loads(payload)
    assert found["critical"] == {
        "identity": {"docker-reference": "one"},
        "image": {"docker-manifest-digest": TARGET.digest},
        "type": "cosign container image signature",
    }
    certificate = signature.annotations["dev.sigstore.cosign/certificate"]
    assert certificate.startswith("-----BEGIN CERTIFICATE-----\n")


def test_the_signer_is_named(signer: KeySigner) -> None:
    payload, signature = sign(signer)

    verified = cosign.verify(payload, signature, TARGET, trusting(signer.chain), START)
    assert verified.signer == "CN=releases,O=example"


def test_an_authority_vouches_for_who_signs() -> None:
    root = issue("root", is_authority=True)
    leaf = issue("leaf", root)
    payload, signature = sign(KeySigner(leaf.chain, leaf.key))

    verified = cosign.verify(payload, signature, TARGET, trusting(root.chain), START)
    assert verified.signer == "CN=leaf"


def test_a_key_is_enough_to_trust_what_names_no_certificate(signer: KeySigner) -> None:
    payload, signature = sign(signer)
    bare = replace(signature, annotations={SIGNATURE: signature.annotations[SIGNATURE]})

    by_key = cosign.verify(payload, bare, TARGET, Trust.parse(public_pem(signer.chain)), START)
    by_certificate = cosign.verify(payload, bare, TARGET, trusting(signer.chain), START)
    assert by_key.signer.startswith("key sha256:")
    assert by_certificate.signer == "CN=releases,O=example"


def test_other_curves_are_refused() -> None:
    with pytest.raises(SignerError, match="P-256, or one of RSA"):
        sign(make_signer(kind="p384"))


def test_a_stranger_is_not_trusted(signer: KeySigner) -> None:
    payload, signature = sign(make_signer())

    with pytest.raises(BadSignatureError, match="nobody who is trusted"):
        cosign.verify(payload, signature, TARGET, trusting(signer.chain), START)


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        pytest.param({}, "by no key that is trusted", id="none"),
        pytest.param({SIGNATURE: "!"}, "not base64", id="not base64"),
        pytest.param({SIGNATURE: "AAAA"}, "by no key that is trusted", id="not DER"),
        pytest.param(
            {SIGNATURE: "AAAA", "dev.sigstore.cosign/certificate": "nonsense"},
            "no chain of certificates",
            id="no certificate",
        ),
    ],
)
def test_what_is_no_signature_is_refused(
    signer: KeySigner, annotations: dict[str, str], why: str
) -> None:
    payload, signature = sign(signer)

    with pytest.raises(BadSignatureError, match=why):
        cosign.verify(
            payload,
            replace(signature, annotations=annotations),
            TARGET,
            trusting(signer.chain),
            START,
        )


def test_a_changed_payload_is_refused(signer: KeySigner) -> None:
    payload, signature = sign(signer)

    with pytest.raises(BadSignatureError, match="by no key that is trusted"):
        cosign.verify(payload + b" ", signature, TARGET, trusting(signer.chain), START)


def test_another_image_is_not_signed(signer: KeySigner) -> None:
    payload, signature = sign(signer, replace(TARGET, digest=f"sha256:{'b' * 64}"))

    with pytest.raises(BadSignatureError, match="signature of another image"):
        cosign.verify(payload, signature, TARGET, trusting(signer.chain), START)


@pytest.mark.parametrize("payload", [b"{}", b"[]", b'{"critical": 1}', b"\xff"], ids=repr)
def test_a_signed_payload_of_another_kind_is_refused(signer: KeySigner, payload: bytes) -> None:
    good, signature = sign(signer)
    key = signer.sign(payload, "ES256")
    encoded = base64.b64encode(apart(key)).decode()
    other = replace(signature, annotations={**signature.annotations, SIGNATURE: encoded})

    assert good != payload
    with pytest.raises(BadSignatureError, match=r"not well formed|another image"):
        cosign.verify(payload, other, TARGET, trusting(signer.chain), START)


@pytest.mark.parametrize(
    "layer",
    [
        None,
        {"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 1},
        {"mediaType": PAYLOAD_TYPE, "size": "1"},
        {"mediaType": PAYLOAD_TYPE, "size": 5_000_000},
    ],
    ids=["no layer", "a tar", "no size", "too large"],
)
def test_layers_that_are_no_signatures_are_passed_by(layer: object) -> None:
    assert list(signatures_in({"layers": [layer]})) == []
