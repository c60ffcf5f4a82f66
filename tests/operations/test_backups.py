"""Backups: what is in them, what is copied, what happens meanwhile, and what comes out again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.domain.errors import BackupUnusable, HoldLost, TargetNotEmpty
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.operations.backups.folder import Backup, BackupFolder
from ecrate.operations.backups.making import Making, make_backup
from ecrate.operations.backups.restoring import (
    Restoring,
    mark_damaged,
    restore_blobs,
    restore_rows,
    verify_backup,
)
from ecrate.operations.collection import collect
from ecrate.operations.core import Limits
from ecrate.operations.pace import Pace
from tests.support.checking import audit, check, file_of, pull, whole
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import MadeImage, make_image
from tests.support.pushing import make_index
from tests.support.steps import Steps
from tests.support.trash import delete, restore

FILES = {"secret": b"0" * 64, "credentials": b"[default]\n"}


class Kit:
    """Makes backups of a bench in one folder, and restores them next to it."""

    def __init__(self, bench: Bench, root: Path) -> None:
        self.bench = bench
        self.root = root
        self.folder = BackupFolder(root / "backups")
        self._opened: list[Bench] = []

    def make(self, *, copies: bool = False) -> tuple[Backup, Making]:
        making = Making(self.bench.core, self.folder, Steps(), Pace(), copies=copies)
        return make_backup(making, FILES), making

    def begin(self, name: str = "restored") -> Restoring:
        target = Bench(self.root / name)
        self._opened.append(target)
        return Restoring(
            self.folder.find(None),
            self.folder.pool,
            target.database,
            target.blobs,
            Steps(),
            Pace(),
        )

    def restore(self, name: str = "restored") -> Bench:
        restoring = self.begin(name)
        restore_blobs(restoring)
        restore_rows(restoring)
        mark_damaged(restoring.database, restoring.damaged, self.bench.clock.now)
        return self._opened[-1]

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture
def kit(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    kit = Kit(bench, tmp_path_factory.mktemp("kit"))
    (kit.root / "restored").mkdir()
    (kit.root / "again").mkdir()
    yield kit
    kit.close()


@pytest.fixture
def image(bench: Bench, one: RepositoryRef) -> MadeImage:
    made = make_image(1000, 2000)
    bench.push(one, made, "v1")
    return made


def pooled(kit: Kit) -> set[str]:
    return {
        f"{file.parts[-3]}:{file.name}"
        for file in kit.folder.pool.path(Digest("sha256:0")).parents[2].rglob("*")
        if file.is_file()
    }


def test_everything_comes_back(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    bench.put(one, make_index(image), ["all"])
    deleted = make_image(50)
    bench.push(one, deleted, "old")
    delete(bench, one, Digest(deleted.digest))

    backup, _ = kit.make()
    target = kit.restore()

    assert pull(target, one, image) == whole(image)
    assert target.images(one) == bench.images(one)
    restore(target, one, Digest(deleted.digest))
    assert pull(target, one, deleted) == whole(deleted)
    assert backup.files() == FILES
    assert check(target) == []
    assert audit(target) == []


def test_second_backup_copies_what_is_new(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    _, first = kit.make()
    new = make_image(3000)
    bench.push(one, new, "v2")
    bench.clock.advance(1)

    _, second = kit.make()

    assert [first.copied, second.copied] == [3, 2]
    assert pooled(kit) == {blob.digest for made in (image, new) for blob in made.blobs}
    assert len(kit.folder.backups()) == 2


def test_earlier_backup_is_restored_by_name(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    first, _ = kit.make()
    bench.push(one, make_image(10), "v2")
    kit.make()

    assert kit.folder.find(first.name).about.size == sum(len(b.content) for b in image.blobs)
    with pytest.raises(BackupUnusable, match="no backup 'other'"):
        kit.folder.find("other")


@pytest.mark.parametrize("copies", [False, True])
def test_bytes_are_shared_unless_copied(kit: Kit, image: MadeImage, *, copies: bool) -> None:
    kit.make(copies=copies)

    file = kit.folder.pool.path(Digest(image.layers[0].digest))
    assert file.samefile(file_of(kit.bench, image.layers[0].digest)) != copies
    assert file.read_bytes() == image.layers[0].content


def test_files_are_their_owners(kit: Kit, image: MadeImage) -> None:
    backup, _ = kit.make(copies=True)

    modes = {path.stat().st_mode & 0o077 for path in kit.folder.root.rglob("*")}
    assert modes == {0}
    assert (kit.folder.root.stat().st_mode & 0o777) == 0o700
    assert backup.path.parent == kit.folder.root
    assert image.digest


def test_bytes_that_are_deleted_meanwhile_are_in_the_backup(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """The image is deleted and collected between the snapshot and the first copy."""
    limits = Limits(trash_kept=0.0, layer_grace=1.0, quarantine=0.0)
    bench, image = make_bench(limits=limits), make_image(1000, 2000)
    one = bench.create("one")
    bench.push(one, image, "v1")
    kit = Kit(bench, tmp_path / "kit")
    (kit.root / "restored").mkdir(parents=True)
    file = bench.blobs.file

    def delete_first(key: str) -> Path:
        bench.blobs.file = file  # type: ignore[method-assign]
        delete(bench, one, Digest(image.digest))
        for _ in range(3):
            bench.clock.advance(2)
            collect(bench.core)
        return file(key)

    bench.blobs.file = delete_first  # type: ignore[method-assign]
    _, making = kit.make()
    with bench.reading() as tx:
        left = tx.one("SELECT count(*) FROM blobs")
    collect(bench.core)
    target = kit.restore()

    assert left == (0,)
    assert bench.files() == set()
    assert making.damaged == []
    assert pull(target, one, image) == whole(image)
    kit.close()


def test_backup_that_stood_still_is_given_up(kit: Kit, bench: Bench, image: MadeImage) -> None:
    file = bench.blobs.file

    def stand_still(key: str) -> Path:
        bench.clock.advance(HOUR)
        return file(key)

    bench.blobs.file = stand_still  # type: ignore[method-assign]
    with pytest.raises(HoldLost):
        kit.make()
    bench.blobs.file = file  # type: ignore[method-assign]

    assert kit.folder.backups() == []
    _, making = kit.make()
    assert making.damaged == []
    assert [path.name for path in kit.folder.root.glob("*.partial")] == []
    assert image.digest


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda file: file.unlink(), id="gone"),
        pytest.param(lambda file: file.write_bytes(b"x"), id="cut"),
        pytest.param(lambda file: file.write_bytes(bytes(1000)), id="corrupt"),
    ],
)
def test_damage_is_told_and_the_rest_is_backed_up(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage, harm: Callable[[Path], None]
) -> None:
    harm(file_of(bench, image.layers[0].digest))

    backup, making = kit.make()
    target = kit.restore()

    assert making.damaged == [image.layers[0].digest] == list(backup.about.damaged)
    assert [(one.kind, one.what) for one in check(target)] == [
        ("lost-blob", image.layers[0].digest)
    ]
    bench.store(one, b"")
    target.store(one, image.layers[0].content)
    assert pull(target, one, image) == whole(image)


def test_layer_that_is_sent_again_meanwhile_is_no_damage(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    file_of(bench, image.layers[0].digest).unlink()
    check(bench, repairs=False)
    lost = bench.blobs.file

    def send_again(key: str) -> Path:
        bench.blobs.file = lost  # type: ignore[method-assign]
        bench.store(bench.create("two"), image.layers[0].content)
        return lost(key)

    bench.blobs.file = send_again  # type: ignore[method-assign]
    _, making = kit.make()

    assert making.damaged == []
    assert pull(kit.restore(), one, image) == whole(image)


def test_known_losses_stay_known(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    file_of(bench, image.layers[0].digest).unlink()
    check(bench, repairs=True)

    _, making = kit.make()

    assert making.damaged == []
    assert [found.kind for found in check(kit.restore())] == ["lost-blob"]
    assert one.name


def test_restore_goes_on_where_it_was(kit: Kit, one: RepositoryRef, image: MadeImage) -> None:
    kit.make()
    first = kit.begin()
    restore_blobs(first)
    next((kit.root / "restored" / "blobs").rglob("*-*-*")).unlink()

    second = kit.begin()
    restore_blobs(second)
    restore_rows(second)

    assert [first.copied, second.copied] == [3, 1]
    target = Bench(kit.root / "restored")
    assert pull(target, one, image) == whole(image)
    target.close()


def test_restore_into_what_has_rows_is_refused(kit: Kit, image: MadeImage) -> None:
    kit.make()
    kit.restore()

    with pytest.raises(TargetNotEmpty, match="database is not empty"):
        restore_rows(kit.begin())
    assert image.digest


def test_identities_go_on(kit: Kit, bench: Bench, one: RepositoryRef) -> None:
    gone = bench.create("gone")
    with bench.reading() as tx:
        before = tx.one("SELECT max(id) FROM repositories")
    with bench.writing() as tx:
        tx.run("DELETE FROM repositories WHERE name = ?", gone.name)
    kit.make()

    target = kit.restore()
    target.create("new")

    with target.reading() as tx:
        after = tx.one("SELECT max(id) FROM repositories")
    assert before == (2,)
    assert after == (3,)
    assert one.name == "one"


def test_verify_finds_what_was_damaged_since(kit: Kit, image: MadeImage) -> None:
    backup, _ = kit.make(copies=True)
    well = verify_backup(backup, kit.folder.pool, Steps(), Pace())
    kit.folder.pool.path(Digest(image.layers[0].digest)).write_bytes(bytes(1000))
    kit.folder.pool.path(Digest(image.layers[1].digest)).unlink()

    damaged = verify_backup(backup, kit.folder.pool, Steps(), Pace())

    assert well == []
    assert sorted(damaged) == sorted(layer.digest for layer in image.layers)


def test_bytes_damaged_in_the_backup_are_not_restored(
    kit: Kit, one: RepositoryRef, image: MadeImage
) -> None:
    kit.make(copies=True)
    kit.folder.pool.path(Digest(image.layers[0].digest)).write_bytes(bytes(1000))

    target = kit.restore()

    assert [found.kind for found in check(target)] == ["lost-blob"]
    assert target.read(one, image.layers[1].digest) == image.layers[1].content


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        pytest.param("backup.json", lambda _: b"{}", id="about-nothing"),
        pytest.param("backup.json", lambda content: content[:-20], id="about-cut"),
        pytest.param("backup.json", lambda content: content.replace(b": 1,", b": 2,"), id="later"),
        pytest.param("rows/images.jsonl.gz", lambda content: content[:-9], id="rows-cut"),
        pytest.param("rows/images.jsonl.gz", lambda _: b"no gzip", id="rows-other"),
        pytest.param("blobs.jsonl.gz", lambda _: b"", id="blobs-gone"),
        pytest.param("secret", lambda content: content[1:], id="secret"),
    ],
)
def test_damaged_backup_is_refused(
    kit: Kit, image: MadeImage, file: str, harm: Callable[[bytes], bytes]
) -> None:
    backup, _ = kit.make()
    path = backup.path / file
    path.write_bytes(harm(path.read_bytes()))

    with pytest.raises(BackupUnusable):
        verify_backup(kit.folder.find(None), kit.folder.pool, Steps(), Pace())
    assert image.digest


def test_rows_of_a_damaged_backup_are_not_half_there(kit: Kit, image: MadeImage) -> None:
    backup, _ = kit.make()
    shutil.copy(backup.path / "rows/blobs.jsonl.gz", backup.path / "rows/tags.jsonl.gz")
    restoring = kit.begin()

    with pytest.raises(BackupUnusable, match=r"tags.jsonl.gz is damaged"):
        restore_rows(restoring)

    with restoring.database.read() as tx:
        assert tx.one("SELECT count(*) FROM repositories") == (0,)
    assert image.digest


def test_old_backups_go_with_what_only_they_have(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    kit.make()
    delete(bench, one, Digest(image.digest))
    bench.clock.advance(10 * DAY)
    for _ in range(3):
        collect(bench.core)
        bench.clock.advance(2 * DAY)
    new = make_image(10)
    bench.push(one, new, "v2")
    kit.make()

    none_gone = kit.folder.keep(2)
    gone = kit.folder.keep(1)

    assert none_gone == 0
    assert gone == 1 + len(image.blobs)
    assert pooled(kit) == {blob.digest for blob in new.blobs}
    assert pull(kit.restore(), one, new) == whole(new)


def test_two_backups_at_once_are_refused(kit: Kit) -> None:
    with kit.folder.locked(create=True), pytest.raises(BackupUnusable, match="another backup"):
        kit.make()


def test_folder_that_cannot_be_used(kit: Kit) -> None:
    kit.folder.root.write_bytes(b"a file")

    with pytest.raises(BackupUnusable, match="cannot use"):
        kit.make()


def test_folder_without_backups(kit: Kit) -> None:
    with pytest.raises(BackupUnusable, match="there is no backup in"):
        kit.folder.find(None)


class ElsewhereBlobs(FilesystemBlobs):
    """Blobs that have to be read to be had."""

    is_local = False

    @override
    def file(self, key: str) -> None:  # type: ignore[override]
        return None


def test_bytes_of_a_store_elsewhere_are_copied(
    kit: Kit, bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    elsewhere = Bench(bench.folder, bench.url, blob_store=ElsewhereBlobs(bench.folder))
    making = Making(elsewhere.core, kit.folder, Steps(), Pace())

    make_backup(making, FILES)
    elsewhere.close()

    assert making.copied == 3
    assert pull(kit.restore(), one, image) == whole(image)


def test_backup_is_on_disk_as_drawn(kit: Kit, image: MadeImage) -> None:
    backup, _ = kit.make()

    found = {str(path.relative_to(backup.path)) for path in backup.path.iterdir()}
    assert found == {"backup.json", "blobs.jsonl.gz", "rows", "secret", "credentials"}
    names = {path.name for path in kit.folder.root.iterdir()}
    assert names == {"lock", "blobs", backup.name}
    assert [path.name for path in (kit.folder.root / "blobs").iterdir()] == ["sha256"]
    assert pooled(kit) == {blob.digest for blob in image.blobs}


def test_names_of_backups_at_one_time_differ(kit: Kit) -> None:
    made = [kit.make()[0].name for _ in range(3)]

    assert len(set(made)) == 3
    assert [path.name for path in kit.folder.backups()] == made
