"""What only the S3 driver can be asked: its requests, lost answers, writers that were overtaken."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from uuid import uuid4

import pytest
from msgspec.structs import replace

from ecrate.blobs.port import BusyError
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.bucket import Bucket
from ecrate.blobs.s3.state import State
from ecrate.blobs.s3.store import S3Blobs
from ecrate.blobs.s3.upload import Resources, S3Upload
from ecrate.domain.errors import LimitExceeded, StoreUnavailable
from tests.support.proxy import (
    NOT_IMPLEMENTED,
    Proxy,
    answering,
    from_now_on,
    once,
)
from tests.support.rows import Row, RowView, Uploads
from tests.support.seaweed import BUCKET, KEY, S3Server

pytestmark = pytest.mark.s3

MIB = 1024 * 1024
CONTENT = os.urandom(26 * MIB)


@pytest.fixture
def uploads(s3_uploads: Uploads) -> Uploads:
    return s3_uploads


def state_of(uploads: Uploads, key: str) -> State:
    return State.unpacked(uploads.row(key).state)


def test_layer_of_one_piece_is_one_request(uploads: Uploads, proxy: Proxy, key: str) -> None:
    uploads.write(key, CONTENT[: 16 * MIB - 1])
    stored = uploads.commit(key)

    assert proxy.seen.names == ["PUT"]
    assert uploads.blob(stored.key) == CONTENT[: 16 * MIB - 1]


def test_large_request_makes_parts_and_no_tail(uploads: Uploads, proxy: Proxy, key: str) -> None:
    uploads.write(key, *(CONTENT[at : at + MIB] for at in range(0, len(CONTENT), MIB)))
    uploads.commit(key)

    assert proxy.seen.names == [
        "POST uploads",
        "PUT partNumber=1",
        "PUT partNumber=2",
        "POST uploadId",
        "HEAD",
    ]


@pytest.mark.parametrize("size", [5 * MIB, 10 * MIB, 20 * MIB])
def test_part_of_ecr_is_a_part_of_s3(uploads: Uploads, key: str, size: int) -> None:
    for _ in range(3):
        uploads.write(key, bytes(size))

    parts = state_of(uploads, key).parts
    tail = state_of(uploads, key).tail_size
    # The first ones may have waited for each other, as a layer of one piece does.
    assert sum(part.size for part in parts) + tail == 3 * size
    assert all(part.size >= size for part in parts)


def test_tail_goes_into_the_next_part(uploads: Uploads, proxy: Proxy, key: str) -> None:
    for size in (20 * MIB, MIB, MIB, 5 * MIB):
        uploads.write(key, CONTENT[:size])

    state = state_of(uploads, key)
    assert [part.size for part in state.parts] == [20 * MIB, 7 * MIB]
    assert (state.tail, state.tail_size) == ("", 0)
    assert proxy.count("GET") == proxy.count("DELETE") == 2


@pytest.mark.parametrize(
    "request_name",
    ["PUT", "POST uploads", "PUT partNumber=1", "POST uploadId", "HEAD", "DELETE", "GET"],
)
def test_lost_answer_changes_nothing(
    uploads: Uploads, proxy: Proxy, key: str, request_name: str
) -> None:
    proxy.loses = once(request_name)
    contents = [CONTENT[: 2 * MIB], CONTENT[: 20 * MIB], b"tail"]
    for content in contents:
        uploads.write(key, content)

    stored = uploads.commit(key)

    assert proxy.seen.lost == [name for name in proxy.seen.lost if name.startswith(request_name)]
    assert len(proxy.seen.lost) == 1
    assert uploads.blob(stored.key) == b"".join(contents)


def test_complete_whose_answers_are_lost_can_be_repeated(
    uploads: Uploads, proxy: Proxy, key: str
) -> None:
    uploads.write(key, CONTENT)
    proxy.loses = from_now_on("POST uploadId")
    with pytest.raises(StoreUnavailable):
        uploads.commit(key)
    proxy.loses = once("nothing")

    stored = uploads.commit(key)

    assert uploads.blob(stored.key) == CONTENT


def test_complete_that_the_store_forgot_is_found(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    first = uploads.commit(key)
    uploads.row(key).is_open = True
    state = state_of(uploads, key)
    uploads.row(key).state = State(
        multipart="never-heard-of", parts=state.parts, target=first.key
    ).packed()

    second = uploads.commit(key)

    assert first == second


def test_complete_without_the_bytes_fails(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    uploads.blobs.delete(key, uploads.row(key).state)

    with pytest.raises(FileNotFoundError):
        uploads.commit(key)


def test_complete_of_another_size_fails(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    state = state_of(uploads, key)
    first = uploads.commit(key)
    lying = tuple(replace(part, size=part.size + 1) for part in state.parts)
    row = uploads.row(key)
    row.is_open, row.size = True, len(CONTENT) + len(lying)
    row.state = State(state.multipart, lying, 9, target=first.key).packed()

    with pytest.raises(StoreUnavailable):
        uploads.commit(key)


def test_state_of_another_driver_is_not_taken_for_ours(uploads: Uploads, key: str) -> None:
    uploads.row(key).state = b"of another driver"

    with pytest.raises(FileNotFoundError):
        uploads.write(key, b"content")


def test_tail_that_was_cut_is_not_taken_up(uploads: Uploads, s3_server: S3Server, key: str) -> None:
    uploads.write(key, b"content")
    client, tail = s3_server.client(), state_of(uploads, key).tail
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    objects = [one["Key"] for page in pages for one in page["Contents"]]
    (found,) = [name for name in objects if name.endswith(tail)]
    client.put_object(Bucket=BUCKET, Key=found, Body=b"con")

    with pytest.raises(FileNotFoundError):
        uploads.write(key, b"more")


def test_sealed_upload_takes_no_more(uploads: Uploads, proxy: Proxy, key: str) -> None:
    uploads.write(key, CONTENT)
    proxy.answers = answering("POST uploadId", NOT_IMPLEMENTED)
    with pytest.raises(StoreUnavailable):
        uploads.commit(key)

    with pytest.raises(FileNotFoundError):
        uploads.write(key, b"more")

    proxy.answers = answering("nothing", b"")
    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_writer_that_lost_its_claim_damages_nothing(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT[:MIB])
    zombie = uploads.open(key)
    zombie.start(MIB)
    zombie.write(b"z" * 25 * MIB)
    uploads.row(key).claim = None

    uploads.write(key, CONTENT[MIB:])
    zombie.write(b"z" * 50 * MIB)
    zombie.sync()
    with pytest.raises(BusyError):
        zombie.write(b"z" * 50 * MIB)
    zombie.close()

    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_writer_that_lost_its_claim_cannot_seal(uploads: Uploads, proxy: Proxy, key: str) -> None:
    uploads.write(key, CONTENT)
    with contextlib.closing(uploads.open(key)) as zombie:
        zombie.start(len(CONTENT))
        uploads.row(key).claim = None
        uploads.write(key, b"more")
        with pytest.raises(BusyError):
            zombie.seal()

    assert proxy.count("POST uploadId") == 0
    assert uploads.blob(uploads.commit(key).key) == CONTENT + b"more"


def test_writer_that_was_closed_leaves_the_memory_alone(uploads: Uploads, key: str) -> None:
    file = uploads.open(key)
    file.start(0)
    file.write(b"some")
    file.close()

    with pytest.raises(FileNotFoundError):
        file.write(b"more")


def test_close_waits_for_the_thread_that_writes(uploads: Uploads, proxy: Proxy, key: str) -> None:
    arrived, may_go = threading.Event(), threading.Event()

    def hold(_: str, __: bytes, ___: bytes) -> bytes:
        arrived.set()
        may_go.wait(30)
        return b""

    file = uploads.open(key)
    file.start(0)
    file.write(b"content")
    proxy.answers = hold
    writer = threading.Thread(target=file.sync)
    writer.start()
    arrived.wait(30)
    closer = threading.Thread(target=file.close)
    closer.start()
    closer.join(0.2)
    was_waiting = closer.is_alive()
    may_go.set()
    closer.join()
    writer.join()

    assert was_waiting
    assert list(uploads.blobs.list_keys(time.time() + 60)) == []


def test_part_number_is_never_used_twice(uploads: Uploads, proxy: Proxy, key: str) -> None:
    uploads.write(key, CONTENT)
    zombie = uploads.open(key)
    zombie.start(len(CONTENT))
    uploads.row(key).claim = None
    zombie.write(CONTENT)
    with contextlib.closing(uploads.open(key)) as refused:
        refused.start(len(CONTENT))
        refused.write(CONTENT)
    uploads.write(key, CONTENT)
    zombie.write(CONTENT)

    names = [name for name in proxy.seen.names if name.startswith("PUT partNumber")]

    assert len(names) >= 6
    assert len(set(names)) == len(names)


def test_writer_of_many_parts_reserves_more(uploads: Uploads, key: str) -> None:
    with contextlib.closing(uploads.open(key)) as file:
        file.start(0)
        for _ in range(6):
            file.write(CONTENT[: 20 * MIB])
        reserved = state_of(uploads, key).next_number
        uploads.count(key, file.sync(), 6 * 20 * MIB)

    assert (reserved, state_of(uploads, key).next_number) == (37, 7)


def test_writer_renews_its_claim_as_it_goes(s3_server: S3Server, key: str) -> None:
    uploads = Uploads(S3Blobs(s3_server.make_address(), KEY))
    view = RowView(uploads.row(key))
    with contextlib.closing(uploads.blobs.open_upload(key, view, is_new=True, wait=0)) as file:
        file.start(0)
        file.write(b"a")
        file.write(b"b")

    assert view.renewals == 2


def test_parts_grow_where_numbers_get_short(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT[: 20 * MIB])
    row = uploads.row(key)
    row.state = replace(State.unpacked(row.state), next_number=5001).packed()

    uploads.write(key, CONTENT[: 15 * MIB])
    first = state_of(uploads, key)
    uploads.write(key, CONTENT[:MIB])
    second = state_of(uploads, key)

    assert ([part.number for part in first.parts], first.tail_size) == ([1], 15 * MIB)
    assert ([part.number for part in second.parts], second.tail_size) == ([1, 5001], 0)


def test_part_beyond_the_last_number_is_refused(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT[: 20 * MIB])
    row = uploads.row(key)
    row.state = replace(State.unpacked(row.state), next_number=10_001).packed()

    with pytest.raises(LimitExceeded, match="10000"):
        uploads.write(key, CONTENT[: 20 * MIB])


def test_layer_of_the_largest_size_fits_into_the_part_numbers() -> None:
    smallest_early, smallest_late, largest_layer = 5, 16, 52_000

    most_parts = 5_000 + (largest_layer - 5_000 * smallest_early) / smallest_late

    assert most_parts < 10_000


@pytest.mark.parametrize("memory", [6, 12])
def test_short_memory_makes_smaller_parts(s3_server: S3Server, key: str, memory: int) -> None:
    resources = Resources(memory, 2)
    bucket = Bucket(s3_server.make_address(), KEY)
    with contextlib.closing(S3Upload(bucket, resources, key, RowView(Row()), State())) as file:
        file.start(0)
        file.write(CONTENT)
        state = State.unpacked(file.sync().state)

    assert state.size == len(CONTENT)
    assert all(5 * MIB <= part.size <= memory * MIB for part in state.parts)
    left = [resources.memory.take(0) is not None for _ in range(memory + 1)]
    assert left == [True] * memory + [False]


def test_object_of_somebody_else_is_left_alone(uploads: Uploads, s3_server: S3Server) -> None:
    address = uploads.blobs._bucket._address  # type: ignore[attr-defined]  # noqa: SLF001
    client = s3_server.client()
    stranger = f"{address.prefix}{uuid4()}"
    for name in (f"{stranger}x", f"{address.prefix}notes.txt", f"{stranger[:-1]}/{uuid4()}"):
        client.put_object(Bucket=BUCKET, Key=name, Body=b"not ours")

    assert list(uploads.blobs.list_keys(time.time() + 60)) == []


def test_place_whose_name_begins_like_another_is_another(s3_server: S3Server, key: str) -> None:
    address = s3_server.make_address()
    longer = replace_prefix(address, f"{address.prefix[:-1]}2/")
    ours, theirs = Uploads(S3Blobs(address, KEY)), Uploads(S3Blobs(longer, KEY))
    theirs.write(key, b"theirs")
    theirs.commit(key)

    assert list(ours.blobs.list_keys(time.time() + 60)) == []


def replace_prefix(address: S3Address, prefix: str) -> S3Address:
    return S3Address(address.bucket, prefix, address.endpoint)


def test_place_that_is_taken_is_not_taken_again(uploads: Uploads) -> None:
    uploads.blobs.take_place("one")

    assert uploads.blobs.take_place("another") == "one"


def test_uploads_that_cannot_be_listed_end_the_list(
    uploads: Uploads, proxy: Proxy, key: str
) -> None:
    uploads.write(key, b"tail")
    proxy.answers = answering("GET uploads", NOT_IMPLEMENTED)

    found = [name for name, _ in uploads.blobs.list_keys(time.time() + 60)]

    assert [name.partition(".")[0] for name in found] == [key]
