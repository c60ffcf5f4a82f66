"""Bundles: what is carried, what is refused, and what is left after one that was broken off."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.errors import BackupUnusable, BundleRefused, EcrateError
from ecrate.domain.gates import PullGate
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.repositories import TagMutability
from ecrate.operations import deletions, gates, images, lifecycle, policies, repositories
from ecrate.operations.bundles.applying import Applying, apply_bundle
from ecrate.operations.bundles.folder import Bundle, BundleFolder, verified
from ecrate.operations.bundles.making import Making, changes, make_bundle
from ecrate.operations.pace import Pace
from ecrate.operations.signatures import sign_image
from ecrate.signers.keys import KeySigner
from ecrate.signers.profiles import Profiles
from ecrate.store.sqlite import migrate
from tests.support.core import HOUR, Bench
from tests.support.images import MadeImage, make_image
from tests.support.lifecycle import policy as lifecycle_policy
from tests.support.lifecycle import rule
from tests.support.policies import allow, policy
from tests.support.pushing import make_index
from tests.support.signers import make_profile, make_signer, pem_of, trusting
from tests.support.steps import Steps

POLICY = policy(allow("ecr:ListImages", Principal="*"))


class Kit:
    """A registry, one on the other side, and what carries bundles between them."""

    def __init__(self, root: Path, empty: Path) -> None:
        self.root = root
        self._empty = empty
        self.folder = BundleFolder(root / "bundles")
        self.signer: KeySigner = make_signer()
        self.here = self._bench("here", profiles=Profiles(root / "signing"))
        self.there = self._bench("there")

    def _bench(self, name: str, **options: Any) -> Bench:
        (self.root / name).mkdir()
        database = self.root / name / "ecrate.db"
        shutil.copy(self._empty, database)
        return Bench(self.root / name, f"sqlite://{database}", options=options)

    def make(self, since: Bundle | None = None) -> Bundle:
        self.here.clock.advance(HOUR)
        making = self.making(since)
        bundle = make_bundle(making)
        assert making.damaged == []
        return bundle

    def making(self, since: Bundle | None = None) -> Making:
        return Making(
            self.here.core,
            self.folder,
            self.here.caller.registry,
            self.signer,
            Steps(),
            Pace(),
            since=None if since is None else since.path.name,
        )

    def applying(self, bundle: Bundle, **options: Any) -> Applying:
        """Give one of a copy of the bundle, as it comes out of what it was carried in."""
        path = self.root / "media" / bundle.path.name
        if not path.exists():
            shutil.copytree(bundle.path, path)
        carried = verified(path, trusting(self.signer.chain), self.there.clock.now)
        registry = self.there.caller.registry
        return Applying(self.there.core, carried, registry, Steps(), Pace(), **options)

    def carry(self, since: Bundle | None = None) -> tuple[Bundle, Applying]:
        """Make a bundle and take it over."""
        bundle = self.make(since)
        applying = self.applying(bundle)
        assert apply_bundle(applying)
        assert applying.refusals == []
        return bundle, applying


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without rows, to be copied: making one takes its time."""
    path = tmp_path_factory.mktemp("empty") / "ecrate.db"
    migrate(path)
    return path


@pytest.fixture
def kit(tmp_path: Path, empty: Path) -> Iterator[Kit]:
    kit = Kit(tmp_path, empty)
    yield kit
    kit.here.close()
    kit.there.close()


@pytest.fixture
def one(kit: Kit) -> RepositoryRef:
    return kit.here.create("one")


def is_whole(bench: Bench, ref: RepositoryRef, image: MadeImage, tag: str) -> bool:
    """Tell whether an image can be pulled with all its layers."""
    _, content = images.get_image(bench.core, bench.caller, ref, ImageId(tag=tag))
    blobs = {blob.digest: blob.content for blob in image.blobs}
    return content.decode() == image.manifest and all(
        bench.read(ref, digest) == expected for digest, expected in blobs.items()
    )


