"""Requests at the AWS door made by hand, and signed by botocore's signers, not by ours."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import httpx
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from typing_extensions import override

from tests.support.server import REGION, Server

TARGET = "AmazonEC2ContainerRegistry_V20150921"
CONTENT_TYPE = "application/x-amz-json-1.1"


class _QueryAuth(SigV4QueryAuth):
    """botocore's own moves the members of a JSON body into the query, where ECR has none."""

    def __init__(self, credentials: Credentials, body: bytes, expires: int) -> None:
        super().__init__(credentials, "ecr", REGION, expires=expires)
        self._body = body

    @override
    def payload(self, request: AWSRequest) -> str:
        return hashlib.sha256(self._body).hexdigest()


def _request(server: Server, target: str, body: bytes) -> AWSRequest:
    headers = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": target}
    return AWSRequest("POST", server.endpoint + "/", headers=headers, data=body)


def sign(
    server: Server,
    operation: str,
    body: bytes = b"{}",
    *,
    key_id: str = "",
    secret: str = "",
    token: str | None = None,
    service: str = "ecr",
    region: str = REGION,
    target: str = "",
    at: datetime | None = None,
) -> dict[str, str]:
    """Give the headers of a signed call; the server's own key and the present unless told."""
    request = _request(server, target or f"{TARGET}.{operation}", body)
    credentials = Credentials(key_id or server.key_id, secret or server.secret, token)
    now = at or datetime.now(UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        SigV4Auth(credentials, service, region).add_auth(request)
    return {"Host": server.host, **dict(request.headers.items())}


def presign(
    server: Server,
    operation: str,
    body: bytes = b"{}",
    *,
    expires: int = 60,
    token: str | None = None,
    at: datetime | None = None,
) -> tuple[str, dict[str, str]]:
    """Give URL and headers of a call whose signature stands in the query string."""
    request = _request(server, f"{TARGET}.{operation}", b"")
    credentials = Credentials(server.key_id, server.secret, token)
    now = at or datetime.now(UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        _QueryAuth(credentials, body, expires).add_auth(request)
    return str(request.url), {"Host": server.host, **dict(request.headers.items())}


def post(
    server: Server, headers: dict[str, str], body: bytes = b"{}", *, url: str = ""
) -> httpx.Response:
    """Send the request as it is."""
    # Without certificates, which take a while to load and are not needed here.
    with httpx.Client(verify=False, trust_env=False, timeout=30) as client:  # noqa: S501
        return client.post(url or server.endpoint + "/", headers=headers, content=body)


def call(server: Server, operation: str, body: bytes = b"{}") -> httpx.Response:
    """Sign and send."""
    return post(server, sign(server, operation, body), body)


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Give status, code and message of an error; the header must name the same code."""
    document: dict[str, Any] = answer.json()
    assert answer.headers["x-amzn-ErrorType"] == document["__type"]
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    return answer.status_code, document["__type"], document["message"]


@contextlib.contextmanager
def sent_head(
    server: Server, headers: Mapping[str, str], *, path: str = "/"
) -> Iterator[http.client.HTTPConnection]:
    """Send the head of a POST and nothing else."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode("utf-8", "surrogateescape"))
        connection.endheaders()
        yield connection


def answer_on(connection: http.client.HTTPConnection) -> tuple[int, str]:
    """Wait for the answer; give its status and the code of its error."""
    with connection.getresponse() as answer:
        answer.read()
        return answer.status, answer.headers.get("x-amzn-ErrorType", "")
