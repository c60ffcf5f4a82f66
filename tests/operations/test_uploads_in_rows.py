"""A small first part is kept in the upload's row until more bytes come, or the upload's end."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from ecrate.domain.errors import InvalidLayerPart, LimitExceeded, UploadBusy, UploadNotFound
from ecrate.domain.layers import Part
from ecrate.domain.names import RepositoryRef
from ecrate.operations import layers, uploads
from ecrate.operations.core import Limits
from tests.support.core import Bench
from tests.support.images import digest_of

CONTENT = b"the layer"
DIGEST = digest_of(CONTENT)
SHA512 = f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"
ROOM = 64


@pytest.fixture(autouse=True)
def roomy(bench: Bench) -> None:
    """Let rows hold small parts."""
    bench.blobs.row_room = ROOM


def files(bench: Bench) -> list[str]:
    return [path.name for path in (bench.folder / "uploads").iterdir()]


def read(bench: Bench, ref: RepositoryRef, digest: str) -> bytes:
    layer = layers.find_layer(bench.core, bench.caller, ref, digest)
    with layers.open_layer(bench.core, layer) as source:
        return source.read()


@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
def test_small_upload_needs_no_file_before_its_end(
    bench: Bench, one: RepositoryRef, digest: str
) -> None:
    upload_id = bench.begin(one, CONTENT)
    before = files(bench)

    stored = bench.complete(one, upload_id, digest)

    assert (before, files(bench)) == ([], [])
    assert stored == bench.complete(one, upload_id, digest) == digest
    assert read(bench, one, digest) == CONTENT


@pytest.mark.parametrize("size", [ROOM, ROOM + 1], ids=["in-the-row", "in-a-file"])
def test_part_that_a_row_has_no_room_for_goes_to_a_file(
    bench: Bench, one: RepositoryRef, size: int
) -> None:
    upload_id = bench.begin(one, bytes(size))

    assert files(bench) == ([upload_id] if size > ROOM else [])
    assert bench.complete(one, upload_id, digest_of(bytes(size))) == digest_of(bytes(size))


def test_writer_goes_on_behind_what_the_row_has(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)

    with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as cut_off:
        cut_off.write(b" of which nothing counts")
    with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
        writer.write(b" and more")
        writer.commit()

    whole = CONTENT + b" and more"
    assert bench.complete(one, upload_id, digest_of(whole)) == digest_of(whole)
    assert read(bench, one, digest_of(whole)) == whole


def test_part_in_a_row_sent_again_is_harmless(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)

    again = bench.send(one, upload_id, 0, CONTENT)

    assert again == len(CONTENT) - 1
    assert bench.complete(one, upload_id, DIGEST) == DIGEST


def test_part_in_a_row_has_the_size_of_its_range(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one)

    with pytest.raises(InvalidLayerPart, match="9 bytes instead of 10"):
        uploads.upload_layer_part(
            bench.core, bench.caller, one, upload_id, Part(0, 9), pieces=[CONTENT]
        )

    assert bench.send(one, upload_id, 0, CONTENT) == len(CONTENT) - 1


def test_part_in_a_row_counts_towards_the_largest_layer(bench: Bench, one: RepositoryRef) -> None:
    bench.core = replace(bench.core, limits=Limits(layer_size=8))
    upload_id = bench.begin(one)

    with pytest.raises(LimitExceeded, match="8 bytes"):
        bench.send(one, upload_id, 0, CONTENT)


def test_complete_of_what_grew_meanwhile_is_refused(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)

    def grow() -> None:
        with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
            writer.write(b" and more")
            writer.commit()

    bench.database.before_write = grow
    with pytest.raises(UploadBusy):
        bench.complete(one, upload_id, DIGEST)

    whole = digest_of(CONTENT + b" and more")
    assert bench.complete(one, upload_id, whole) == whole


def test_writer_of_what_was_completed_meanwhile_is_refused(
    bench: Bench, one: RepositoryRef
) -> None:
    upload_id = bench.begin(one, CONTENT)

    with uploads.LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
        writer.write(b" and more")
        bench.complete(one, upload_id, DIGEST)
        with pytest.raises(UploadNotFound):
            writer.commit()

    assert read(bench, one, DIGEST) == CONTENT
