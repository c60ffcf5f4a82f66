"""The AWS door itself: what it routes, how it reads, and what it answers before any operation."""

from __future__ import annotations

import http.client
import select
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from ecrate.aws.table import OPERATIONS
from tests.support.server import Server, running_server, start_server
from tests.support.signing import (
    CONTENT_TYPE,
    TARGET,
    answer_on,
    call,
    error_of,
    post,
    sent_head,
    sign,
)

OPERATION = "DescribeRepositories"
MIB = 1024 * 1024
WELCOME = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def lone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one worker, so that what it holds together can be seen.

    It is killed: stopped, it would wait a while for bodies that are never sent.
    """
    folder = tmp_path_factory.mktemp("lone")
    started = start_server(folder / "data", "--workers", "1")
    try:
        yield started
    finally:
        started.kill()


def is_readable(connection: http.client.HTTPConnection) -> bool:
    return bool(select.select([connection.sock], [], [], 0)[0])


def test_answer_has_a_request_id_and_a_type(server: Server) -> None:
    answer = call(server, OPERATION)

    assert UUID(answer.headers["x-amzn-RequestId"]).version == 4
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert "x-amzn-ErrorType" not in answer.headers


def test_refusal_has_a_request_id_of_its_own(server: Server) -> None:
    first, second = (call(server, "Nonsense").headers["x-amzn-RequestId"] for _ in "12")

    assert UUID(first) != UUID(second)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(f"{TARGET}.Nonsense", id="unknown"),
        pytest.param(f"{TARGET}.listImages", id="another-case"),
        pytest.param(f"{TARGET}.", id="no-name"),
        pytest.param("ListImages", id="no-prefix"),
        pytest.param("AmazonEC2ContainerRegistry_V20250921.ListImages", id="another-version"),
        pytest.param("x" * 10_000, id="long"),
        pytest.param("\N{SNOWMAN}", id="no-word"),
    ],
)
def test_unknown_operation_is_refused(lone_server: Server, target: str) -> None:
    headers = sign(lone_server, "", b"", target=target) | {"Content-Length": "0"}

    with sent_head(lone_server, headers) as connection:
        answer = answer_on(connection)

    assert answer == (400, "UnknownOperationException")


def test_missing_target_is_refused(server: Server) -> None:
    headers = sign(server, OPERATION)
    del headers["X-Amz-Target"]

    answer = post(server, headers)

    assert error_of(answer)[:2] == (400, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/", id="get"),
        pytest.param("PUT", "/", id="put"),
        pytest.param("POST", "/somewhere", id="path"),
        pytest.param("POST", "//", id="slashes"),
    ],
)
def test_request_that_is_no_call_is_refused(server: Server, method: str, path: str) -> None:
    answer = httpx.request(method, server.endpoint + path, headers=sign(server, OPERATION))

    assert error_of(answer)[:2] == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut"),
        pytest.param(b"{} {}", id="two"),
        pytest.param(b"nothing", id="word"),
        pytest.param(b'{"maxResults": 1e999}', id="infinity"),
        pytest.param(b'{"nextToken": "\xff"}', id="no-text"),
        pytest.param(b'{"nextToken": "\\ud800"}', id="half-a-character"),
        pytest.param(b'{"x":' * 10_000 + b"1" + b"}" * 10_000, id="deep"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"{}"', id="string"),
        pytest.param(b"null", id="null"),
    ],
)
@pytest.mark.parametrize("operation", [OPERATION, "UploadLayerPart"])
def test_body_that_is_no_object_is_refused(server: Server, operation: str, body: bytes) -> None:
    answer = call(server, operation, body)

    assert error_of(answer)[:2] == (400, "SerializationException")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b' {"maxResults" : 1} \n', id="spaces"),
        pytest.param(b'{"maxResults": null}', id="null"),
        pytest.param(b'{"unknown": [1, {"x": null}]}', id="unknown-member"),
    ],
)
def test_body_that_amazon_accepts_is_accepted(server: Server, body: bytes) -> None:
    answer = call(server, OPERATION, body)

    assert answer.status_code == 200


def test_missing_body_of_an_operation_with_a_blob_lacks_its_members(server: Server) -> None:
    answer = call(server, "UploadLayerPart", b"")

    assert error_of(answer)[:2] == (400, "InvalidParameterException")


def test_body_that_ends_early_leaves_nothing(server: Server) -> None:
    body = b'{"repositoryName": "never/made"}'
    headers = sign(server, "CreateRepository", body)

    with sent_head(server, headers | {"Content-Length": str(len(body))}) as connection:
        connection.send(body[:-1])

    answer = call(server, OPERATION, b'{"repositoryNames": ["never/made"]}')
    assert error_of(answer)[1] == "RepositoryNotFoundException"


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_body_larger_than_its_operation_needs_is_refused_unread(
    lone_server: Server, operation: str
) -> None:
    size = OPERATIONS[operation].body_limit + 1
    headers = sign(lone_server, operation) | {"Content-Length": str(size)}

    with sent_head(lone_server, headers) as connection:
        answer = answer_on(connection)

    assert answer == (413, "RequestEntityTooLargeException")


@pytest.mark.parametrize(
    ("operation", "size"),
    [
        pytest.param("Nonsense", 65 * 1024, id="unknown"),
        pytest.param(OPERATION, 257 * 1024, id="ordinary"),
        pytest.param("PutImage", 9 * MIB + 1, id="manifest"),
    ],
)
def test_body_without_a_length_is_refused_where_it_grows_too_large(
    server: Server, operation: str, size: int
) -> None:
    headers = sign(server, operation) | {"Transfer-Encoding": "chunked"}

    with sent_head(server, headers) as connection:
        connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (size, b" " * size))
        answer = answer_on(connection)

    assert answer == (413, "RequestEntityTooLargeException")


def test_body_without_a_length_is_accepted(server: Server) -> None:
    headers = sign(server, OPERATION, b'{"maxResults": 1}') | {"Transfer-Encoding": "chunked"}

    with sent_head(server, headers) as connection:
        connection.send(b'5\r\n{"max\r\nc\r\nResults": 1}\r\n0\r\n\r\n')
        answer = answer_on(connection)

    assert answer == (200, "")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        pytest.param(("=AKIA", "=AKIX"), "UnrecognizedClientException", id="unknown-key"),
        pytest.param(("/ecr/", "/s3/"), "InvalidSignatureException", id="service"),
        pytest.param(("/us-", "/?-"), "InvalidSignatureException", id="region"),
        pytest.param(("host;", ""), "InvalidSignatureException", id="signed-headers"),
        pytest.param(("AWS4", "AWS5"), "IncompleteSignatureException", id="scheme"),
    ],
)
@pytest.mark.parametrize("expect", [pytest.param({}, id="sends"), {"Expect": "100-continue"}])
def test_credential_is_refused_before_the_body_is_sent(
    lone_server: Server, header: tuple[str, str], code: str, expect: dict[str, str]
) -> None:
    headers = sign(lone_server, "UploadLayerPart") | {"Content-Length": str(27 * MIB)} | expect
    headers["Authorization"] = headers["Authorization"].replace(*header, 1)

    with sent_head(lone_server, headers) as connection:
        answer = answer_on(connection)

    assert answer == (400, code)


def test_date_is_refused_before_the_body_is_sent(lone_server: Server) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    headers = sign(lone_server, "UploadLayerPart", at=yesterday)

    with sent_head(lone_server, headers | {"Content-Length": str(27 * MIB)}) as connection:
        answer = answer_on(connection)

    assert answer == (400, "InvalidSignatureException")


def test_client_that_waits_is_told_to_go_on(server: Server) -> None:
    headers = sign(server, OPERATION) | {"Content-Length": "2", "Expect": "100-continue"}

    with sent_head(server, headers) as connection:
        welcome = connection.sock.recv(len(WELCOME))
        connection.send(b"{}")
        answer = answer_on(connection)

    assert welcome == WELCOME
    assert answer == (200, "")


def test_connection_goes_on_after_a_refusal(server: Server) -> None:
    refused = sign(server, OPERATION, secret="wrong") | {"Content-Length": "2"}
    accepted = sign(server, OPERATION) | {"Content-Length": "2"}

    with sent_head(server, refused) as connection:
        connection.send(b"{}")
        first = answer_on(connection)
        connection.request("POST", "/", b"{}", accepted)
        second = answer_on(connection)

    assert first == (400, "InvalidSignatureException")
    assert second == (200, "")


def test_bodies_of_parts_in_flight_are_bounded_together(lone_server: Server) -> None:
    head = sign(lone_server, "UploadLayerPart") | {
        "Content-Length": str(27 * MIB),
        "Expect": "100-continue",
    }

    with sent_head(lone_server, head) as first, sent_head(lone_server, head) as second:
        welcomes = [connection.sock.recv(len(WELCOME)) for connection in (first, second)]
        with sent_head(lone_server, head) as third:
            small = call(lone_server, OPERATION)
            was_welcome = is_readable(third)
            first.close()
            welcome = third.sock.recv(len(WELCOME))

    assert welcomes == [WELCOME, WELCOME]
    assert small.status_code == 200
    assert not was_welcome
    assert welcome == WELCOME


def test_failure_inside_is_told_to_the_log_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_server(tmp_path / "data") as running:
        with closing(sqlite3.connect(running.data / "ecrate.db")) as database:
            database.execute("ALTER TABLE repositories RENAME TO lost")
        answer = call(running, OPERATION)
        again = call(running, "GetAuthorizationToken")

    assert error_of(answer) == (
        500,
        "ServerException",
        "The server failed to answer. See its log for this request id.",
    )
    assert again.status_code == 200
    log = capfd.readouterr().err
    assert f"request {answer.headers['x-amzn-RequestId']} failed" in log
    assert "no such table: repositories" in log
