"""How requests to upstreams prove who sends them: nothing, Basic, or a bearer token.

A login goes to the registry itself and to a realm that is bound to it, and to nobody else
(CVE-2026-33540: a registry that names any realm it likes would be told the login).
"""

from __future__ import annotations

import http
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from ecrate.domain.upstream_errors import (
    UpstreamAccessDenied,
    UpstreamTooManyRequests,
    UpstreamUnavailable,
)
from ecrate.upstream.answers import read_error, read_pause
from ecrate.upstream.challenges import Challenge, is_bound, read_challenges
from ecrate.upstream.endpoints import Endpoint, Url
from ecrate.upstream.http import Http
from ecrate.upstream.port import Place
from ecrate.upstream.tokens import make_request, read_answer

_LARGEST_ANSWER: Final = 1024 * 1024
_MOST_KEPT: Final = 1000
_EARLY: Final = 5.0  # seconds before its end that a token is not used any more


class Authorizations:
    """The Authorization headers for all places. Safe to use from several threads."""

    def __init__(self, client: Http, realms: Mapping[str, Collection[str]]) -> None:
        self._http = client
        self._realms = realms
        self._lock = threading.Lock()
        self._kept: OrderedDict[Place, tuple[str, float]] = OrderedDict()

    def header(self, place: Place) -> str | None:
        """Give what is known to do for a place."""
        with self._lock:
            header, until = self._kept.get(place, ("", 0.0))
            return header if header and time.monotonic() < until else None

    def answer(
        self, place: Place, registry: Endpoint, used: str | None, challenged: Iterable[str]
    ) -> bool:
        """Get what the challenges ask for, in place of `used`, which was refused.

        False where nothing else can be had. Raises `UpstreamError`, and what `Http` raises.
        """
        if self.header(place) != used:
            return True  # another thread was faster
        for challenge in read_challenges(challenged):
            made = self._respond(place, registry, challenge)
            if made is not None and made[0] != used:
                with self._lock:
                    self._kept[place] = made
                    while len(self._kept) > _MOST_KEPT:
                        self._kept.popitem(last=False)
                return True
        return False

    def _respond(
        self, place: Place, registry: Endpoint, challenge: Challenge
    ) -> tuple[str, float] | None:
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            token, lifetime = self._fetch_token(place, registry, challenge.parameters)
            return f"Bearer {token}", time.monotonic() + lifetime - _EARLY
        if challenge.scheme == "basic" and place.login is not None:
            return place.login.basic, float("inf")
        return None

    def _fetch_token(
        self, place: Place, registry: Endpoint, parameters: dict[str, str]
    ) -> tuple[str, float]:
        upstream, url = place.url.host, parameters["realm"]
        realm = _endpoint(url)
        if registry.scheme == "https" != realm.scheme:
            raise UpstreamAccessDenied(upstream, "its realm for tokens is not encrypted")
        trusted = self._realms.get(upstream, ())
        if place.login is not None and not is_bound(realm, registry, trusted):
            raise UpstreamAccessDenied(
                upstream,
                f"it asks for the login to be sent to {realm.host}, which is not known to belong "
                "to it; the setting 'upstream_realms' allows it",
            )
        scope = f"repository:{place.repository}:pull" if place.repository else ""
        request = make_request(
            Url.parse(url).target, parameters, [scope] if scope else [], place.login
        )
        address = f"{realm.scheme}://{realm.authority}{request.target}"
        with self._http.ask(request.method, address, request.headers, request.body) as reply:
            content = reply.read_all(_LARGEST_ANSWER)
        _, text = read_error(content)
        reason = f"{realm.host}, which gives its tokens, answers {reply.status}: {text}"
        if reply.status == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise UpstreamTooManyRequests(upstream, reason, read_pause(reply.headers))
        if reply.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UpstreamUnavailable(upstream, reason)
        token = read_answer(content) if reply.status == http.HTTPStatus.OK else None
        if token is None:
            raise UpstreamAccessDenied(upstream, reason)
        return token.text, token.lifetime


def _endpoint(url: str) -> Endpoint:
    """Give the server of a realm's URL; raises `ValueError`."""
    parts = Url.parse(url)
    return Endpoint(parts.scheme, parts.host, parts.port, None, None, None)
