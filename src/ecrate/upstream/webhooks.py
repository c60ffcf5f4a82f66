"""Deliveries to webhooks over HTTP.

A webhook answers with a status of 200 to 299 once it has what was sent; redirects are failures,
since they would lead where nobody has looked whether something may be sent there.
"""

from __future__ import annotations

import http

from ecrate.domain.lanes import Failure
from ecrate.upstream.answers import read_pause
from ecrate.upstream.endpoints import BROKEN
from ecrate.upstream.http import Http

_BUSY = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE})


class HttpSender:
    """Posts to webhooks; the answers' bodies are not read."""

    def __init__(self, client: Http) -> None:
        self._http = client

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Failure | None:
        """Give why it was not taken."""
        length = {"content-length": str(len(body))}
        try:
            with self._http.ask("POST", url, headers | length, body) as reply:
                status, pause = reply.status, 0.0
                if status in _BUSY and "Retry-After" in reply.headers:
                    pause = read_pause(reply.headers)
        except (*BROKEN, ValueError) as error:
            return Failure(str(error) or type(error).__name__)
        if http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
            return None
        return Failure(f"it answers {status}", seconds=pause)

    def close(self) -> None:
        self._http.close()