def names(bench: Bench, ref: RepositoryRef) -> set[tuple[str | None, str]]:
    return {(one.tag, str(one.digest)) for one in bench.images(ref)}


def test_a_bundle_carries_everything(kit: Kit, one: RepositoryRef) -> None:
    make_profile(kit.root / "signing", "release")
    two = kit.here.create(
        "two", tag_mutability=TagMutability("IMMUTABLE"), resource_tags=(("stage", "prod"),)
    )
    image, other = make_image(10), make_image(20)
    kit.here.push(one, image, "v1", "latest")
    kit.here.push(two, image, "v1")
    kit.here.push(two, other)
    index = kit.here.put(two, make_index(image, other), ["all"])
    (signature,) = sign_image(kit.here.core, two, index, "release")

    _, applying = kit.carry()

    assert (applying.repositories, applying.images, applying.tags) == (2, 5, 4)
    assert is_whole(kit.there, one, image, "v1")
    for ref in (one, two):
        assert names(kit.there, ref) == names(kit.here, ref)
    assert (None, signature.text) in names(kit.there, two)
    found = repositories.describe_repositories(kit.there.core, kit.there.caller, [two])
    assert found[0].tag_mutability == TagMutability("IMMUTABLE")


def test_the_second_bundle_has_only_what_is_new(kit: Kit, one: RepositoryRef) -> None:
    image, new = make_image(1000), make_image(2000)
    kit.here.push(one, image, "v1")
    first, _ = kit.carry()
    shared = json.loads(image.manifest)["layers"] + json.loads(new.manifest)["layers"]
    both = {**new.document, "layers": shared}
    for blob in new.blobs:
        kit.here.store(one, blob.content)
    digest = kit.here.put(one, json.dumps(both), ["v2"])

    second, applying = kit.carry(first)

    carried = {str(row[1]) for row in second.changes("blobs") if row[0] == "+"}
    assert carried == {blob.digest for blob in new.blobs}
    assert second.about.since == first.about.id
    assert (applying.images, applying.tags, applying.layers) == (1, 1, 2)
    assert ("v2", digest.text) in names(kit.there, one)


