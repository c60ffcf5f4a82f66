"""The contract of the BlobStore port, for every driver."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from uuid import uuid4

import pytest

from ecrate.blobs.hashing import Buffer
from ecrate.blobs.port import BlobStore, BusyError

CONTENT = b"content"


@pytest.fixture
def key() -> str:
    """A key that was never used."""
    return str(uuid4())


def write(blobs: BlobStore, key: str, *pieces: Buffer, at: int = 0) -> None:
    """Append to the upload from byte `at` on."""
    with contextlib.closing(blobs.open_upload(key, is_new=at == 0, wait=0)) as file:
        file.start(at)
        for piece in pieces:
            file.write(piece)
        file.sync()


def upload_of(blobs: BlobStore, key: str) -> bytes:
    with blobs.open_upload_for_reading(key) as file:
        return file.read()


def blob_of(blobs: BlobStore, key: str) -> bytes:
    with blobs.open_blob(key) as file:
        return file.read()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"con", b"tent"], id="bytes"),
        pytest.param([bytearray(b"con"), memoryview(b"tent")], id="buffers"),
        pytest.param([b"", b"content", memoryview(b"")], id="empty-pieces"),
    ],
)
def test_write_appends(blobs: BlobStore, key: str, pieces: list[Buffer]) -> None:
    write(blobs, key, *pieces)

    assert upload_of(blobs, key) == CONTENT


def test_write_goes_on_where_the_row_says(blobs: BlobStore, key: str) -> None:
    write(blobs, key, b"con")

    write(blobs, key, b"tent", at=3)

    assert upload_of(blobs, key) == CONTENT


def test_start_drops_what_does_not_count(blobs: BlobStore, key: str) -> None:
    write(blobs, key, b"con of a client that was cut off")

    write(blobs, key, b"tent", at=3)

    assert upload_of(blobs, key) == CONTENT


def test_start_beyond_the_bytes_fails(blobs: BlobStore, key: str) -> None:
    write(blobs, key, b"con")

    with (
        contextlib.closing(blobs.open_upload(key, is_new=False, wait=0)) as file,
        pytest.raises(FileNotFoundError),
    ):
        file.start(4)


def test_open_upload_that_is_not_there_fails(blobs: BlobStore, key: str) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.open_upload(key, is_new=False, wait=0)


def test_open_upload_is_new_more_than_once(blobs: BlobStore, key: str) -> None:
    write(blobs, key)

    write(blobs, key, CONTENT)

    assert upload_of(blobs, key) == CONTENT


def test_open_upload_of_another_writer_is_busy(blobs: BlobStore, key: str) -> None:
    with (
        contextlib.closing(blobs.open_upload(key, is_new=True, wait=0)),
        pytest.raises(BusyError),
    ):
        blobs.open_upload(key, is_new=True, wait=0.1)


def test_open_upload_waits_for_another_writer(blobs: BlobStore, key: str) -> None:
    first = blobs.open_upload(key, is_new=True, wait=0)
    thread = threading.Thread(target=write_later, args=(blobs, key))
    thread.start()
    first.write(b"con")
    first.close()

    thread.join()

    assert upload_of(blobs, key) == CONTENT


def write_later(blobs: BlobStore, key: str) -> None:
    with contextlib.closing(blobs.open_upload(key, is_new=False, wait=30)) as file:
        file.start(3)
        file.write(b"tent")


def test_open_upload_that_is_committed_meanwhile_fails(blobs: BlobStore, key: str) -> None:
    first = blobs.open_upload(key, is_new=True, wait=0)
    failures: list[type[Exception]] = []
    is_waiting = threading.Event()

    def wait() -> None:
        is_waiting.set()
        with pytest.raises(FileNotFoundError) as caught:
            blobs.open_upload(key, is_new=False, wait=30)
        failures.append(caught.type)

    thread = threading.Thread(target=wait)
    thread.start()
    is_waiting.wait()
    time.sleep(0.1)  # so that it opened the upload; if it did not, it fails all the same
    blobs.commit(key)
    first.close()
    thread.join()

    assert failures == [FileNotFoundError]


def test_close_twice_is_harmless(blobs: BlobStore, key: str) -> None:
    file = blobs.open_upload(key, is_new=True, wait=0)
    file.close()

    file.close()

    write(blobs, key, CONTENT)
    assert upload_of(blobs, key) == CONTENT


def test_sync_twice_is_harmless(blobs: BlobStore, key: str) -> None:
    with contextlib.closing(blobs.open_upload(key, is_new=True, wait=0)) as file:
        file.write(CONTENT)
        file.sync()
        file.sync()

    assert upload_of(blobs, key) == CONTENT


def test_commit_makes_the_upload_a_blob(blobs: BlobStore, key: str) -> None:
    write(blobs, key, CONTENT)

    blobs.commit(key)

    assert blob_of(blobs, key) == CONTENT
    assert blobs.exists(key, len(CONTENT))
    with pytest.raises(FileNotFoundError):
        blobs.open_upload_for_reading(key)


def test_commit_twice_is_harmless(blobs: BlobStore, key: str) -> None:
    write(blobs, key, CONTENT)
    blobs.commit(key)

    blobs.commit(key)

    assert blob_of(blobs, key) == CONTENT


def test_commit_of_nothing_fails(blobs: BlobStore, key: str) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.commit(key)


@pytest.mark.parametrize("size", [0, 6, 8])
def test_blob_of_another_size_does_not_exist(blobs: BlobStore, key: str, size: int) -> None:
    write(blobs, key, CONTENT)
    blobs.commit(key)

    assert not blobs.exists(key, size)


def test_upload_is_no_blob(blobs: BlobStore, key: str) -> None:
    write(blobs, key, CONTENT)

    assert not blobs.exists(key, len(CONTENT))
    with pytest.raises(FileNotFoundError):
        blobs.open_blob(key)


@pytest.mark.parametrize("is_blob", [True, False], ids=["blob", "upload"])
def test_delete_takes_the_bytes_away(blobs: BlobStore, key: str, *, is_blob: bool) -> None:
    write(blobs, key, CONTENT)
    steps = [blobs.commit] if is_blob else []
    for step in steps:
        step(key)

    blobs.delete(key)

    assert not blobs.exists(key, len(CONTENT))
    assert list(blobs.list_keys(time.time() + 60)) == []


def test_delete_of_nothing_is_harmless(blobs: BlobStore, key: str) -> None:
    blobs.delete(key)

    assert not blobs.exists(key, 0)


def test_deleted_blob_stays_readable_where_it_is_open(blobs: BlobStore, key: str) -> None:
    write(blobs, key, CONTENT)
    blobs.commit(key)

    with blobs.open_blob(key) as file:
        blobs.delete(key)
        content = file.read()

    assert content == CONTENT


def test_list_keys_gives_uploads_and_blobs(blobs: BlobStore) -> None:
    upload, blob = str(uuid4()), str(uuid4())
    write(blobs, upload, CONTENT)
    write(blobs, blob, CONTENT)
    blobs.commit(blob)

    keys = list(blobs.list_keys(time.time() + 60))

    assert sorted(keys) == sorted([upload, blob])


def test_list_keys_leaves_out_what_was_written_since(blobs: BlobStore, key: str) -> None:
    write(blobs, key, CONTENT)

    keys = list(blobs.list_keys(time.time() - 60))

    assert keys == []


def test_large_pieces_are_kept_whole(blobs: BlobStore, key: str) -> None:
    pieces = [os.urandom(3_000_000), os.urandom(1)]

    write(blobs, key, *pieces)
    blobs.commit(key)

    assert blob_of(blobs, key) == b"".join(pieces)
