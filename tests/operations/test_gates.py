"""Pull gates: what passes, what does not, and what is told of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.errors import (
    EcrateError,
    InvalidParameter,
    PullGateNotFound,
    PullRefused,
)
from ecrate.domain.gates import Counts, PullGate
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.operations import gates, images
from ecrate.operations import scans as scanning
from ecrate.operations.advisories import import_advisories
from ecrate.operations.signatures import sign_image
from ecrate.signers.profiles import Profiles
from ecrate.store import images as store
from ecrate.store.audit import AuditLog
from ecrate.store.database import MustWaitError, Transaction
from ecrate.store.scans import find_counts
from tests.support.core import DAY, Bench
from tests.support.images import OCI_MANIFEST, MadeImage, make_image
from tests.support.osv import FEED
from tests.support.pushing import make_index
from tests.support.scanning import image_with, python, scan_all
from tests.support.signers import make_profile

UNSIGNED = "nobody who is trusted has signed it"
ROLE = "arn:aws:iam::123456789012:role/signer"


class Scans:
    """The findings that tests say images have, by digest."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, int]] = {}

    def __call__(self, tx: Transaction, image_id: int) -> Counts:
        row = tx.one("SELECT digest FROM images WHERE id = ?", image_id)
        assert row is not None
        return self.found.get(row[0])


@pytest.fixture
def scans() -> Scans:
    return Scans()


@pytest.fixture
def bench(make_bench: Callable[..., Bench], tmp_path: Path, scans: Scans) -> Bench:
    """A core with the profiles `release` and `other`, and findings."""
    for name in ("release", "other"):
        make_profile(tmp_path / "signing", name, 'formats = ["notary"]')
    make_profile(tmp_path / "signing", "tag", 'formats = ["cosign-tag"]')
    make_profile(tmp_path / "signing", "cosign", 'formats = ["cosign"]')
    audit = AuditLog(tmp_path / "audit.log", tmp_path / "lock", max_size=None, kept=1)
    return make_bench(profiles=Profiles(tmp_path / "signing"), findings=scans, audit=audit)


def set_gate(bench: Bench, ref: RepositoryRef, *names: str, **conditions: Any) -> None:
    """Let only pass what is signed by a profile of these, or meets the conditions."""
    trusted = tuple((bench.folder / "signing" / f"{name}.pem").read_text() for name in names)
    conditions = {"mode": "enforce", "trusted": trusted, **conditions}
    gates.put_gate(bench.core, ref, PullGate(**conditions))


def pull(
    bench: Bench, ref: RepositoryRef, digest: Digest | str, caller: Caller | None = None
) -> str | None:
    """Pull through both operations; give the reason where it is refused."""
    image_id = ImageId(Digest(str(digest)))
    caller = caller or bench.caller
    (answer,) = images.find_images(bench.core, caller, ref, [image_id])
    if not isinstance(answer, EcrateError):
        images.get_image(bench.core, caller, ref, image_id)
        return None
    with pytest.raises(PullRefused) as refused:
        images.get_image(bench.core, caller, ref, image_id)
    assert str(answer) == str(refused.value)
    return refused.value.reason


def put_about(bench: Bench, ref: RepositoryRef, subject: MadeImage, **members: Any) -> Digest:
    """Put an image that refers to another."""
    image = make_image(10)
    for blob in image.blobs:
        bench.store(ref, blob.content)
    about = {
        "mediaType": OCI_MANIFEST,
        "digest": subject.digest,
        "size": len(subject.manifest),
    }
    return bench.put(ref, json.dumps(image.document | {"subject": about} | members))


@pytest.mark.parametrize("profile", ["release", "cosign", "tag"])
def test_what_is_signed_passes(bench: Bench, one: RepositoryRef, profile: str) -> None:
    digest = bench.push(one, make_image(10), "v1")
    set_gate(bench, one, profile)

    before = pull(bench, one, digest)
    sign_image(bench.core, one, digest, profile)

    assert (before, pull(bench, one, digest)) == (UNSIGNED, None)


