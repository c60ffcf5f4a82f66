"""A small signed client of the API, over the standard library's HTTP.

Calls are repeated after broken connections, throttling and server faults, which is safe since
every operation of ECR gives the same answer to the same call again. One client serves many
threads; each has its own connection, which is kept open.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import socket
import time
from typing import Any, Final, Self

from ecrate.aws.model import service_model
from ecrate.cli.connections import ATTEMPTS, Answer, Connections, make_endpoint, pause
from ecrate.cli.failures import CommandError, ConnectionFailedError, ServiceError
from ecrate.cli.options import CommonValues
from ecrate.cli.profile import Credentials, Profile
from ecrate.domain.sigv4 import sign_headers
from ecrate.upstream.endpoints import BROKEN, Endpoint

_THROTTLED: Final = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)


class Client:
    """Calls operations of the API. Safe to use from several threads; closed by `with`."""

    def __init__(
        self,
        endpoint: Endpoint,
        region: str,
        credentials: Credentials | None,
        connections: Connections,
        *,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.endpoint = endpoint
        self.region = region
        self.connections = connections
        self._credentials = credentials
        self._attempts = attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connections.close()

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Give the answer's JSON. Raises `ServiceError`, `ConnectionFailedError`."""
        body = encode_body(parameters)
        for attempt in range(1, self._attempts + 1):
            try:
                answered = self._exchange(operation, body)
            except BROKEN as error:
                if self.connections.is_closed:
                    raise CommandError("broken off") from None
                if attempt == self._attempts:
                    raise self._unreachable(error) from error
                self.connections.log(f"{operation}: {error!r}, attempt {attempt}")
            else:
                answer = _parse_answer(answered.content)
                if answered.status == http.HTTPStatus.OK and answer is not None:
                    return answer
                failure = self._failure(operation, answered, answer, retries=attempt - 1)
                if attempt == self._attempts or not _is_worth_retrying(
                    answered.status, failure.code
                ):
                    raise failure
                self.connections.log(f"{operation}: {failure.code}, attempt {attempt}")
            self.connections.sleep(pause(attempt))
        raise AssertionError  # the last attempt returned or raised

    def _exchange(self, operation: str, body: bytes) -> Answer:
        headers = self._headers(operation, body)
        started = time.monotonic()
        answer = self.connections.exchange(self.endpoint, "POST", "/", headers, body)
        took = time.monotonic() - started
        self.connections.log(f"{operation} {self.endpoint.url}: {answer.status} in {took:.3f} s")
        return answer

    def _headers(self, operation: str, body: bytes) -> dict[str, str]:
        headers = {
            "host": self.endpoint.authority,
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"{service_model().target_prefix}.{operation}",
        }
        headers = self._sign(headers, body, "POST", "/", "")
        return headers | self.connections.headers | {"content-length": str(len(body))}

    def signed(self, method: str, path: str, query: str) -> dict[str, str]:
        """Give the headers of a request without a body, to one of an ecrate's own paths."""
        headers = self._sign({"host": self.endpoint.authority}, b"", method, path, query)
        return headers | self.connections.headers

    def _sign(
        self, headers: dict[str, str], body: bytes, method: str, path: str, query: str
    ) -> dict[str, str]:
        if self._credentials is None:
            return headers
        return sign_headers(
            headers,
            hashlib.sha256(body).hexdigest(),
            key_id=self._credentials.key_id,
            secret=self._credentials.secret,
            token=self._credentials.token,
            region=self.region,
            service=service_model().signing_name,
            timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            method=method,
            path=path,
            query=query,
        )

    def _unreachable(self, error: Exception) -> ConnectionFailedError:
        url = self.endpoint.url
        if isinstance(error, (ConnectionRefusedError, socket.gaierror)):
            return ConnectionFailedError(
                f'Could not connect to the endpoint URL: "{url}"\n'
                "Is the server running (`ecrate serve`), and is this its address "
                "(--endpoint-url, AWS_ENDPOINT_URL)?"
            )
        return ConnectionFailedError(
            f'The connection to "{url}" broke: {str(error) or repr(error)}'
        )

    def _failure(
        self, operation: str, answered: Answer, answer: Any, *, retries: int
    ) -> ServiceError:
        body = answer or {}
        status = answered.status
        if status == http.HTTPStatus.OK:
            raise CommandError(
                f'"{self.endpoint.url}" does not answer as ECR does; is it the right address?'
            )
        code = str(body.get("__type") or status).rpartition("#")[2]
        message = body.get("message") or body.get("Message")
        if message is None:
            message = "" if "__type" in body else answered.reason
        is_retried = retries > 0 and _is_worth_retrying(status, code)
        return ServiceError(
            code=code,
            message=str(message),
            operation=operation,
            body=body,
            retries=retries if is_retried else 0,
        )


def make_client(
    options: CommonValues,
    profile: Profile,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    connections: Connections | None = None,
) -> Client:
    """Make the client that options and profile ask for; raises `CommandError`.

    `endpoint` and `region` are what an image's name says; `--region` is stronger.
    The client closes `connections`, whoever made them.
    """
    options = dataclasses.replace(options, ca_bundle=profile.ca_bundle)
    return Client(
        make_endpoint(endpoint or profile.endpoint, options),
        options.region or region or profile.region,
        profile.credentials(),
        connections or Connections(debug=options.debug),
        attempts=profile.attempts or ATTEMPTS,
    )


def encode_body(parameters: dict[str, Any]) -> bytes:
    """Give a call's input as JSON. Bytes become base64, without a detour over a text."""
    large = {name: item for name, item in parameters.items() if isinstance(item, bytes)}
    small = {name: item for name, item in parameters.items() if name not in large}
    head = json.dumps(small).encode()
    if not large:
        return head
    import pybase64

    pieces = [head[:-1]]
    for name, item in large.items():
        separator = b"" if pieces == [b"{"] else b", "
        pieces += [separator, json.dumps(name).encode(), b': "', pybase64.b64encode(item), b'"']
    return b"".join([*pieces, b"}"])


def _parse_answer(content: bytes) -> dict[str, Any] | None:
    if not content:
        return {}
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _is_worth_retrying(status: int, code: str) -> bool:
    return status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or code in _THROTTLED
