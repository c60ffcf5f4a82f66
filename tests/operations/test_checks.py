"""What a check finds, and what a repair makes of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ecrate.domain.damage import KINDS, Finding
from ecrate.domain.errors import ImageAlreadyExists, LayerAlreadyExists
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.operations.checks import inspect
from ecrate.operations.checks.inspection import Inspection
from ecrate.operations.collection import collect
from ecrate.operations.holds import holding
from ecrate.operations.pace import Pace
from tests.support.checking import audit, break_rows, check, file_of, pull, whole
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import MadeImage, make_image
from tests.support.pushing import make_index
from tests.support.steps import Steps
from tests.support.trash import delete


def kinds(findings: Sequence[Finding]) -> list[tuple[str, bool]]:
    return [(one.kind, one.is_mended) for one in findings]


def push_again(bench: Bench, ref: RepositoryRef, image: MadeImage) -> None:
    """Do as a client that finds the image there, and maybe not all of its layers."""
    with contextlib.suppress(ImageAlreadyExists):
        bench.push(ref, image)


@pytest.fixture
def image(bench: Bench, one: RepositoryRef) -> MadeImage:
    """An image in repository `one`."""
    made = make_image(100, 200)
    bench.push(one, made, "v1", "v2")
    return made


def test_nothing_is_wrong(bench: Bench, one: RepositoryRef, image: MadeImage) -> None:
    child = make_image(10)
    bench.push(one, child)
    bench.put(one, make_index(child), ["all"])
    deleted = make_image(20)
    bench.push(one, deleted, "old")
    delete(bench, one, Digest(deleted.digest))
    bench.begin(one, b"begun")
    inspection = Inspection(bench.core, Steps(), pace=Pace())

    assert list(inspect(inspection)) == []
    sizes = [len(blob.content) for made in (image, child, deleted) for blob in made.blobs]
    assert inspection.counts["blobs"] == len(sizes)
    assert inspection.counts["bytes"] == sum(sizes)
    assert inspection.counts["images"] == 4


def test_steps_are_told(bench: Bench, image: MadeImage) -> None:
    steps = Steps()

    list(inspect(Inspection(bench.core, steps, pace=Pace())))

    assert steps.begun[0] == "database of 1 files"
    assert "images of 1 images" in steps.begun
    assert steps.begun[-1] == f"digests of {sum(len(b.content) for b in image.blobs)} bytes"


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        pytest.param(lambda file: file.unlink(), "missing-blob", id="gone"),
        pytest.param(lambda file: file.write_bytes(b"x"), "cut-blob", id="cut"),
        pytest.param(
            lambda file: file.write_bytes(bytes(file.stat().st_size)), "corrupt-blob", id="corrupt"
        ),
    ],
)
def test_harm_to_bytes_is_healed_by_a_push(
    bench: Bench, one: RepositoryRef, image: MadeImage, harm: Callable[[Path], None], kind: str
) -> None:
    layer = image.layers[0]
    harm(file_of(bench, layer.digest))

    (found,) = check(bench)
    (repaired,) = check(bench, repairs=True)
    (left,) = check(bench)
    push_again(bench, one, image)

    assert (found.kind, found.what, found.done, found.is_mended) == (kind, layer.digest, "", False)
    assert found.image_count == 1
    assert (found.images[0].ref, list(found.images[0].tags)) == (one, ["v1", "v2"])
    assert repaired.kind == kind
    assert repaired.done.startswith("noted")
    assert left.kind == "lost-blob"
    assert check(bench) == []
    assert pull(bench, one, image) == whole(image)
    bench.clock.advance(2 * HOUR)
    collect(bench.core)
    assert pull(bench, one, image) == whole(image)
    assert audit(bench) == []


def test_one_push_heals_all_repositories(
    bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    two = bench.create("two")
    bench.push(two, image, "v3")
    file_of(bench, image.layers[1].digest).unlink()
    (found,) = check(bench, repairs=True)

    push_again(bench, two, image)

    assert found.image_count == 2
    assert pull(bench, one, image) == pull(bench, two, image) == whole(image)


def test_corrupt_bytes_stay_in_quarantine_for_a_while(
    bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    file = file_of(bench, image.layers[0].digest)
    file.write_bytes(bytes(100))
    check(bench, repairs=True)
    collect(bench.core)
    was_there = file.exists()
    bench.clock.advance(2 * HOUR)

    collect(bench.core)

    assert was_there
    assert not file.exists()
    push_again(bench, one, image)
    assert check(bench) == []


def test_bytes_that_come_back_are_taken_back(
    bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    file = file_of(bench, image.layers[0].digest)
    file.write_bytes(bytes(100))
    check(bench, repairs=True)
    file.write_bytes(image.layers[0].content)

    assert kinds(check(bench, repairs=True)) == [("lost-blob", True)]
    assert check(bench) == []
    bench.clock.advance(2 * HOUR)
    collect(bench.core)
    assert pull(bench, one, image) == whole(image)


def test_no_bytes_are_read_without_a_pace(bench: Bench, image: MadeImage) -> None:
    file_of(bench, image.layers[0].digest).write_bytes(bytes(100))

    assert check(bench, hashes=False) == []


def test_image_in_the_trash_is_named_as_it_was(
    bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    delete(bench, one, Digest(image.digest))
    file_of(bench, image.layers[0].digest).unlink()

    (found,) = check(bench)

    (needed,) = found.images
    assert (needed.ref, needed.digest.text, needed.is_deleted) == (one, image.digest, True)


def test_orphan_goes_into_quarantine(bench: Bench) -> None:
    orphan = bench.folder / "blobs" / "ab" / "abandoned"
    orphan.write_bytes(b"nobody's")
    fresh = bench.folder / "uploads" / "fresh"
    fresh.write_bytes(b"just begun")
    bench.clock.now = fresh.stat().st_mtime + HOUR
    os.utime(orphan, (0, 0))

    (found,) = check(bench)
    (repaired,) = check(bench, repairs=True)

    assert (found.kind, found.what, found.is_mended) == ("orphan", "abandoned", False)
    assert repaired.is_mended
    assert check(bench) == []
    collect(bench.core)
    assert orphan.exists()
    bench.clock.advance(2 * HOUR)
    collect(bench.core)
    assert not orphan.exists()


def test_bytes_that_are_brought_in_are_no_orphans(bench: Bench) -> None:
    brought = bench.folder / "blobs" / "ab" / "brought"
    brought.write_bytes(b"as old as they are")
    os.utime(brought, (0, 0))

    with holding(bench.core):
        while_held = check(bench, repairs=True)

    assert while_held == []
    assert [found.kind for found in check(bench)] == ["orphan"]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE layers SET image_count = 7", id="images-of-a-layer"),
        pytest.param("UPDATE images SET tag_count = 0", id="tags"),
        pytest.param("UPDATE repositories SET image_count = 0", id="images"),
        pytest.param("UPDATE registries SET repository_count = 9", id="repositories"),
    ],
)
def test_count_is_counted_again(bench: Bench, image: MadeImage, statement: str) -> None:
    break_rows(bench, statement)

    found = check(bench)
    repaired = check(bench, repairs=True)

    assert {one.kind for one in found} == {"wrong-count"}
    assert kinds(repaired) == [("wrong-count", True)] * len(found)
    assert check(bench) == []
    assert audit(bench) == []
    assert image.digest


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        pytest.param("DELETE FROM image_layers", "wrong-references", id="layers"),
        pytest.param("DELETE FROM image_children", "wrong-references", id="children"),
        pytest.param("DELETE FROM layers", "broken-reference", id="links"),
        pytest.param("UPDATE images SET subject = 'sha256:0'", "wrong-references", id="subject"),
        pytest.param("UPDATE images SET manifest_size = 1", "wrong-references", id="size"),
        pytest.param(
            "INSERT INTO image_children SELECT min(id), max(id) FROM images",
            "wrong-references",
            id="extra",
        ),
        pytest.param(
            "INSERT INTO tags (repository_id, tag, image_id) "
            "SELECT id, 'lost', 99 FROM repositories",
            "broken-reference",
            id="tag",
        ),
        pytest.param(
            "INSERT INTO manifests SELECT 99, content FROM manifests LIMIT 1",
            "broken-reference",
            id="manifest",
        ),
    ],
)
def test_rows_are_derived_from_manifests(
    bench: Bench, one: RepositoryRef, image: MadeImage, statement: str, kind: str
) -> None:
    bench.put(one, make_index(image), ["all"])
    break_rows(bench, statement)

    found = check(bench)
    repaired = check(bench, repairs=True)

    assert kind in {finding.kind for finding in found}
    assert {is_mended for _, is_mended in kinds(repaired)} == {True}
    assert check(bench) == []
    assert audit(bench) == []
    assert pull(bench, one, image) == whole(image)


def test_blob_without_a_row_is_lost_until_it_is_pushed(
    bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    digest = image.layers[0].digest
    break_rows(bench, f"DELETE FROM blobs WHERE digest = '{digest}'")  # noqa: S608 - a digest

    repaired = check(bench, repairs=True)
    (left,) = check(bench)
    push_again(bench, one, image)

    assert ("lost-blob", False) in kinds(repaired)
    assert (left.kind, left.what, left.image_count) == ("lost-blob", digest, 1)
    assert check(bench) == []
    assert pull(bench, one, image) == whole(image)


def test_missing_reference_stays_missing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(sparse_manifests=True)
    one, two = bench.create("one"), bench.create("two")
    image = make_image(10)
    bench.put(one, image.manifest, ["sparse"])
    bench.push(two, image)

    assert check(bench, repairs=True) == []
    assert not bench.has(one, image.layers[0].digest)


def test_damaged_manifest_is_taken_from_another_repository(
    bench: Bench, one: RepositoryRef, image: MadeImage
) -> None:
    bench.push(bench.create("two"), image)
    with bench.writing() as tx:
        first = "(SELECT min(id) FROM images)"
        tx.run(f"UPDATE manifests SET content = ? WHERE image_id = {first}", b"{}")  # noqa: S608

    (found,) = check(bench)
    (repaired,) = check(bench, repairs=True)

    assert (found.kind, found.what) == ("damaged-manifest", f"one@{image.digest}")
    assert (repaired.done, repaired.is_mended) == ("taken from another repository", True)
    assert pull(bench, one, image) == whole(image)


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_damaged_manifest_that_nobody_else_has_is_healed_by_a_push(
    bench: Bench, one: RepositoryRef, image: MadeImage, content: bytes | None
) -> None:
    with bench.writing() as tx:
        if content is None:
            tx.run("DELETE FROM manifests")
        tx.run("UPDATE manifests SET content = ?", content)

    (left,) = check(bench, repairs=True)
    bench.push(one, image)

    assert (left.kind, left.is_mended) == ("damaged-manifest", False)
    assert list(left.images[0].tags) == ["v1", "v2"]
    assert check(bench) == []


def test_forgotten_blob_is_left_to_the_collector(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, b"unneeded")
    break_rows(bench, "DELETE FROM layers")

    (repaired,) = check(bench, repairs=True)

    assert (repaired.kind, repaired.is_mended) == ("forgotten-blob", True)
    collect(bench.core)
    bench.clock.advance(DAY)
    collect(bench.core)
    assert bench.files() == set()


def test_what_changes_meanwhile_is_not_told(
    bench: Bench, one: RepositoryRef, image: MadeImage, make_bench: Callable[..., Bench]
) -> None:
    """A layer that is sent again between two looks is no finding."""
    file_of(bench, image.layers[0].digest).unlink()
    other = make_bench()
    exists = bench.blobs.exists

    def exists_slowly(key: str, size: int) -> bool:
        found = exists(key, size)
        with contextlib.suppress(LayerAlreadyExists):
            other.store(one, image.layers[0].content)
        return found

    bench.blobs.exists = exists_slowly  # type: ignore[method-assign]
    found = check(bench)

    assert found == []


def test_database_that_cannot_be_read_ends_the_check(tmp_path: Path) -> None:
    (tmp_path / "sqlite").mkdir()
    bench = Bench(tmp_path / "sqlite")
    bench.push(bench.create(), make_image(10), "v1")
    break_rows(bench, "PRAGMA wal_checkpoint(TRUNCATE)")
    with (bench.folder / "ecrate.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 3))

    found = check(bench)

    bench.close()
    assert {one.kind for one in found} == {"damaged-database"}


def test_manifest_that_would_not_be_taken_today_is_no_damage(
    bench: Bench, one: RepositoryRef
) -> None:
    image = make_image(10)
    bench.push(one, image, "v1")
    document = json.dumps(json.loads(image.manifest) | {"LAYERS": []}).encode()
    with bench.writing() as tx:
        tx.run("UPDATE manifests SET content = ?", document)
        tx.run("UPDATE images SET digest = ?, manifest_size = ?", f"{make_digest(document)}", 1)

    assert check(bench) == []


def make_digest(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def test_kinds_are_known() -> None:
    assert len(set(KINDS)) == len(KINDS)
