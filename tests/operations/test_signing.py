"""Signing on push: what is signed, by whom, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ecrate.domain.errors import ImageNotFound, SigningFailed
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.signing import SigningConfiguration, SigningRule
from ecrate.operations import images, referrers, signing
from ecrate.operations.events import publish_events
from ecrate.operations.signatures import sign_image
from ecrate.signers.checking import check_signature
from ecrate.signers.images import Target, signatures_in
from ecrate.signers.profiles import Profiles
from ecrate.signers.trust import Trust
from tests.support.core import Bench
from tests.support.images import OCI_MANIFEST, MadeImage, make_image
from tests.support.signers import make_profile

ARN = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/release"
NOTARY = "application/vnd.cncf.notary.signature"
COSIGN = "application/vnd.dev.cosign.artifact.sig.v1+json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "signing"


@pytest.fixture
def bench(make_bench: Callable[..., Bench], folder: Path) -> Bench:
    """A core whose events nobody has followed yet."""
    return make_bench(profiles=Profiles(folder))


def work(bench: Bench) -> None:
    """Do all that waits in the background."""
    while publish_events(bench.core) or signing.run_signing(bench.core, lambda: True):
        pass
    signing.run_signing(bench.core, lambda: True)


def configure(bench: Bench, *filters: str, arn: str = ARN) -> None:
    configuration = SigningConfiguration([SigningRule(arn, filters)])
    signing.put_signing_configuration(bench.core, bench.caller, configuration)


def status(bench: Bench, ref: RepositoryRef, digest: Digest) -> list[tuple[str, str | None]]:
    _, found = signing.describe_image_signing_status(bench.core, bench.caller, ref, ImageId(digest))
    return [(one.status, one.failure_reason) for one in found]


def signatures(bench: Bench, ref: RepositoryRef, digest: Digest) -> list[str | None]:
    """Give the artifact types of what refers to an image."""
    page, _ = referrers.list_image_referrers(bench.core, bench.caller, ref, digest.text)
    return [one.artifact_type for one in page]


def read(bench: Bench, ref: RepositoryRef, image_id: ImageId) -> dict[str, object]:
    _, content = images.get_image(bench.core, bench.caller, ref, image_id)
    document: dict[str, object] = json.loads(content)
    return document


def signers(
    bench: Bench, ref: RepositoryRef, image: MadeImage, signature: ImageId, trusted: Path
) -> list[str]:
    """Give who has signed the image, by all signatures in another."""
    target = Target(OCI_MANIFEST, image.digest, len(image.manifest))
    trust = Trust.parse(trusted.read_bytes())
    return [
        check_signature(one, bench.read(ref, one.digest), target, trust, bench.clock.now).signer
        for one in signatures_in(read(bench, ref, signature))
    ]


def test_a_pushed_image_is_signed(bench: Bench, one: RepositoryRef, folder: Path) -> None:
    trusted = make_profile(folder, "release")
    configure(bench)
    image = make_image(10)
    digest = bench.push(one, image, "v1", "v2")

    before = status(bench, one, digest)
    work(bench)

    (found,), _ = referrers.list_image_referrers(bench.core, bench.caller, one, digest.text)
    assert before == [("IN_PROGRESS", None)]
    assert status(bench, one, digest) == [("COMPLETE", None)]
    assert (found.artifact_type, found.media_type) == (NOTARY, OCI_MANIFEST)
    thumbprints = json.loads(found.annotations["io.cncf.notary.x509chain.thumbprint#S256"])
    assert [len(one) for one in thumbprints] == [64]
    assert signers(bench, one, image, ImageId(found.digest), trusted) == ["CN=release"]


def test_each_format_is_made(bench: Bench, one: RepositoryRef, folder: Path) -> None:
    trusted = make_profile(folder, "release", 'formats = ["notary", "cosign", "cosign-tag"]')
    image = make_image(10)
    digest = bench.push(one, image)

    made = sign_image(bench.core, one, digest, "release")

    tag = f"{digest.text.replace(':', '-')}.sig"
    assert signatures(bench, one, digest) == [NOTARY, COSIGN]
    assert ImageId(made[2], tag) in bench.images(one)
    for signature in made:
        assert signers(bench, one, image, ImageId(signature), trusted) == ["CN=release"]


def test_a_tag_gathers_cosigns_signatures(bench: Bench, one: RepositoryRef, folder: Path) -> None:
    make_profile(folder, "release", 'formats = ["cosign-tag"]')
    trusted = make_profile(folder, "again", 'formats = ["cosign-tag"]')
    both = folder / "both.pem"
    both.write_bytes(trusted.read_bytes() + (folder / "release.pem").read_bytes())
    image = make_image(10)
    digest = bench.push(one, image)

    for name in ("release", "again"):
        sign_image(bench.core, one, digest, name)

    tag = ImageId(tag=f"{digest.text.replace(':', '-')}.sig")
    assert signers(bench, one, image, tag, both) == ["CN=release", "CN=again"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param((), [NOTARY], id="none"),
        pytest.param(("team/*",), [NOTARY], id="one"),
        pytest.param(("other", "*/app"), [NOTARY], id="another"),
        pytest.param(("*pp", "*app"), [NOTARY], id="two that match"),
        pytest.param(("team",), [], id="no"),
    ],
)
def test_filters_say_which_repositories_are_signed(
    bench: Bench, folder: Path, filters: tuple[str, ...], expected: list[str]
) -> None:
    make_profile(folder, "release")
    configure(bench, *filters)
    ref = bench.create("team/app")
    digest = bench.push(ref, make_image(10))

    work(bench)

    assert signatures(bench, ref, digest) == expected


def test_signatures_are_not_signed(bench: Bench, one: RepositoryRef, folder: Path) -> None:
    make_profile(folder, "release", 'formats = ["notary", "cosign-tag"]')
    configure(bench)
    digest = bench.push(one, make_image(10), "v1")

    for _ in range(3):
        work(bench)

    assert len(bench.images(one)) == 3
    assert signatures(bench, one, digest) == [NOTARY]


def test_another_push_of_a_signed_image_signs_nothing(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    make_profile(folder, "release")
    configure(bench)
    image = make_image(10)
    digest = bench.push(one, image, "v1")
    work(bench)

    bench.push(one, image, "v2")
    work(bench)

    assert signatures(bench, one, digest) == [NOTARY]


def test_what_was_pushed_before_is_not_signed(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    make_profile(folder, "release")
    digest = bench.push(one, make_image(10))
    work(bench)
    bench.clock.advance(1)

    configure(bench)
    work(bench)

    assert status(bench, one, digest) == []
    assert signatures(bench, one, digest) == []


@pytest.mark.parametrize(
    ("arn", "why"),
    [
        pytest.param(ARN.replace("release", "other"), "there is no signing profile", id="name"),
        pytest.param(ARN.replace("123456789012", "0" * 12), "another account's", id="account"),
    ],
)
def test_a_profile_that_cannot_be_used_fails(
    bench: Bench, one: RepositoryRef, folder: Path, arn: str, why: str
) -> None:
    make_profile(folder, "release")
    configure(bench, arn=arn)
    digest = bench.push(one, make_image(10))

    work(bench)

    ((found, reason),) = status(bench, one, digest)
    assert found == "FAILED"
    assert why in (reason or "")


def test_a_profile_of_other_accounts_is_refused(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    make_profile(folder, "release", 'accounts = ["000000000000"]')
    digest = bench.push(one, make_image(10))

    with pytest.raises(SigningFailed, match="is not for the account 123456789012"):
        sign_image(bench.core, one, digest, "release")


def test_a_program_that_fails_is_tried_again(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    make_profile(folder, "release", "command = ['/bin/false']")
    configure(bench)
    digest = bench.push(one, make_image(10))

    seen = []
    for _ in range(3):
        work(bench)
        seen.append(status(bench, one, digest))
        bench.clock.advance(60)

    failed = ("FAILED", "/bin/false failed: it says nothing")
    assert seen == [[("IN_PROGRESS", None)], [("IN_PROGRESS", None)], [failed]]


def test_a_failure_is_mended_by_another_push(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    configure(bench)
    image = make_image(10)
    digest = bench.push(one, image, "v1")
    work(bench)
    make_profile(folder, "release")

    bench.push(one, image, "v2")
    work(bench)

    assert status(bench, one, digest) == [("COMPLETE", None)]


def test_a_deleted_configuration_signs_nothing(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    make_profile(folder, "release")
    configure(bench)
    signing.delete_signing_configuration(bench.core, bench.caller)
    digest = bench.push(one, make_image(10))

    work(bench)

    assert status(bench, one, digest) == []


def test_an_image_that_is_gone_is_not_signed(
    bench: Bench, one: RepositoryRef, folder: Path
) -> None:
    make_profile(folder, "release")

    with pytest.raises(ImageNotFound):
        sign_image(bench.core, one, Digest(f"sha256:{'a' * 64}"), "release")


def test_work_ends_when_it_may_not_go_on(bench: Bench, one: RepositoryRef, folder: Path) -> None:
    make_profile(folder, "release")
    configure(bench)
    digest = bench.push(one, make_image(10))
    publish_events(bench.core)

    assert not signing.run_signing(bench.core, lambda: False)
    assert status(bench, one, digest) == [("IN_PROGRESS", None)]
