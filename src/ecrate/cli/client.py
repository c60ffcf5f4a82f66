"""A small signed client of the API, over the standard library's HTTP.

Calls are repeated after broken connections, throttling and server faults, which is safe since
every operation of ECR gives the same answer to the same call again. One client serves many
threads; each has its own connection, which is kept open.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from ecrate import __version__
from ecrate.aws.model import service_model
from ecrate.aws.sigv4 import sign_headers
from ecrate.cli.failures import CommandError, ConnectionFailedError, ServiceError
from ecrate.cli.options import CommonValues
from ecrate.cli.profile import Credentials, Profile

ATTEMPTS: Final = 3
_LONGEST_PAUSE: Final = 20.0
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
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a server, and how to connect to it. Timeouts are seconds, None for none."""

    scheme: str
    host: str
    port: int
    connect_timeout: float | None
    read_timeout: float | None
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}/"

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection; raises `OSError`."""
        # RFC 6761: names under "localhost" are this machine, which not every resolver knows.
        is_local = self.host == "localhost" or self.host.endswith(".localhost")
        address = "localhost" if is_local else self.host
        opened = socket.create_connection((address, self.port), self.connect_timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                opened = self.tls.wrap_socket(opened, server_hostname=self.host)
            opened.settimeout(self.read_timeout)
        except BaseException:
            opened.close()
            raise
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = opened
        # A request on a connection that was closed must fail here, not go out on another socket.
        connection.auto_open = 0
        return connection


def make_endpoint(url: str, options: CommonValues) -> Endpoint:
    """Read a server's address; raises `CommandError` where it is none."""
    endpoint, target = split_url(url, options)
    if target != "/":
        raise CommandError(f'"{url}" has a path; the API of ECR is at the root of a server')
    return endpoint


def split_url(url: str, options: CommonValues) -> tuple[Endpoint, str]:
    """Give the server of a URL, and what to ask it for; raises `CommandError`."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == -1:
        raise CommandError(f'"{url}" is no address of a server, such as http://127.0.0.1:5100')
    endpoint = Endpoint(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        connect_timeout=options.connect_timeout or None,
        read_timeout=options.read_timeout or None,
        tls=_tls(options) if parts.scheme == "https" else None,
    )
    query = f"?{parts.query}" if parts.query else ""
    return endpoint, f"{parts.path or '/'}{query}"


def _tls(options: CommonValues) -> ssl.SSLContext:
    bundle = options.ca_bundle or os.environ.get("AWS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise CommandError(f"Cannot read the certificates in {bundle}: {error}") from None
    if not options.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """Calls operations of the API. Safe to use from several threads; closed by `with`."""

    def __init__(
        self,
        endpoint: Endpoint,
        region: str,
        credentials: Credentials | None,
        *,
        debug: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.region = region
        self._credentials = credentials
        self._debug = debug
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Give the answer's JSON. Raises `ServiceError`, `ConnectionFailedError`."""
        body = encode_body(parameters)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, reason, content = self._exchange(operation, body)
            except (OSError, http.client.HTTPException) as error:
                if self._closed.is_set():
                    raise CommandError("broken off") from None
                if attempt == ATTEMPTS:
                    raise self._unreachable(error) from error
                self.log(f"{operation}: {error!r}, attempt {attempt}")
            else:
                answer = _parse_answer(content)
                if status == http.HTTPStatus.OK and answer is not None:
                    return answer
                failure = self._failure(operation, status, reason, answer, retries=attempt - 1)
                if attempt == ATTEMPTS or not _is_worth_retrying(status, failure.code):
                    raise failure
                self.log(f"{operation}: {failure.code}, attempt {attempt}")
            self.sleep(pause(attempt))
        raise AssertionError  # the last attempt returned or raised

    def sleep(self, seconds: float) -> None:
        """Wait before trying again; raises `CommandError` at once when the client is closed."""
        if self._closed.wait(seconds):
            raise CommandError("broken off")

    def close(self) -> None:
        """Break off what is under way, in all threads."""
        self._closed.set()
        with self._lock:
            opened, self._open = self._open, set()
        for connection in opened:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
                connection.close()

    def log(self, text: str) -> None:
        """Tell of the traffic, with `--debug`."""
        if self._debug:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)

    def _exchange(self, operation: str, body: bytes) -> tuple[int, str, bytes]:
        headers = self._headers(operation, body)
        started = time.monotonic()
        for is_last in (False, True):
            kept = getattr(self._local, "connection", None)
            try:
                answer = self._send(kept or self._connect(), headers, body)
            except (OSError, http.client.HTTPException):
                self._drop()
                # A server may close a kept connection at any time: that is no failure yet.
                if is_last or kept is None or self._closed.is_set():
                    raise
            else:
                took = time.monotonic() - started
                self.log(f"{operation} {self.endpoint.url}: {answer[0]} in {took:.3f} s")
                return answer
        raise AssertionError  # the second round returned or raised

    @contextlib.contextmanager
    def connection_to(self, endpoint: Endpoint) -> Iterator[http.client.HTTPConnection]:
        """Connect to any server; `close` breaks this off as well."""
        connection = self._tracked(endpoint)
        try:
            yield connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _tracked(self, endpoint: Endpoint) -> http.client.HTTPConnection:
        connection = endpoint.connect()
        with self._lock:
            if self._closed.is_set():
                connection.close()
                raise ConnectionAbortedError("the client was closed")
            self._open.add(connection)
        return connection

    def _connect(self) -> http.client.HTTPConnection:
        connection = self._local.connection = self._tracked(self.endpoint)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _send(
        self, connection: http.client.HTTPConnection, headers: dict[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        if response.will_close:
            self._drop()
        return response.status, response.reason, content

    def _headers(self, operation: str, body: bytes) -> dict[str, str]:
        headers = {
            "host": self.endpoint.authority,
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"{service_model().target_prefix}.{operation}",
        }
        if self._credentials is not None:
            headers = sign_headers(
                headers,
                body,
                key_id=self._credentials.key_id,
                secret=self._credentials.secret,
                token=self._credentials.token,
                region=self.region,
                service=service_model().signing_name,
                timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            )
        return headers | {
            "content-length": str(len(body)),
            "user-agent": f"ecrate/{__version__}",
            "accept-encoding": "identity",
        }

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
        self, operation: str, status: int, reason: str, answer: Any, *, retries: int
    ) -> ServiceError:
        body = answer or {}
        if status == http.HTTPStatus.OK:
            raise CommandError(
                f'"{self.endpoint.url}" does not answer as ECR does; is it the right address?'
            )
        code = str(body.get("__type") or status).rpartition("#")[2]
        message = body.get("message") or body.get("Message")
        if message is None:
            message = "" if "__type" in body else reason
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
) -> Client:
    """Make the client that options and profile ask for; raises `CommandError`.

    `endpoint` and `region` are what an image's name says; `--region` is stronger.
    """
    return Client(
        make_endpoint(endpoint or profile.endpoint, options),
        options.region or region or profile.region,
        profile.credentials(),
        debug=options.debug,
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


def pause(attempt: int) -> float:
    """Give the seconds to wait after the given attempt failed: doubling, and never the same."""
    return min(_LONGEST_PAUSE, math.ldexp(0.125, attempt)) * random.uniform(0.5, 1)  # noqa: S311


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