def test_what_a_stranger_has_signed_is_refused(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    sign_image(bench.core, one, digest, "other")
    set_gate(bench, one, "release")

    assert pull(bench, one, digest) == UNSIGNED


def test_one_of_those_who_are_trusted_is_enough(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    sign_image(bench.core, one, digest, "other")
    set_gate(bench, one, "release", "other")

    assert pull(bench, one, digest) is None


def test_a_changed_gate_holds_at_once(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    sign_image(bench.core, one, digest, "other")
    set_gate(bench, one, "other")

    before = pull(bench, one, digest)
    set_gate(bench, one, "release")

    assert (before, pull(bench, one, digest)) == (None, UNSIGNED)


def test_a_signature_copied_to_another_image_is_worth_nothing(
    bench: Bench, one: RepositoryRef
) -> None:
    signed, other = make_image(10), make_image(20)
    digest = bench.push(one, signed)
    bench.push(one, other)
    (signature,) = sign_image(bench.core, one, digest, "release")
    _, content = images.get_image(bench.core, bench.caller, one, ImageId(signature))
    forged = json.loads(content)
    forged["subject"] |= {"digest": other.digest, "size": len(other.manifest)}
    bench.put(one, json.dumps(forged))
    set_gate(bench, one, "release")

    assert pull(bench, one, other.digest) == UNSIGNED


def test_a_signature_counts_until_its_certificate_ends(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    sign_image(bench.core, one, digest, "release")
    set_gate(bench, one, "release")

    before = pull(bench, one, digest)
    bench.clock.advance(31 * DAY)

    assert (before, pull(bench, one, digest)) == (None, UNSIGNED)


def test_platforms_follow_their_index(bench: Bench, one: RepositoryRef) -> None:
    image, alone = make_image(10), make_image(20)
    child, other = bench.push(one, image), bench.push(one, alone)
    index = bench.put(one, make_index(image))
    set_gate(bench, one, "release")

    before = [pull(bench, one, digest) for digest in (index, child)]
    sign_image(bench.core, one, index, "release")

    assert before == [UNSIGNED, UNSIGNED]
    assert [pull(bench, one, digest) for digest in (index, child)] == [None, None]
    assert pull(bench, one, other) == UNSIGNED


def test_an_index_is_not_signed_by_its_platforms(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    child = bench.push(one, image)
    index = bench.put(one, make_index(image))
    sign_image(bench.core, one, child, "release")
    set_gate(bench, one, "release")

    assert pull(bench, one, index) == UNSIGNED


@pytest.mark.parametrize("profile", ["release", "cosign", "tag"])
def test_signatures_pass(bench: Bench, one: RepositoryRef, profile: str) -> None:
    digest = bench.push(one, make_image(10))
    (signature,) = sign_image(bench.core, one, digest, profile)
    set_gate(bench, one, "release")

    assert pull(bench, one, signature) is None


def test_what_is_about_an_image_passes_unless_it_could_run(
    bench: Bench, one: RepositoryRef
) -> None:
    subject = make_image(10)
    bench.push(one, subject)
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2}
    empty["digest"] = bench.store(one, b"{}")
    sbom = put_about(bench, one, subject, artifactType="application/sbom", config=empty)
    runs = put_about(bench, one, subject, artifactType="application/sbom")
    set_gate(bench, one, "release")

    assert pull(bench, one, sbom) is None
    assert pull(bench, one, runs) == UNSIGNED


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"LOW": 3, "MEDIUM": 1}, None, id="some"),
        pytest.param({"HIGH": 0}, None, id="no high ones"),
        pytest.param(
            {"LOW": 3, "CRITICAL": 1},
            "it has findings of the severity CRITICAL, above MEDIUM",
            id="critical",
        ),
    ],
)
def test_findings_up_to_a_severity_pass(
    bench: Bench, one: RepositoryRef, scans: Scans, found: dict[str, int], reason: str | None
) -> None:
    digest = bench.push(one, make_image(10))
    scans.found[digest.text] = found
    set_gate(bench, one, highest_severity="MEDIUM")

    assert pull(bench, one, digest) == reason


def test_an_index_has_the_findings_of_its_platforms(
    bench: Bench, one: RepositoryRef, scans: Scans
) -> None:
    good, bad = make_image(10), make_image(20)
    for image in (good, bad):
        bench.push(one, image)
    index = bench.put(one, make_index(good, bad))
    scans.found |= {good.digest: {"LOW": 1}, bad.digest: {"CRITICAL": 1}}
    set_gate(bench, one, highest_severity="HIGH")

    reason = "it has findings of the severity CRITICAL, above HIGH"
    assert pull(bench, one, index) == reason
    assert pull(bench, one, bad.digest) == reason
    assert pull(bench, one, good.digest) is None


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [({"needs_scan": False}, None), ({"needs_scan": True}, "it has not been scanned")],
    ids=["need not be", "has to be"],
)
def test_what_was_not_scanned_passes_unless_it_has_to_be(
    bench: Bench,
    one: RepositoryRef,
    scans: Scans,
    conditions: dict[str, bool],
    reason: str | None,
) -> None:
    digest = bench.push(one, make_image(10))
    set_gate(bench, one, highest_severity="LOW", **conditions)

    before = pull(bench, one, digest)
    scans.found[digest.text] = {}

    assert (before, pull(bench, one, digest)) == (reason, None)