def test_nothing_new_is_nothing_to_do(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    first, _ = kit.carry()

    second, applying = kit.carry(first)

    assert [rows.count for rows in second.about.changes] == [0] * 6
    assert (applying.images, applying.deleted) == (0, 0)


def test_what_was_deleted_goes(kit: Kit, one: RepositoryRef) -> None:
    two = kit.here.create("two")
    image, other = make_image(10), make_image(20)
    kit.here.push(one, image, "v1", "old")
    kit.here.push(one, other, "v2")
    index = kit.here.put(one, make_index(other), ["all"])
    first, _ = kit.carry()
    deletions.delete_tag(kit.here.core, kit.here.caller, one, "old")
    for digest in (index, Digest(other.digest)):
        deletions.batch_delete_image(kit.here.core, kit.here.caller, one, [ImageId(digest)])
    repositories.delete_repository(kit.here.core, kit.here.caller, two, force=False)

    _, applying = kit.carry(first)

    assert names(kit.there, one) == {("v1", image.digest)}
    page = repositories.list_repositories(
        kit.there.core, kit.there.caller, kit.there.caller.registry
    )
    assert [found.ref.name for found in page.repositories] == ["one"]
    assert applying.deleted == 6


def test_a_tag_that_moved_moves(kit: Kit, one: RepositoryRef) -> None:
    image, other = make_image(10), make_image(20)
    kit.here.push(one, image, "v1")
    first, _ = kit.carry()
    kit.here.push(one, other, "v1")

    kit.carry(first)

    assert names(kit.there, one) == {("v1", other.digest), (None, image.digest)}


def test_what_the_other_side_has_itself_stays(kit: Kit, one: RepositoryRef) -> None:
    image, own = make_image(10), make_image(30)
    kit.here.push(one, image, "v1")
    first, _ = kit.carry()
    kit.there.push(one, own, "own")
    kit.there.push(one, own, "v1")
    kit.there.put(one, image.manifest, ["kept"])
    deletions.batch_delete_image(
        kit.here.core, kit.here.caller, one, [ImageId(Digest(image.digest))]
    )

    kit.carry(first)

    assert names(kit.there, one) == {
        ("own", own.digest),
        ("v1", own.digest),
        ("kept", image.digest),
    }


def test_policies_are_carried(kit: Kit, one: RepositoryRef) -> None:
    here, there = kit.here, kit.there
    registry_policy = policy(allow("ecr:CreateRepository", Principal="*", Resource="*"))
    expiry = lifecycle_policy(rule(1))
    trusted = (pem_of(kit.signer.chain).decode(),)
    gate = PullGate("dry-run", trusted, exempt=("arn:aws:iam::123456789012:user/a",))
    policies.set_repository_policy(here.core, here.caller, one, POLICY, force=True)
    policies.put_registry_policy(here.core, here.caller, registry_policy)
    lifecycle.put_lifecycle_policy(here.core, here.caller, one, parse_lifecycle_policy(expiry))
    gates.put_gate(here.core, one, gate)

    first, _ = kit.carry()

    assert policies.get_repository_policy(there.core, there.caller, one) == POLICY
    assert policies.get_registry_policy(there.core, there.caller) == registry_policy
    assert lifecycle.get_lifecycle_policy(there.core, there.caller, one).text == expiry
    assert gates.list_gates(there.core) == [(one, gate)]

    policies.delete_repository_policy(here.core, here.caller, one)
    policies.delete_registry_policy(here.core, here.caller)
    lifecycle.delete_lifecycle_policy(here.core, here.caller, one)
    gates.delete_gate(here.core, one)
    kit.carry(first)

    assert gates.list_gates(there.core) == []
    for missing in (
        lambda: policies.get_repository_policy(there.core, there.caller, one),
        lambda: policies.get_registry_policy(there.core, there.caller),
        lambda: lifecycle.get_lifecycle_policy(there.core, there.caller, one),
    ):
        with pytest.raises(EcrateError):
            missing()


def test_policies_may_be_left_alone(kit: Kit, one: RepositoryRef) -> None:
    policies.set_repository_policy(kit.here.core, kit.here.caller, one, POLICY, force=True)

    applying = kit.applying(kit.make(), has_policies=False)
    apply_bundle(applying)

    with pytest.raises(EcrateError):
        policies.get_repository_policy(kit.there.core, kit.there.caller, one)


def test_a_locked_repository_loses_nothing(kit: Kit, one: RepositoryRef) -> None:
    image = make_image(10)
    kit.here.push(one, image, "v1")
    first, _ = kit.carry()
    repositories.lock_repository(kit.there.core, one, is_locked=True)
    deletions.delete_tag(kit.here.core, kit.here.caller, one, "v1")

    applying = kit.applying(kit.make(first))
    apply_bundle(applying)

    assert names(kit.there, one) == {("v1", image.digest)}
    assert ["is locked against deletion" in one.why for one in applying.refusals] == [True]


def test_a_bundle_again_is_nothing_to_do(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    bundle, _ = kit.carry()

    assert not apply_bundle(kit.applying(bundle))


def test_bundles_come_in_their_order(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    first = kit.make()
    kit.here.push(one, make_image(20), "v2")
    second = kit.make(first)
    kit.here.push(one, make_image(30), "v3")
    third = kit.make(second)

    with pytest.raises(BundleRefused, match=r"goes on from .* none has been"):
        apply_bundle(kit.applying(second))
    apply_bundle(kit.applying(first))
    with pytest.raises(BundleRefused, match=r"goes on from .* was the last"):
        apply_bundle(kit.applying(third))
    apply_bundle(kit.applying(second))
    with pytest.raises(BundleRefused, match="is older than the last one"):
        apply_bundle(kit.applying(first))
    apply_bundle(kit.applying(third))

    assert names(kit.there, one) == names(kit.here, one)


def test_a_bundle_of_a_stranger_is_refused(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    bundle = kit.make()

    with pytest.raises(BundleRefused, match="is nobody who is trusted"):
        verified(bundle.path, trusting(make_signer().chain), kit.there.clock.now)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _replace(path: Path) -> None:
    """Put other rows in the place of the file's."""
    with gzip.open(path, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    with gzip.open(path, "wb") as file:
        file.write(b"".join(lines[:-1]) + b'["+","../../etc","v1","sha256:00"]\n')


def _grow(path: Path) -> None:
    """Put more rows behind the file's: far more than there is room for."""
    with gzip.open(path, "ab") as file:
        for _ in range(10):
            file.write(b'["+","one","v1","sha256:00"]\n' * 10_000)


def _lead_away(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        pytest.param("changes/images.jsonl.gz", _cut, id="images cut"),
        pytest.param("changes/tags.jsonl.gz", _change, id="tags changed"),
        pytest.param("changes/tags.jsonl.gz", _replace, id="tags replaced"),
        pytest.param("changes/tags.jsonl.gz", _grow, id="tags without end"),
        pytest.param("changes/policies.jsonl.gz", Path.unlink, id="policies gone"),
        pytest.param("blobs/sha256/*/*", _cut, id="layer cut"),
        pytest.param("blobs/sha256/*/*", _change, id="layer changed"),
        pytest.param("blobs/sha256/*/*", Path.unlink, id="layer gone"),
        pytest.param("blobs/sha256/*/*", _lead_away, id="layer elsewhere"),
        pytest.param("bundle.jws", _change, id="description changed"),
        pytest.param("bundle.jws", _cut, id="description cut"),
        pytest.param("bundle.jws", Path.unlink, id="description gone"),
    ],
)
def test_a_damaged_bundle_changes_nothing(
    kit: Kit, one: RepositoryRef, pattern: str, damage: Callable[[Path], None]
) -> None:
    kit.here.push(one, make_image(1000), "v1")
    bundle = kit.make()
    damage(next(iter(sorted(bundle.path.glob(pattern)))))

    with pytest.raises(BundleRefused):
        apply_bundle(kit.applying(bundle))

    page = repositories.list_repositories(
        kit.there.core, kit.there.caller, kit.there.caller.registry
    )
    assert (page.repositories, kit.there.files()) == ([], set())


def test_one_that_was_broken_off_goes_on(
    kit: Kit, one: RepositoryRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        kit.here.push(one, make_image(10 * number), f"v{number}")
    bundle = kit.make()
    applying = kit.applying(bundle)
    real, left = kit.there.blobs.put, [4]

    def put(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kit.there.blobs, "put", put)
        with pytest.raises(KeyboardInterrupt):
            apply_bundle(applying)
    kit.here.push(one, make_image(40), "v4")
    later = kit.make(bundle)

    with pytest.raises(BundleRefused, match="was broken off here"):
        apply_bundle(kit.applying(later))
    again = kit.applying(bundle)
    assert apply_bundle(again)
    apply_bundle(kit.applying(later))

    assert 0 < again.images < 3
    assert names(kit.there, one) == names(kit.here, one)


def test_making_goes_on_with_what_is_copied(
    kit: Kit, one: RepositoryRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        kit.here.push(one, make_image(10 * number), f"v{number}")
    real, left = kit.here.blobs.open_blob, [2]

    def open_blob(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kit.here.blobs, "open_blob", open_blob)
        patch.setattr(kit.here.blobs, "file", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            kit.make()
    gone = ImageId(tag="v1")
    deletions.batch_delete_image(kit.here.core, kit.here.caller, one, [gone])
    kit.here.clock.advance(HOUR)
    making = kit.making()
    bundle = make_bundle(making)

    files = {path.name for path in bundle.path.glob("blobs/sha256/*/*")}
    assert files == {str(row[1]).partition(":")[2] for row in bundle.changes("blobs")}
    assert making.copied < len(files)
    assert [path.name for path in kit.folder.root.glob("*.partial")] == []


def test_a_layer_that_is_lost_is_told_of(kit: Kit, one: RepositoryRef) -> None:
    image, other = make_image(10), make_image(20)
    kit.here.push(one, image, "v1")
    kit.here.push(one, other, "v2")
    with kit.here.reading() as tx:
        row = tx.one("SELECT key FROM blobs WHERE digest = ?", image.layers[0].digest)
    assert row is not None
    kit.here.blobs.delete(row[0])

    making = kit.making()
    bundle = make_bundle(making)
    applying = kit.applying(bundle)
    apply_bundle(applying)

    assert making.damaged == [image.layers[0].digest] == list(bundle.about.damaged)
    assert names(kit.there, one) == {("v2", other.digest)}
    assert len(applying.refusals) == 2


def test_what_the_other_side_has_lost_is_refused(kit: Kit, one: RepositoryRef) -> None:
    """A layer that it had by an earlier bundle, and has no more, is in no later one."""
    image = make_image(10)
    kit.here.push(one, image, "v1")
    first, _ = kit.carry()
    document = {**image.document, "annotations": {"a": "b"}}
    kit.here.put(one, json.dumps(document), ["v2"])
    with kit.there.writing() as tx:
        tx.run("UPDATE blobs SET lost_at = 1")
        tx.run("DELETE FROM layers WHERE image_count = 0")
    two = kit.here.create("two")
    kit.here.push(two, image, "v1")

    applying = kit.applying(kit.make(first))
    apply_bundle(applying)

    reasons = [found.why for found in applying.refusals if "two" in found.what]
    assert reasons[0] == f"the bytes of its layer {image.config.digest} are gone or damaged"


def test_the_bundle_before_has_to_be_there(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    first = kit.make()
    shutil.rmtree(first.path)

    with pytest.raises(BundleRefused, match="there is no bundle"):
        kit.make(first)


def test_blobs_of_a_bundle_that_is_away_are_not_needed(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    first, _ = kit.carry()
    shutil.rmtree(first.path / "blobs")
    kit.here.push(one, make_image(20), "v2")

    kit.carry(first)

    assert names(kit.there, one) == names(kit.here, one)


def test_one_works_in_a_folder_at_a_time(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")

    with (
        kit.folder.locked(create=True),
        pytest.raises(BackupUnusable, match="another bundle is at work"),
    ):
        kit.make()


def test_advisories_are_carried_where_there_is_a_use_for_them(kit: Kit, one: RepositoryRef) -> None:
    kit.here.push(one, make_image(10), "v1")
    making = kit.making()
    making.advisories = lambda _: iter([("CVE-1", "{}"), ("CVE-2", "{}")])
    bundle = make_bundle(making)
    taken: list[list[object]] = []

    with pytest.raises(BundleRefused, match="has no use for any"):
        apply_bundle(kit.applying(bundle))
    apply_bundle(kit.applying(bundle, take_advisories=taken.extend))

    assert taken == [["+", "CVE-1", "{}"], ["+", "CVE-2", "{}"]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [], []),
        ([], [["a", 1]], [["+", "a", 1]]),
        ([["a", 1]], [], [["-", "a", 1]]),
        ([["a", 1]], [["a", 2]], [["+", "a", 2]]),
        (
            [["a", 1], ["b", 1], ["d", 1]],
            [["b", 1], ["c", 1], ["d", 2]],
            [["-", "a", 1], ["+", "c", 1], ["+", "d", 2]],
        ),
    ],
    ids=["nothing", "new", "gone", "other", "some of each"],
)
def test_lists_are_compared(
    old: list[list[object]], new: list[list[object]], expected: list[list[object]]
) -> None:
    assert list(changes(iter(old), iter(new), 1)) == expected
