"""Uploads that go wrong: clients that go, stall, send too much or write at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.support.images import digest_of
from tests.support.registry import (
    MIB,
    error_of,
    files_of,
    finish_upload,
    pull_blob,
    push_blob,
    size_of,
    some_bytes,
    start_upload,
    upload_file,
    wait_until,
    writers_of,
)
from tests.support.server import Server
from tests.support.wire import Wire

SMALL = 900_000  # received by the event loop
LARGE = 5 * MIB  # received by a thread of its own


def begin_patch(wire: Wire, location: str, length: int | None) -> None:
    """Send the head of a PATCH; without a length its body is chunked."""
    framing: dict[str, str | int] = {"Transfer-Encoding": "chunked"}
    if length is not None:
        framing = {"Content-Length": length}
    wire.head("PATCH", location, framing)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def resume(http: httpx.Client, location: str, content: bytes) -> bytes:
    """Ask how much is there, send what is missing, complete; give what can be pulled then."""
    size = size_of(http, location)
    headers = {"Content-Range": f"{size}-{len(content) - 1}"}
    answer = http.patch(location, content=content[size:], headers=headers)
    assert answer.status_code == 202, answer.text
    answer = finish_upload(http, location, content)
    assert answer.status_code == 201, answer.text
    return http.get(answer.headers["Location"]).content


CUT_OFF = pytest.mark.parametrize(
    ("length", "sent"),
    [
        pytest.param(SMALL, 300_000, id="small"),
        pytest.param(LARGE, 300_000, id="large-early"),
        pytest.param(LARGE, LARGE - 1, id="large-late"),
        pytest.param(None, 3_000_000, id="chunked"),
    ],
)


@CUT_OFF
def test_patch_whose_client_ends_keeps_what_arrived(
    server: Server, http: httpx.Client, upload: str, length: int | None, sent: int
) -> None:
    content = some_bytes(length or LARGE, "ends")
    body = content[:sent] if length else chunk(content[:sent])
    before = files_of(server)
    with Wire(server) as wire:
        begin_patch(wire, upload, length)
        wire.send(body)
        wire.end()

        wait_until(lambda: http.get(upload).headers["Range"] == f"0-{sent - 1}")

    assert files_of(server) - before == {f"uploads/{upload_file(server, upload).name}"}
    assert resume(http, upload, content) == content


@CUT_OFF
def test_patch_whose_client_is_killed_can_be_resumed(
    server: Server, http: httpx.Client, upload: str, length: int | None, sent: int
) -> None:
    content = some_bytes(length or LARGE, "killed")
    body = content[:sent] if length else chunk(content[:sent])
    with Wire(server) as wire:
        begin_patch(wire, upload, length)
        wire.send(body)
        wait_until(lambda: writers_of(server, upload) == 1)
        wire.reset()
    wait_until(lambda: writers_of(server, upload) == 0)

    assert size_of(http, upload) <= sent
    assert resume(http, upload, content) == content


def test_put_whose_client_ends_keeps_what_arrived(
    server: Server, http: httpx.Client, upload: str
) -> None:
    content = some_bytes(LARGE, "put")
    with Wire(server) as wire:
        path = f"{upload}?digest={digest_of(content)}"
        wire.head("PUT", path, {"Content-Length": LARGE})
        wire.send(content[: 2 * MIB])
        wire.end()

        wait_until(lambda: http.get(upload).headers["Range"] == f"0-{2 * MIB - 1}")

    assert resume(http, upload, content) == content


def test_client_gone_before_its_body_leaves_an_empty_upload(
    server: Server, http: httpx.Client, upload: str
) -> None:
    with Wire(server) as wire:
        begin_patch(wire, upload, LARGE)
        wait_until(lambda: writers_of(server, upload) == 1)
        wire.reset()
    wait_until(lambda: writers_of(server, upload) == 0)

    answer = http.get(upload)

    assert (answer.status_code, answer.headers["Range"]) == (204, "0-0")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Content-Length": "99999999999999"}, 413, id="larger-than-a-layer"),
        pytest.param({"Content-Length": "-1"}, 400, id="negative"),
        pytest.param({"Content-Length": "ten"}, 400, id="no-number"),
        pytest.param({"Content-Length": "1e3"}, 400, id="exponent"),
        pytest.param({"Content-Length": "9" * 100}, 400, id="far-too-long"),
        pytest.param({"Content-Length": "5, 6"}, 400, id="two-lengths"),
        pytest.param(
            {"Content-Length": "5", "Transfer-Encoding": "chunked"}, 400, id="two-framings"
        ),
        pytest.param({"Transfer-Encoding": "gzip"}, 400, id="unknown-coding"),
        pytest.param({"Transfer-Encoding": "chunked, gzip"}, 400, id="chunked-not-last"),
    ],
)
def test_patch_with_a_bad_length_is_refused_before_its_body(
    server: Server, http: httpx.Client, upload: str, headers: dict[str, str], status: int
) -> None:
    with Wire(server) as wire:
        wire.head("PATCH", upload, headers)
        answer = wire.answer()

    assert answer.status == status
    assert http.get(upload).headers["Range"] == "0-0"


def test_patch_larger_than_a_layer_may_be_names_the_limit(server: Server, upload: str) -> None:
    with Wire(server) as wire:
        answer = wire.ask("PATCH", upload, {"Content-Length": 52_000 * MIB + 1})

    assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert b"larger than the 54525952000 bytes accepted here" in answer.body


@pytest.mark.parametrize("length", [1000, LARGE], ids=["small", "large"])
def test_bytes_beyond_the_length_are_no_part_of_the_upload(
    server: Server, http: httpx.Client, repository: str, upload: str, length: int
) -> None:
    content = some_bytes(length, "overlong")
    with Wire(server) as wire:
        begin_patch(wire, upload, length)
        wait_until(lambda: writers_of(server, upload) == 1)
        wire.send(content + b"\x00and more\r\n\r\n")
        first, second = wire.answer(), wire.answer()

        assert (first.status, second.status) == (202, 400)
        assert wire.rest() == b""

    assert size_of(http, upload) == length
    assert finish_upload(http, upload, content).status_code == 201
    assert pull_blob(http, repository, digest_of(content)) == content


@pytest.mark.parametrize(
    ("broken", "kept"),
    [
        pytest.param(b"zz\r\n", 0, id="no-size"),
        pytest.param(b"-5\r\nhello\r\n", 0, id="negative-size"),
        pytest.param(b"5\r\nhello!!", 5, id="longer-than-its-size"),
        pytest.param(b"f" * 40 + b"\r\n", 0, id="size-too-large"),
    ],
)
def test_patch_with_broken_chunks_keeps_what_came_before(
    server: Server, http: httpx.Client, upload: str, broken: bytes, kept: int
) -> None:
    content = some_bytes(200_000, "broken")
    with Wire(server) as wire:
        begin_patch(wire, upload, None)
        wire.send(chunk(content) + broken)
        answer = wire.answer()

    assert answer.status == 400
    assert size_of(http, upload) == 200_000 + kept
    assert finish_upload(http, upload, content + b"hello"[:kept]).status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v2/no/such/blobs/uploads/x", id="unknown-repository"),
        pytest.param("/v2/{repository}/blobs/uploads/x", id="unknown-upload"),
        pytest.param("/v2/UPPER/blobs/uploads/x", id="bad-name"),
        pytest.param("/v2/no/such/route", id="no-such-route"),
    ],
)
@pytest.mark.parametrize("length", [SMALL, LARGE, None], ids=["small", "large", "chunked"])
def test_refusal_reaches_a_client_that_sends_all_the_same(
    server: Server, repository: str, path: str, length: int | None
) -> None:
    content = some_bytes(length or LARGE, "refused")
    with Wire(server) as wire:
        begin_patch(wire, path.format(repository=repository), length)
        wire.send(content if length else chunk(content) + chunk(b""))
        answer = wire.answer()

    assert answer.status == 404


def test_second_writer_is_told_to_wait(
    server: Server, http: httpx.Client, repository: str, upload: str
) -> None:
    content = some_bytes(LARGE, "first")
    with Wire(server) as wire:
        begin_patch(wire, upload, LARGE)
        wire.send(content[:MIB])
        wait_until(lambda: writers_of(server, upload) == 1)
        with ThreadPoolExecutor(2) as threads:
            second = threads.submit(http.patch, upload, content=b"second")
            completing = threads.submit(finish_upload, http, upload, content)
        wire.send(content[MIB:])
        first = wire.answer()

    upload_id = upload.rpartition("/")[2]
    message = f"Another request is writing to the upload with id '{upload_id}'. Try again."
    assert error_of(second.result()) == (429, "TOOMANYREQUESTS", message)
    assert second.result().headers["Retry-After"] == "1"
    assert error_of(completing.result()) == (429, "TOOMANYREQUESTS", message)
    assert (first.status, first.headers["Range"]) == (202, f"0-{LARGE - 1}")
    assert finish_upload(http, upload, content).status_code == 201
    assert pull_blob(http, repository, digest_of(content)) == content


def test_second_writer_goes_on_where_the_first_ends(
    server: Server, http: httpx.Client, repository: str, upload: str
) -> None:
    content = some_bytes(LARGE, "one after the other")
    with Wire(server) as wire, ThreadPoolExecutor(1) as thread:
        begin_patch(wire, upload, LARGE)
        wire.send(content[:MIB])
        wait_until(lambda: writers_of(server, upload) == 1)
        second = thread.submit(http.patch, upload, content=b"second")
        wait_until(lambda: writers_of(server, upload) == 2)
        wire.send(content[MIB:])
        first = wire.answer()

        assert second.result().headers["Range"] == f"0-{LARGE + 5}"

    assert first.headers["Range"] == f"0-{LARGE - 1}"
    assert finish_upload(http, upload, content + b"second").status_code == 201
    assert pull_blob(http, repository, digest_of(content + b"second")) == content + b"second"


def test_many_writers_at_once_lose_and_mix_nothing(
    http: httpx.Client, repository: str, upload: str
) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda piece: http.patch(upload, content=piece), pieces))

    assert [answer.status_code for answer in answers] == [202] * 8
    ends = [int(answer.headers["Range"].removeprefix("0-")) + 1 for answer in answers]
    assert sorted(ends) == [100_000 * (number + 1) for number in range(8)]
    in_order = [piece for _, piece in sorted(zip(ends, pieces, strict=True))]
    assert finish_upload(http, upload, b"".join(in_order)).status_code == 201
    assert pull_blob(http, repository, digest_of(b"".join(in_order))) == b"".join(in_order)


def test_many_completions_at_once_give_one_blob(
    http: httpx.Client, repository: str, upload: str
) -> None:
    content = some_bytes(LARGE, "completed")
    http.patch(upload, content=content)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: finish_upload(http, upload, content), range(8)))

    assert [answer.status_code for answer in answers] == [201] * 8
    assert pull_blob(http, repository, digest_of(content)) == content


def test_many_pushes_of_one_blob_at_once_give_one_blob(http: httpx.Client, repository: str) -> None:
    content = some_bytes(LARGE, "pushed")
    with ThreadPoolExecutor(8) as threads:
        digests = set(threads.map(lambda _: push_blob(http, repository, content), range(8)))

    assert digests == {digest_of(content)}
    assert pull_blob(http, repository, digest_of(content)) == content


def test_upload_cancelled_while_it_is_written_is_gone(
    server: Server, http: httpx.Client, upload: str
) -> None:
    content = some_bytes(LARGE, "cancelled")
    with Wire(server) as wire:
        begin_patch(wire, upload, LARGE)
        wire.send(content[:MIB])
        wait_until(lambda: writers_of(server, upload) == 1)
        cancelled = http.delete(upload)
        wire.send(content[MIB:])
        answer = wire.answer()

    assert cancelled.status_code == 204
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert error_of(http.get(upload))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_clients_that_stall_keep_nobody_else_waiting(
    server: Server, http: httpx.Client, repository: str
) -> None:
    content = some_bytes(LARGE, "beside")
    with ExitStack() as stack:
        for number in range(40):
            wire = stack.enter_context(Wire(server))
            begin_patch(wire, start_upload(http, repository), (SMALL, LARGE)[number % 2])
            wire.send(some_bytes(1000))

        digest = push_blob(http, repository, content)

        assert pull_blob(http, repository, digest) == content
