"""How requests to a registry prove who sends them: nothing, Basic, or a bearer token.

The credentials go to the registry itself and to a realm that is bound to it, and to nobody else.
"""

from __future__ import annotations

import http
import threading
from collections.abc import Iterable
from typing import Final

from ecrate.cli.connections import Connections, split_url
from ecrate.cli.failures import BAD_CONFIGURATION, CommandError, ConnectionFailedError
from ecrate.cli.options import CommonValues
from ecrate.upstream.challenges import Challenge, is_bound, read_challenges
from ecrate.upstream.endpoints import BROKEN, Endpoint
from ecrate.upstream.logins import Login
from ecrate.upstream.tokens import make_request, read_answer

_LARGEST_ANSWER: Final = 1024 * 1024


class Authorization:
    """The Authorization headers for one registry. Safe to use from several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        login: Login | None,
        connections: Connections,
        options: CommonValues,
        *,
        trusted: Iterable[str] = (),
    ) -> None:
        self._endpoint = endpoint
        self._login = login
        self._connections = connections
        self._options = options
        self._trusted = frozenset(trusted)
        self._lock = threading.Lock()
        self._headers: dict[frozenset[str], str] = {}

    def header(self, scopes: frozenset[str]) -> str | None:
        """Give what is known to do for requests with these scopes."""
        with self._lock:
            return self._headers.get(scopes)

    def answer(self, scopes: frozenset[str], used: str | None, challenged: Iterable[str]) -> bool:
        """Get what the challenges ask for, in place of `used`, which was refused.

        False where nothing else can be had. Raises `CommandError` where the credentials would
        have to go to a realm that is not the registry's, or the realm refuses them.
        """
        with self._lock:
            if self._headers.get(scopes) != used:
                return True  # another thread was faster
            for challenge in read_challenges(challenged):
                made = self._respond(challenge, scopes)
                if made is not None and made != used:
                    self._headers[scopes] = made
                    return True
            return False

    def _respond(self, challenge: Challenge, scopes: frozenset[str]) -> str | None:
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            return f"Bearer {self._fetch_token(challenge.parameters, scopes)}"
        if challenge.scheme == "basic" and self._login and not self._login.is_identity_token:
            return self._login.basic
        return None

    def _fetch_token(self, parameters: dict[str, str], scopes: frozenset[str]) -> str:
        realm, target = split_url(parameters["realm"], self._options)
        if self._login is not None and not is_bound(realm, self._endpoint, self._trusted):
            raise CommandError(
                f"{self._endpoint.authority} asks for its password to be sent to {realm.url}, "
                "which is not known to belong to it.\nIf you trust that server with it, add "
                f"--trust-realm {realm.host}",
                BAD_CONFIGURATION,
            )
        request = make_request(target, parameters, scopes, self._login)
        headers = {"Host": realm.authority, **self._connections.headers, **request.headers}
        try:
            answer = self._connections.exchange(
                realm, request.method, request.target, headers, request.body, limit=_LARGEST_ANSWER
            )
        except BROKEN as error:
            raise ConnectionFailedError(
                f"{realm.url}, which gives tokens for {self._endpoint.authority}, cannot be "
                f"reached: {error}"
            ) from None
        token = read_answer(answer.content) if answer.status == http.HTTPStatus.OK else None
        if token is None:
            raise CommandError(
                f"{realm.url} gives no token for {self._endpoint.authority}: {answer.status} "
                f"{answer.reason}.\nLog in first: docker login {self._endpoint.authority}"
            )
        return token.text