def test_findings_are_those_of_the_scanner(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(findings=find_counts)
    one = bench.create()
    feed = [(path.name, path.read_bytes()) for path in FEED.glob("*.json")]
    import_advisories(bench.core, "own", feed)
    image = image_with(python("sample-lib", "1.0"))
    digest = bench.push(one, image, "v1")
    set_gate(bench, one, highest_severity="CRITICAL", needs_scan=True)

    before = pull(bench, one, digest)
    scanning.start_image_scan(bench.core, bench.caller, one, ImageId(digest))
    scan_all(bench.core)
    after = pull(bench, one, digest)
    set_gate(bench, one, highest_severity="UNDEFINED")

    assert (before, after) == ("it has not been scanned", None)
    assert (pull(bench, one, digest) or "").startswith("it has findings of the severity")


def test_conditions_on_findings_need_a_scanner(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    one = bench.create()

    with pytest.raises(InvalidParameter, match="does not scan images"):
        set_gate(bench, one, highest_severity="LOW")


@pytest.mark.parametrize(
    ("gate", "member"),
    [
        pytest.param(PullGate("enforce"), "conditions", id="nothing"),
        pytest.param(PullGate("off", needs_scan=True), "mode", id="mode"),
        pytest.param(PullGate("enforce", highest_severity="BAD"), "highestSeverity", id="word"),
        pytest.param(PullGate("enforce", trusted=("nonsense",)), "trusted", id="certificate"),
    ],
)
def test_a_gate_that_is_none_is_refused(
    bench: Bench, one: RepositoryRef, gate: PullGate, member: str
) -> None:
    with pytest.raises(InvalidParameter, match=f"at '{member}'"):
        gates.put_gate(bench.core, one, gate)
    assert gates.list_gates(bench.core) == []


def test_a_dry_run_refuses_nothing_and_tells(
    bench: Bench, one: RepositoryRef, caplog: pytest.LogCaptureFixture
) -> None:
    digest = bench.push(one, make_image(10))
    set_gate(bench, one, "release", mode="dry-run")

    with caplog.at_level(logging.WARNING, "ecrate"):
        images.get_image(bench.core, bench.caller, one, ImageId(digest))

    told = f"pull gate: would refuse one@{digest} for {bench.caller.arn}: {UNSIGNED}"
    (line,) = (bench.folder / "audit.log").read_text().splitlines()
    assert caplog.messages == [told]
    assert json.loads(line)["serviceEventDetails"] == {
        "repositoryName": "one",
        "imageDigest": digest.text,
        "mode": "dry-run",
        "reason": UNSIGNED,
    }


def test_a_refusal_is_told_of(
    bench: Bench, one: RepositoryRef, caplog: pytest.LogCaptureFixture
) -> None:
    digest = bench.push(one, make_image(10))
    set_gate(bench, one, "release")

    with caplog.at_level(logging.WARNING, "ecrate"), pytest.raises(PullRefused) as refused:
        images.get_image(bench.core, bench.caller, one, ImageId(digest))

    assert str(refused.value) == (
        f"The image with digest '{digest}' may not be pulled from the repository with name 'one': "
        f"{UNSIGNED}"
    )
    assert caplog.messages[0].startswith(f"pull gate: refused one@{digest}")


def test_whoever_is_exempt_passes(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    session = Caller(
        "arn:aws:sts::123456789012:assumed-role/signer/it",
        "ASIA",
        bench.caller.registry,
        is_root=True,
        role_arn=ROLE,
    )
    set_gate(bench, one, "release", exempt=(ROLE,))

    assert pull(bench, one, digest, session) is None
    assert pull(bench, one, digest) == UNSIGNED


def test_a_deleted_gate_lets_pass(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    set_gate(bench, one, "release")
    gates.delete_gate(bench.core, one)

    assert pull(bench, one, digest) is None
    with pytest.raises(PullGateNotFound):
        gates.delete_gate(bench.core, one)


def test_other_repositories_have_no_gate(bench: Bench, one: RepositoryRef) -> None:
    two = bench.create("two")
    digest = bench.push(two, make_image(10))
    set_gate(bench, one, "release")

    assert pull(bench, two, digest) is None


def test_signatures_are_read_once(
    bench: Bench, one: RepositoryRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull that was answered needs neither a layer nor a key the next time."""
    digest = bench.push(one, make_image(10))
    sign_image(bench.core, one, digest, "release")
    set_gate(bench, one, "release")
    pull(bench, one, digest)
    monkeypatch.setattr(bench.blobs, "open_blob", None)

    assert pull(bench, one, digest) is None


def test_a_gate_is_not_asked_where_there_is_no_time(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    set_gate(bench, one, "release")

    gathering = bench.database.gathering
    if gathering is None:
        pytest.skip("no operation runs on the loop on this engine")
    with pytest.raises(MustWaitError):
        gathering.look(images.get_image, bench.core, bench.caller, one, ImageId(digest))


def test_opening_an_image_tells_of_the_gate_in_one_statement(
    bench: Bench, one: RepositoryRef
) -> None:
    digest = bench.push(one, make_image(10))
    set_gate(bench, one, "release")

    with bench.reading() as tx:
        opened, image = store.open_image(tx, one, ImageId(digest))

    assert opened.repository is not None
    assert (opened.repository.has_gate, image is not None) == (True, True)
