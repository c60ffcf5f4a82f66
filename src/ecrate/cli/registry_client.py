"""Requests to the registry API of any registry. Source: OCI distribution-spec 1.1.

Requests are repeated after broken connections, throttling and server faults; challenges are
answered with the credentials at hand.
"""

from __future__ import annotations

import contextlib
import http
import itertools
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import Final
from urllib.parse import urljoin, urlsplit

from ecrate.cli.authorization import Authorization
from ecrate.cli.connections import ATTEMPTS, Answer, Connections, pause, split_url
from ecrate.cli.download import open_url
from ecrate.cli.failures import SERVICE_ERROR, CommandError, ConnectionFailedError
from ecrate.cli.options import CommonValues
from ecrate.upstream.answers import read_error
from ecrate.upstream.endpoints import BROKEN, Endpoint
from ecrate.upstream.logins import Login

_LARGEST_ANSWER: Final = 8 * 1024 * 1024
_MOST_CHALLENGES: Final = 2  # one for a token, one more where that has just expired
_LONGEST_WAIT: Final = 60.0


class RegistryError(CommandError):
    """The registry refused; `code` is the specification's, or the status where it gave none."""

    def __init__(self, registry: str, asked: str, answer: Answer) -> None:
        self.status = answer.status
        self.code, told = _error_in(answer)
        text = f"{registry} refuses to {asked}: {self.code}: {told or answer.reason}"
        if answer.status == http.HTTPStatus.UNAUTHORIZED:
            text += f"\nLog in first: docker login {registry}"
        super().__init__(text, SERVICE_ERROR)


class RegistryClient:
    """One registry. Safe to use from several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        login: Login | None,
        connections: Connections,
        options: CommonValues,
        *,
        trusted: Iterable[str] = (),
    ) -> None:
        self.endpoint = endpoint
        self.connections = connections
        self._options = options
        self._authorization = Authorization(endpoint, login, connections, options, trusted=trusted)

    def ask(
        self,
        method: str,
        target: str,
        *,
        scopes: frozenset[str],
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Give the answer, whatever its status; raises `CommandError` where there is none."""
        for attempt in range(1, ATTEMPTS + 1):
            answer = None
            try:
                answer = self._ask(method, target, scopes, headers or {}, body)
            except BROKEN as error:
                if self.connections.is_closed:
                    raise CommandError("broken off") from None
                self.connections.log(f"{method} {self.endpoint.url}: {error!r}")
                if attempt == ATTEMPTS:
                    raise self.unreachable(error) from None
            if answer is not None and (attempt == ATTEMPTS or not _is_passing(answer.status)):
                return answer
            self.connections.sleep(_wait(answer, attempt))
        raise AssertionError  # the last attempt returned or raised

    def _ask(
        self,
        method: str,
        target: str,
        scopes: frozenset[str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        endpoint, path = self._place(target)
        for answered in itertools.count():
            used = self._used(endpoint, scopes)
            given = {**self._headers(endpoint, used), **headers}
            if body or method in ("POST", "PUT", "PATCH"):
                given["Content-Length"] = str(len(body))
            answer = self.connections.exchange(
                endpoint, method, path, given, body, limit=_LARGEST_ANSWER
            )
            self.connections.log(f"{method} {endpoint.url}{path[1:]}: {answer.status}")
            asked = answer.headers.get_all("WWW-Authenticate") or []
            may_answer = (
                answer.status == http.HTTPStatus.UNAUTHORIZED and answered < _MOST_CHALLENGES
            )
            if not may_answer or not self._answer(endpoint, scopes, used, asked):
                return answer
        raise AssertionError  # the loop has no other end

    @contextlib.contextmanager
    def open(self, target: str, offset: int, *, scopes: frozenset[str]) -> Iterator[HTTPResponse]:
        """Give the answer to a GET from `offset` on, wherever it leads; raises `BROKEN`."""
        url = urljoin(self.endpoint.url, target)
        for is_last in (False, True):
            used = self._authorization.header(scopes)
            with open_url(
                url,
                offset,
                self._headers(self.endpoint, used),
                self.connections,
                options=self._options,
            ) as response:
                asked = response.headers.get_all("WWW-Authenticate") or []
                if (
                    is_last
                    or response.status != http.HTTPStatus.UNAUTHORIZED
                    or not self._authorization.answer(scopes, used, asked)
                ):
                    yield response
                    return

    @contextlib.contextmanager
    def send(
        self, method: str, target: str, headers: Mapping[str, str], *, scopes: frozenset[str]
    ) -> Iterator[HTTPConnection]:
        """Begin a request, whose body the caller sends on the connection; raises `BROKEN`."""
        endpoint, path = self._place(target)
        given = {**self._headers(endpoint, self._used(endpoint, scopes)), **headers}
        with self.connections.connection_to(endpoint) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders()
            yield connection

    def refuse(self, asked: str, answer: Answer) -> RegistryError:
        """Give the error for an answer that is none of those hoped for."""
        return RegistryError(self.endpoint.authority, asked, answer)

    def unreachable(self, error: Exception) -> ConnectionFailedError:
        """Give the error for a registry that does not answer."""
        return ConnectionFailedError(
            f"{self.endpoint.url} cannot be reached: {str(error) or repr(error)}\n"
            "Is the name right, and is it served over "
            f"{self.endpoint.scheme}? (--plain-http asks without encryption)"
        )

    def _place(self, target: str) -> tuple[Endpoint, str]:
        """Read a path or, as in a Location, a whole URL; raises `CommandError`."""
        endpoint, path = split_url(urljoin(self.endpoint.url, target), self._options)
        if self.endpoint.scheme == "https" != endpoint.scheme:
            raise CommandError(f"{self.endpoint.url} leads to {endpoint.url}, not encrypted")
        return endpoint, path

    def _used(self, endpoint: Endpoint, scopes: frozenset[str]) -> str | None:
        is_ours = endpoint.is_same_server(self.endpoint)
        return self._authorization.header(scopes) if is_ours else None

    def _answer(
        self, endpoint: Endpoint, scopes: frozenset[str], used: str | None, asked: list[str]
    ) -> bool:
        is_ours = endpoint.is_same_server(self.endpoint)
        return is_ours and self._authorization.answer(scopes, used, asked)

    def _headers(self, endpoint: Endpoint, authorization: str | None) -> dict[str, str]:
        headers = {"Host": endpoint.authority, **self.connections.headers}
        return headers | ({"Authorization": authorization} if authorization else {})


def next_page(answer: Answer) -> str | None:
    """Give where the following page is, as a path: whatever host a Link names, ours is asked.

    Source: distribution-spec, "Listing Tags" (RFC 5988).
    """
    url, _, parameters = (answer.headers.get("Link") or "").partition(">")
    if not url.startswith("<") or "next" not in parameters:
        return None
    parts = urlsplit(url[1:])
    return f"{parts.path}?{parts.query}"


def _is_passing(status: int) -> bool:
    too_many = status == http.HTTPStatus.TOO_MANY_REQUESTS
    return too_many or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR


def _wait(answer: Answer | None, attempt: int) -> float:
    told = (answer.headers.get("Retry-After") if answer else None) or ""
    return min(float(told), _LONGEST_WAIT) if told.isdigit() else pause(attempt)


def _error_in(answer: Answer) -> tuple[str, str]:
    code, text = read_error(answer.content)
    return code or str(answer.status), text
