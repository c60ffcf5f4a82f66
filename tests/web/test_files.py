"""Files sent by the kernel, as download URLs give them: whole, in part, to slow clients."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from ecrate.operations.seals import Seals
from tests.support.images import digest_of
from tests.support.registry import KIB, MIB, push_blob, some_bytes
from tests.support.server import Server
from tests.support.wire import Wire

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

CONTENT = some_bytes(5 * MIB + 1, "files")
DIGEST = digest_of(CONTENT)
QUOTED = f'"{DIGEST}"'


@pytest.fixture(scope="module")
def url(server: Server, ecr: ECRClient) -> str:
    """The URL that leads to `CONTENT`, without credentials."""
    ecr.create_repository(repositoryName="files/sent")
    with server.http() as http:
        push_blob(http, "files/sent", CONTENT)
    answer = ecr.get_download_url_for_layer(repositoryName="files/sent", layerDigest=DIGEST)
    return answer["downloadUrl"]


@pytest.fixture
def path(server: Server, url: str) -> str:
    return url.removeprefix(server.endpoint)


def test_download_gives_all(url: str) -> None:
    answer = httpx.get(url)

    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == QUOTED


def test_download_describes(url: str) -> None:
    answer = httpx.head(url)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("method", "headers", "status", "length"),
    [
        pytest.param("GET", {"Range": "bytes=1-3"}, 206, 3, id="range"),
        pytest.param("GET", {"Range": "bytes=-7"}, 206, 7, id="suffix"),
        pytest.param("GET", {"Range": "bytes=9999999-"}, 416, 0, id="outside"),
        pytest.param("GET", {"If-None-Match": QUOTED}, 304, 0, id="known"),
        pytest.param(
            "GET", {"If-None-Match": QUOTED, "Range": "bytes=1-3"}, 304, 0, id="known-range"
        ),
        pytest.param(
            "GET", {"If-Range": '"other"', "Range": "bytes=1-3"}, 200, len(CONTENT), id="changed"
        ),
        pytest.param("HEAD", {"If-None-Match": QUOTED}, 304, 0, id="head-known"),
        pytest.param("HEAD", {"Range": "bytes=1-3"}, 200, 0, id="head-range"),
    ],
)
def test_download_takes_ranges_and_conditions(
    url: str, method: str, headers: dict[str, str], status: int, length: int
) -> None:
    answer = httpx.request(method, url, headers=headers)

    assert (answer.status_code, len(answer.content)) == (status, length)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_download_can_only_be_read(url: str, method: str) -> None:
    answer = httpx.request(method, url)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "seal",
    [
        pytest.param("", id="nothing"),
        pytest.param("x", id="garbage"),
        pytest.param("%2e%2e/%2e%2e/etc/passwd", id="traversal"),
        pytest.param("a.b", id="two-parts"),
        pytest.param("{seal}x", id="longer"),
        pytest.param("x{seal}", id="other"),
        pytest.param("{seal}/..", id="path-behind"),
        pytest.param("x" * 10_000, id="long"),
    ],
)
def test_download_needs_the_seal(server: Server, path: str, seal: str) -> None:
    given = seal.format(seal=path.removeprefix("/layers/"))
    with Wire(server) as wire:
        answer = wire.ask("GET", f"/layers/{given}")

    assert answer.status == 404
    assert answer.body == b"There is no such download.\n"


def test_download_ends_with_its_time(server: Server) -> None:
    secret = bytes.fromhex((server.data / "secret").read_text().strip())
    payload = {"repository": 1, "digest": DIGEST, "exp": time.time() - 1}

    answer = httpx.get(f"{server.endpoint}/layers/{Seals(secret).seal('download', payload)}")

    assert (answer.status_code, answer.text) == (403, "This download URL has expired.\n")


def test_download_ignores_a_query(url: str) -> None:
    answer = httpx.get(f"{url}?X-Amz-Expires=5")

    assert answer.status_code == 200


def test_connection_gives_one_file_after_another(server: Server, path: str) -> None:
    with Wire(server) as wire:
        answers = [wire.ask("GET", path) for _ in range(3)]

    assert [answer.body == CONTENT for answer in answers] == [True] * 3


def test_requests_behind_each_other_are_answered_in_order(server: Server, path: str) -> None:
    with Wire(server) as wire:
        wire.send(
            wire.text("GET", path)
            + wire.text("GET", path, {"Range": "bytes=0-9"})
            + wire.text("GET", path, {"If-None-Match": QUOTED})
            + wire.text("GET", path)
        )
        answers = [wire.answer(), wire.answer(), wire.answer(has_body=False), wire.answer()]

    assert [answer.status for answer in answers] == [200, 206, 304, 200]
    assert answers[0].body == answers[3].body == CONTENT
    assert answers[1].body == CONTENT[:10]


def test_client_that_reads_in_small_pieces_gets_all(server: Server, path: str) -> None:
    with Wire(server) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        wire.head("GET", path)
        received = b""
        while len(received) < len(CONTENT):
            received += wire.socket.recv(3 * KIB)

    assert received.endswith(CONTENT[-MIB:])


def test_client_that_does_not_read_keeps_nobody_waiting(server: Server, path: str) -> None:
    with Wire(server) as first, Wire(server) as second, Wire(server) as third:
        for wire in (first, second):
            wire.head("GET", path)
            wire.head("GET", path)

        answer = third.ask("GET", path)

    assert answer.body == CONTENT
