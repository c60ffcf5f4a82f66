"""What only the S3 driver can be asked: its requests, lost answers, writers that were overtaken."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
from msgspec.structs import replace

from ecrate.blobs.port import BusyError
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.bucket import Bucket
from ecrate.blobs.s3.presigning import Credentials
from ecrate.blobs.s3.state import State
from ecrate.blobs.s3.store import S3Blobs
from ecrate.blobs.s3.upload import Resources, S3Upload
from ecrate.domain.errors import LimitExceeded, StoreUnavailable
from tests.support.proxy import (
    ACCEPTED,
    BAD_REQUEST,
    NOT_IMPLEMENTED,
    Proxy,
    answering,
    from_now_on,
    once,
    running_proxy,
)
from tests.support.rows import Row, RowView, Uploads
from tests.support.seaweed import BUCKET, KEY, S3Server

pytestmark = pytest.mark.s3

MIB = 1024 * 1024
CONTENT = os.urandom(26 * MIB)


@pytest.fixture
def key() -> str:
    return str(uuid4())


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    """A way to the store that can be disturbed."""
    with running_proxy(s3_server.port) as running:
        yield running


@pytest.fixture
def uploads(s3_server: S3Server, proxy: Proxy) -> Uploads:
    """Uploads on a store behind the proxy; what it had to find out first is done."""
    blobs = S3Blobs(s3_server.make_address(endpoint=proxy.endpoint), KEY)
    blobs.check()
    proxy.seen.names.clear()
    return Uploads(blobs)


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


@pytest.mark.parametrize("request_name", ["PUT", "PUT partNumber=2"])
def test_bytes_spoilt_on_their_way_are_refused(
    uploads: Uploads, proxy: Proxy, key: str, request_name: str
) -> None:
    proxy.spoils = once(request_name)
    content = CONTENT[:MIB] if request_name == "PUT" else CONTENT

    with pytest.raises(StoreUnavailable):
        uploads.write(key, content)

    assert uploads.row(key).size == 0


def test_store_that_is_away_is_unavailable(s3_server: S3Server, key: str) -> None:
    with running_proxy(s3_server.port) as gone:
        pass
    uploads = Uploads(S3Blobs(s3_server.make_address(endpoint=gone.endpoint), KEY))

    with pytest.raises(StoreUnavailable):
        uploads.write(key, b"content")


@pytest.mark.parametrize(
    ("change", "credentials", "reason"),
    [
        pytest.param({"bucket": "no-such-bucket"}, KEY, "NoSuchBucket", id="bucket"),
        pytest.param({}, Credentials(KEY.key_id, "wrong"), "SignatureDoesNotMatch", id="secret"),
        pytest.param({}, Credentials("AKIDUNKNOWN", "x"), "InvalidAccessKeyId", id="key"),
        pytest.param({"endpoint": "http://127.0.0.1:1"}, KEY, "Could not connect", id="away"),
    ],
)
def test_check_says_what_is_wrong(
    s3_server: S3Server, change: dict[str, str], credentials: Credentials, reason: str
) -> None:
    place = {"bucket": BUCKET, "endpoint": s3_server.endpoint} | change
    blobs = S3Blobs(S3Address(**place), credentials)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=reason):
        blobs.check()


def test_check_finds_no_credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(ValueError, match="credentials"):
        S3Blobs(s3_server.make_address()).check()


def test_store_takes_the_environments_credentials(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    uploads = Uploads(S3Blobs(s3_server.make_address()))
    uploads.write(key, b"content")

    url = uploads.blobs.url(uploads.commit(key).key, 60)

    assert httpx.get(url or "").content == b"content"


def test_check_refuses_a_store_that_checks_nothing(proxy: Proxy) -> None:
    proxy.answers = answering("PUT partNumber", ACCEPTED)
    blobs = S3Blobs(S3Address(BUCKET, endpoint=proxy.endpoint), KEY)

    with pytest.raises(ValueError, match="none of CRC-32, SHA-256, MD5"):
        blobs.check()


def like_aws(name: str, head: bytes, body: bytes) -> bytes:
    """Refuse what AWS refuses: CRC-32 with a part, and a body that is not the signed one."""
    if not name.startswith("PUT"):
        return b""
    signed = re.search(rb"(?i)x-amz-content-sha256: ([0-9a-f]{64})", head)
    is_right = signed is not None and signed[1].decode() == hashlib.sha256(body).hexdigest()
    return b"" if is_right and b"crc32" not in head.lower() else BAD_REQUEST


def without_crc32(_: str, head: bytes, __: bytes) -> bytes:
    return BAD_REQUEST if b"crc32" in head.lower() else b""


@pytest.mark.parametrize(
    "answers", [pytest.param(like_aws, id="sha256"), pytest.param(without_crc32, id="md5")]
)
def test_store_that_checks_another_sum_is_sent_that(
    s3_server: S3Server, proxy: Proxy, key: str, answers: Callable[[str, bytes, bytes], bytes]
) -> None:
    proxy.answers = answers
    uploads = Uploads(S3Blobs(s3_server.make_address(endpoint=proxy.endpoint), KEY))
    uploads.write(key, CONTENT)
    proxy.spoils = once("PUT partNumber=3")

    with pytest.raises(StoreUnavailable):
        uploads.write(key, CONTENT)

    assert uploads.blob(uploads.commit(key).key) == CONTENT


def test_url_gives_the_bytes_to_anybody(uploads: Uploads, key: str) -> None:
    uploads.write(key, CONTENT)
    url = uploads.blobs.url(uploads.commit(key).key, 60) or ""

    whole, part = httpx.get(url), httpx.get(url, headers={"Range": "bytes=3-5"})

    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content) == (206, CONTENT[3:6])
    assert whole.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("X-Amz-Expires=60", "X-Amz-Expires=61", id="longer"),
        pytest.param("AKIDSEAWEED", "AKIDANOTHER", id="other-key"),
        pytest.param(".", ".0", id="other-object"),
    ],
)
def test_url_is_good_for_nothing_else(uploads: Uploads, key: str, old: str, new: str) -> None:
    uploads.write(key, b"content")
    base, dot, rest = (uploads.blobs.url(uploads.commit(key).key, 60) or "").rpartition(key)

    answer = httpx.get(base + dot + rest.replace(old, new, 1))

    assert answer.status_code == 403


def test_url_expires(uploads: Uploads, key: str) -> None:
    uploads.write(key, b"content")
    url = uploads.blobs.url(uploads.commit(key).key, 1) or ""
    time.sleep(2.1)

    assert httpx.get(url).status_code == 403


def test_url_leads_to_the_public_endpoint(s3_server: S3Server, key: str) -> None:
    public = f"http://localhost:{s3_server.port}"
    uploads = Uploads(S3Blobs(s3_server.make_address(public_endpoint=public), KEY))
    uploads.write(key, b"content")

    url = uploads.blobs.url(uploads.commit(key).key, 60) or ""

    assert url.startswith(f"{public}/{BUCKET}/")
    assert httpx.get(url).content == b"content"


def test_store_without_redirects_has_no_url(s3_server: S3Server) -> None:
    blobs = S3Blobs(s3_server.make_address(), KEY, redirects=False)

    assert blobs.url("any", 60) is None
