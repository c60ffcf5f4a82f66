"""Blobs at the registry door: HEAD, GET, ranges, conditional requests, and reading gone wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx
import pytest

from tests.support.images import digest_of
from tests.support.registry import (
    MIB,
    error_of,
    pull_blob,
    push_blob,
    some_bytes,
    wait_until,
    workers_of,
)
from tests.support.server import ACCOUNT, Server, running_server
from tests.support.wire import Wire

SIZE = 300_000
CONTENT = some_bytes(SIZE, "blobs")
DIGEST = digest_of(CONTENT)
QUOTED = f'"{DIGEST}"'

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def stored(server: Server) -> str:
    """The path of a blob with `CONTENT`."""
    name = f"blobs/stored-{next(_NUMBERS)}"
    server.ecr().create_repository(repositoryName=name)
    with server.http() as http:
        push_blob(http, name, CONTENT)
    return f"/v2/{name}/blobs/{DIGEST}"


def test_head_blob_describes_it(http: httpx.Client, stored: str) -> None:
    answer = http.head(stored)

    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Docker-Content-Digest"] == DIGEST
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == QUOTED


def test_get_blob_gives_it_with_the_headers_of_head(http: httpx.Client, stored: str) -> None:
    head = http.head(stored)

    answer = http.get(stored)

    assert answer.status_code == 200
    assert answer.content == CONTENT
    varying = {"date", "x-request-id"}
    assert {name: answer.headers[name] for name in answer.headers if name not in varying} == {
        name: head.headers[name] for name in head.headers if name not in varying
    }


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        pytest.param("bytes=0-0", 0, 0, id="first-byte"),
        pytest.param("bytes=0-99999", 0, 99_999, id="beginning"),
        pytest.param("bytes=100000-199999", 100_000, 199_999, id="middle"),
        pytest.param("bytes=100000-", 100_000, SIZE - 1, id="from"),
        pytest.param("bytes=-1", SIZE - 1, SIZE - 1, id="last-byte"),
        pytest.param("bytes=-1000", SIZE - 1000, SIZE - 1, id="suffix"),
        pytest.param("bytes=299999-299999", SIZE - 1, SIZE - 1, id="end"),
        pytest.param("bytes=299999-999999999", SIZE - 1, SIZE - 1, id="beyond-the-end"),
        pytest.param("bytes=1-", 1, SIZE - 1, id="all-but-one"),
    ],
)
def test_get_blob_gives_a_range(
    http: httpx.Client, stored: str, asked: str, first: int, last: int
) -> None:
    answer = http.get(stored, headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.content == CONTENT[first : last + 1]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("bytes=0-", id="everything"),
        pytest.param("bytes=0-299999", id="exactly-everything"),
        pytest.param("bytes=-999999999", id="suffix-longer-than-the-blob"),
        pytest.param("bytes=0-1,5-6", id="two-ranges"),
        pytest.param("bytes", id="no-range"),
        pytest.param("bytes=", id="empty"),
        pytest.param("bytes=-", id="no-ends"),
        pytest.param("bytes=a-b", id="letters"),
        pytest.param("bytes=--1", id="negative"),
        pytest.param("bytes=0x0-0x1", id="hexadecimal"),
        pytest.param("items=0-1", id="other-unit"),
        pytest.param("bytes=0-" + "9" * 5000, id="far-too-many-digits"),
        pytest.param("bytes=-" + "9" * 5000, id="far-too-many-digits-suffix"),
        pytest.param("bytes=\u0661-\u0662", id="other-digits"),
    ],
)
def test_get_blob_gives_all_where_no_single_range_is_asked_for(
    server: Server, stored: str, asked: str
) -> None:
    with Wire(server) as wire:
        answer = wire.ask("GET", stored, {"Range": asked})

    assert answer.status == 200
    assert answer.body == CONTENT


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("bytes=300000-", id="from-the-end"),
        pytest.param("bytes=300000-300001", id="behind-the-end"),
        pytest.param("bytes=999999999999-", id="far-behind"),
        pytest.param("bytes=-0", id="empty-suffix"),
    ],
)
def test_get_blob_refuses_a_range_outside(http: httpx.Client, stored: str, asked: str) -> None:
    answer = http.get(stored, headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.content == b""


@pytest.mark.parametrize(
    ("validator", "status"),
    [
        pytest.param(QUOTED, 206, id="same"),
        pytest.param('"sha256:other"', 200, id="other"),
        pytest.param("Tue, 24 Nov 2026 00:00:00 GMT", 200, id="date"),
    ],
)
def test_get_blob_gives_a_range_only_of_what_the_client_has(
    http: httpx.Client, stored: str, validator: str, status: int
) -> None:
    answer = http.get(stored, headers={"Range": "bytes=5-9", "If-Range": validator})

    assert answer.status_code == status


def test_head_blob_ignores_a_range(http: httpx.Client, stored: str) -> None:
    answer = http.head(stored, headers={"Range": "bytes=5-9"})

    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(SIZE)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(
    ("known", "status"),
    [
        pytest.param(QUOTED, 304, id="same"),
        pytest.param(f"W/{QUOTED}", 304, id="weak"),
        pytest.param(f'"other", {QUOTED}', 304, id="one-of-two"),
        pytest.param("*", 304, id="any"),
        pytest.param('"other"', 200, id="other"),
        pytest.param(DIGEST, 200, id="not-quoted"),
    ],
)
def test_blob_is_not_sent_to_whom_has_it(
    http: httpx.Client, stored: str, method: str, known: str, status: int
) -> None:
    answer = http.request(method, stored, headers={"If-None-Match": known})

    assert answer.status_code == status
    assert answer.headers["ETag"] == QUOTED
    assert len(answer.content) == (SIZE if (status, method) == (200, "GET") else 0)


def test_empty_blob_is_one_like_any_other(http: httpx.Client, repository: str) -> None:
    digest = push_blob(http, repository, b"")
    path = f"/v2/{repository}/blobs/{digest}"

    head, whole, part = (
        http.head(path),
        http.get(path),
        http.get(path, headers={"Range": "bytes=0-"}),
    )

    assert (head.status_code, head.headers["Content-Length"]) == (200, "0")
    assert (whole.status_code, whole.content) == (200, b"")
    assert part.status_code == 416


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "digest",
    [
        pytest.param("sha256:" + "0" * 64, id="unknown"),
        pytest.param("sha256:" + "0" * 63, id="too-short"),
        pytest.param(DIGEST.upper(), id="capitals"),
        pytest.param("md5:d41d8cd98f00b204e9800998ecf8427e", id="other-algorithm"),
        pytest.param("latest", id="tag"),
        pytest.param("%00", id="nul"),
        pytest.param("%ed%a0%80", id="half-a-surrogate"),
        pytest.param("x" * 2000, id="long"),
    ],
)
def test_blob_that_is_not_there(http: httpx.Client, stored: str, method: str, digest: str) -> None:
    answer = http.request(method, stored.replace(DIGEST, digest))

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_get_blob_tells_what_is_missing(http: httpx.Client, repository: str) -> None:
    unknown = "sha256:" + "0" * 64

    answer = http.get(f"/v2/{repository}/blobs/{unknown}")

    expected = (
        f"The layer with digest '{unknown}' does not exist within the repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}'"
    )
    assert error_of(answer) == (404, "BLOB_UNKNOWN", expected)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_blob_of_another_repository_is_not_there(
    http: httpx.Client, stored: str, repository: str, method: str
) -> None:
    own, other = (http.request(method, one) for one in (stored, f"/v2/{repository}/blobs/{DIGEST}"))

    assert (own.status_code, other.status_code) == (200, 404)


@pytest.mark.parametrize("received", [0, 1000, 5 * MIB], ids=["nothing", "a-bit", "some"])
def test_get_blob_survives_a_client_that_goes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], received: int
) -> None:
    content = some_bytes(32 * MIB)
    with running_server(tmp_path / "data", "--workers", "1") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="r/r")
        digest = push_blob(http, "r/r", content)
        (worker,) = workers_of(server)
        connections = len(worker.net_connections())
        for _ in range(5):
            with Wire(server) as wire:
                wire.head("GET", f"/v2/r/r/blobs/{digest}")
                wire.receive(received)
                wire.reset()

        wait_until(lambda: len(worker.net_connections()) <= connections)
        wait_until(lambda: not [one for one in worker.open_files() if "/blobs/" in one.path])
        assert pull_blob(http, "r/r", digest) == content
    log = capfd.readouterr().err
    assert "Traceback" not in log
    assert "ERROR" not in log


def blob_file(server: Server, size: int) -> Path:
    """Give the file of the only blob of this size."""
    (path,) = [one for one in (server.data / "blobs").rglob("*-*") if one.stat().st_size == size]
    return path


def test_get_blob_whose_file_is_lost_is_a_server_error(
    server: Server, http: httpx.Client, repository: str
) -> None:
    digest = push_blob(http, repository, some_bytes(123_457))
    blob_file(server, 123_457).unlink()

    answer = http.get(f"/v2/{repository}/blobs/{digest}")

    message = "The server failed to answer. See its log for this request id."
    assert error_of(answer) == (500, "UNKNOWN", message)
    assert http.get("/v2/").status_code == 200


def test_push_heals_a_blob_whose_file_is_lost(
    server: Server, http: httpx.Client, repository: str
) -> None:
    content = some_bytes(123_458)
    digest = push_blob(http, repository, content)
    blob_file(server, 123_458).unlink()

    push_blob(http, repository, content)

    assert pull_blob(http, repository, digest) == content


def test_get_blob_whose_file_is_short_ends_the_connection(
    server: Server, http: httpx.Client, repository: str
) -> None:
    digest = push_blob(http, repository, some_bytes(1_234_567))
    with blob_file(server, 1_234_567).open("r+b") as file:
        file.truncate(1_000_000)

    with Wire(server) as wire:
        wire.head("GET", f"/v2/{repository}/blobs/{digest}")
        answer = wire.answer()
        rest = wire.rest()

    assert answer.headers["Content-Length"] == "1234567"
    assert len(answer.body) == 1_000_000
    assert rest == b""
