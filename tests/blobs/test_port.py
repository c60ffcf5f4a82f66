"""The contract of the BlobStore port, for every driver."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

import pytest

from ecrate.blobs.hashing import Buffer
from ecrate.blobs.port import BlobStore, BusyError
from ecrate.blobs.verified import DamagedError, VerifiedReader
from ecrate.domain.names import Digest
from tests.support.rows import Uploads

CONTENT = b"content"
MIB = 1024 * 1024


def keys_of(blobs: BlobStore, before: float) -> list[str]:
    """List the uploads whose bytes the store has; a driver may put something behind a dot."""
    return sorted(key.partition(".")[0] for key, _ in blobs.list_keys(before))


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"con", b"tent"], id="bytes"),
        pytest.param([bytearray(b"con"), memoryview(b"tent")], id="buffers"),
        pytest.param([b"", b"content", memoryview(b"")], id="empty-pieces"),
    ],
)
def test_write_appends(uploads: Uploads, key: str, pieces: list[Buffer]) -> None:
    uploads.write(key, *pieces)

    assert uploads.read_back(key) == CONTENT


def test_write_keeps_no_hold_of_the_buffer(uploads: Uploads, key: str) -> None:
    buffer = bytearray(b"con")
    with contextlib.closing(uploads.open(key)) as file:
        file.start(0)
        file.write(memoryview(buffer))
        buffer[:] = b"ten"
        file.write(memoryview(buffer))
        uploads.count(key, file.sync(), 6)

    assert uploads.read_back(key) == b"conten"


def test_write_goes_on_where_the_row_says(uploads: Uploads, key: str) -> None:
    uploads.write(key, b"con")

    uploads.write(key, b"tent")

    assert uploads.read_back(key) == CONTENT


def test_write_of_nothing_changes_nothing(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)

    uploads.write(key)

    assert uploads.read_back(key) == CONTENT


@pytest.mark.parametrize("is_synced", [True, False], ids=["synced", "not-synced"])
@pytest.mark.parametrize("size", [30, 30 * MIB], ids=["small", "large"])
def test_what_was_not_counted_does_not_matter(
    uploads: Uploads, key: str, size: int, *, is_synced: bool
) -> None:
    uploads.write(key, b"con")
    with contextlib.closing(uploads.open(key)) as file:
        file.start(3)
        file.write(bytes(size))
        for step in [file.sync] if is_synced else []:
            step()

    uploads.write(key, b"tent")

    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_start_drops_what_was_just_written(uploads: Uploads, key: str) -> None:
    with contextlib.closing(uploads.open(key)) as file:
        file.start(0)
        file.write(b"of a part that was refused")
        file.start(0)
        file.write(CONTENT)
        uploads.count(key, file.sync(), len(CONTENT))

    assert uploads.read_back(key) == CONTENT


def test_start_beyond_the_bytes_fails(uploads: Uploads, key: str) -> None:
    uploads.write(key, b"con")

    with (
        contextlib.closing(uploads.open(key)) as file,
        pytest.raises(FileNotFoundError),
    ):
        file.start(4)


def test_open_upload_that_is_not_there_fails(uploads: Uploads, key: str) -> None:
    uploads.row(key).is_open = False

    with pytest.raises(FileNotFoundError):
        uploads.open(key, is_new=False)


def test_open_upload_is_new_more_than_once(uploads: Uploads, key: str) -> None:
    uploads.write(key)

    uploads.write(key, CONTENT)

    assert uploads.read_back(key) == CONTENT


def test_open_upload_of_another_writer_is_busy(uploads: Uploads, key: str) -> None:
    with (
        contextlib.closing(uploads.open(key)),
        pytest.raises(BusyError),
    ):
        uploads.open(key, wait=0.1)


def test_open_upload_waits_for_another_writer(uploads: Uploads, key: str) -> None:
    first = uploads.open(key)
    first.start(0)
    is_waiting = threading.Event()

    def write_later() -> None:
        is_waiting.set()
        with contextlib.closing(uploads.open(key, wait=30)) as file:
            file.start(3)
            file.write(b"tent")
            uploads.count(key, file.sync(), 7)

    thread = threading.Thread(target=write_later)
    thread.start()
    is_waiting.wait()
    first.write(b"con")
    uploads.count(key, first.sync(), 3)
    first.close()

    thread.join()

    assert uploads.read_back(key) == CONTENT


def test_open_upload_that_is_committed_meanwhile_fails(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    first = uploads.open(key)
    failures: list[type[Exception]] = []
    is_waiting = threading.Event()

    def wait() -> None:
        is_waiting.set()
        with pytest.raises(FileNotFoundError) as caught:
            uploads.open(key, is_new=False, wait=30)
        failures.append(caught.type)

    thread = threading.Thread(target=wait)
    thread.start()
    is_waiting.wait()
    time.sleep(0.1)  # so that it opened the upload; if it did not, it fails all the same
    uploads.blobs.commit(key, first.seal())
    uploads.row(key).is_open = False
    first.close()
    thread.join()

    assert failures == [FileNotFoundError]


def test_close_twice_is_harmless(uploads: Uploads, key: str) -> None:
    file = uploads.open(key)
    file.close()

    file.close()

    uploads.write(key, CONTENT)
    assert uploads.read_back(key) == CONTENT


def test_sync_twice_is_harmless(uploads: Uploads, key: str) -> None:
    with contextlib.closing(uploads.open(key)) as file:
        file.start(0)
        file.write(CONTENT)
        first = file.sync()
        second = file.sync()
        uploads.count(key, second, len(CONTENT))

    assert first == second
    assert uploads.read_back(key) == CONTENT


def test_write_after_sync_goes_on(uploads: Uploads, key: str) -> None:
    with contextlib.closing(uploads.open(key)) as file:
        file.start(0)
        file.write(b"con")
        file.sync()
        file.write(b"tent")
        uploads.count(key, file.sync(), len(CONTENT))

    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_read_back_gives_what_counts(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)

    read = uploads.read_back(key)

    assert read == CONTENT
    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_commit_makes_the_upload_a_blob(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)

    stored = uploads.commit(key)

    assert uploads.blob(stored.key) == CONTENT
    assert uploads.blobs.exists(stored.key, len(CONTENT))
    with pytest.raises(FileNotFoundError):
        uploads.open(key, is_new=False)


def test_commit_twice_is_harmless(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    with contextlib.closing(uploads.open(key)) as file:
        file.start(len(CONTENT))
        state = file.seal()
    first = uploads.blobs.commit(key, state)

    second = uploads.blobs.commit(key, state)

    assert first == second
    assert uploads.blob(second.key) == CONTENT


def test_commit_of_nothing_fails(blobs: BlobStore, key: str) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.commit(key, b"")


def test_blob_of_no_bytes_can_be_had(uploads: Uploads, key: str) -> None:
    stored = uploads.commit(key)

    assert uploads.blobs.exists(stored.key, 0)
    assert uploads.blob(stored.key) == b""


def test_blobs_of_the_same_bytes_are_stored_apart(uploads: Uploads) -> None:
    keys = [str(uuid4()) for _ in range(4)]

    def store(key: str) -> str:
        uploads.write(key, CONTENT)
        return uploads.commit(key).key

    with ThreadPoolExecutor(4) as threads:
        stored = list(threads.map(store, keys))
    uploads.blobs.delete(stored[0])

    assert len(set(stored)) == 4
    assert [uploads.blob(key) for key in stored[1:]] == [CONTENT] * 3


@pytest.mark.parametrize("size", [0, 6, 8])
def test_blob_of_another_size_does_not_exist(uploads: Uploads, key: str, size: int) -> None:
    uploads.write(key, CONTENT)

    stored = uploads.commit(key)

    assert not uploads.blobs.exists(stored.key, size)


def test_upload_is_no_blob(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)

    assert not uploads.blobs.exists(key, len(CONTENT))
    with pytest.raises(FileNotFoundError):
        uploads.blobs.open_blob(key)


@pytest.mark.parametrize("start", [0, 3, 6, 7])
def test_open_blob_starts_where_it_is_told(uploads: Uploads, key: str, start: int) -> None:
    uploads.write(key, CONTENT)
    stored = uploads.commit(key)

    read = uploads.blob(stored.key, start)

    assert read == CONTENT[start:]


@pytest.mark.parametrize("size", [7, 30 * MIB], ids=["small", "large"])
def test_delete_takes_an_upload_away(uploads: Uploads, key: str, size: int) -> None:
    uploads.write(key, bytes(size))

    uploads.blobs.delete(key, uploads.row(key).state)

    assert keys_of(uploads.blobs, time.time() + 60) == []


def test_delete_takes_a_blob_away(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    stored = uploads.commit(key)

    uploads.blobs.delete(stored.key)

    assert not uploads.blobs.exists(stored.key, len(CONTENT))
    assert keys_of(uploads.blobs, time.time() + 60) == []


def test_delete_of_nothing_is_harmless(blobs: BlobStore, key: str) -> None:
    blobs.delete(key)

    assert not blobs.exists(key, 0)


def test_deleted_blob_stays_readable_where_it_is_open(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    stored = uploads.commit(key)

    with uploads.blobs.open_blob(stored.key) as file:
        uploads.blobs.delete(stored.key)
        content = file.read()

    assert content == CONTENT


def test_place_belongs_to_who_took_it(uploads: Uploads) -> None:
    first = uploads.blobs.take_place("a-database")
    again = uploads.blobs.take_place("a-database")

    assert first == again == "a-database"
    assert keys_of(uploads.blobs, time.time() + 60) == []


def test_list_keys_gives_uploads_and_blobs(uploads: Uploads) -> None:
    keys = sorted(str(uuid4()) for _ in range(3))
    uploads.write(keys[0], CONTENT)
    uploads.write(keys[1], CONTENT)
    uploads.commit(keys[1])
    uploads.write(keys[2], bytes(30 * MIB))

    found = keys_of(uploads.blobs, time.time() + 60)

    assert found == keys


def test_list_keys_gives_what_delete_needs(uploads: Uploads) -> None:
    for size in (7, 30 * MIB):
        with contextlib.closing(uploads.open(str(uuid4()))) as file:
            file.start(0)
            file.write(bytes(size))
            file.sync()
            file.write(b"of a process that ended here")

    for key, state in list(uploads.blobs.list_keys(time.time() + 60)):
        uploads.blobs.delete(key, state)

    assert keys_of(uploads.blobs, time.time() + 60) == []


def test_list_keys_leaves_out_what_was_written_since(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)

    keys = keys_of(uploads.blobs, time.time() - 60)

    assert keys == []


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([3_000_000, 1], id="one-piece"),
        pytest.param([20 * MIB], id="a-part"),
        pytest.param([10 * MIB, 10 * MIB, 5 * MIB, 3], id="parts"),
        pytest.param([26 * MIB, 4 * MIB, 6 * MIB], id="short-one-between"),
    ],
)
def test_bytes_of_several_requests_are_kept_whole(
    uploads: Uploads, key: str, sizes: list[int]
) -> None:
    contents = [os.urandom(size) for size in sizes]
    for content in contents:
        uploads.write(key, *(content[at : at + MIB] for at in range(0, len(content), MIB)))

    stored = uploads.commit(key)

    actual = hashlib.sha256(uploads.blob(stored.key)).hexdigest()
    assert actual == hashlib.sha256(b"".join(contents)).hexdigest()
    assert keys_of(uploads.blobs, time.time() + 60) == [key]


@pytest.mark.parametrize("size", [0, 7, 21 * MIB], ids=["nothing", "small", "large"])
def test_put_makes_a_blob_of_the_key(blobs: BlobStore, key: str, size: int) -> None:
    content = os.urandom(size)

    blobs.put(key, io.BytesIO(content), size)
    blobs.put(key, io.BytesIO(content), size)

    assert blobs.exists(key, size)
    with blobs.open_blob(key) as source:
        assert source.read() == content
    assert [found for found, _ in blobs.list_keys(float("inf"))] == [key]


@pytest.mark.parametrize("size", [7, 20 * MIB, 21 * MIB])
def test_put_of_what_cannot_be_read_leaves_nothing(blobs: BlobStore, key: str, size: int) -> None:
    digest = Digest(f"sha256:{hashlib.sha256(b'other bytes').hexdigest()}")
    source = VerifiedReader(io.BytesIO(bytes(size)), digest, size, lambda _: None)

    with pytest.raises(DamagedError):
        blobs.put(key, cast("BinaryIO", source), size)

    assert not blobs.exists(key, size)
    assert list(blobs.list_keys(float("inf"))) == []


def test_file_is_adopted_where_the_store_can(blobs: BlobStore, key: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)

    is_adopted = blobs.adopt(key, file)

    assert blobs.exists(key, len(CONTENT)) == is_adopted
    assert file.read_bytes() == CONTENT


def test_file_of_a_blob_has_its_bytes(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    stored = uploads.commit(key)

    file = uploads.blobs.file(stored.key)

    assert file is None or file.read_bytes() == CONTENT
    assert (file is None) == (not uploads.blobs.is_local)
