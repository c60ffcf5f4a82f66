"""Fixtures for tests of what lies under all doors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import BodyTooLarge, BodyTruncated
from ecrate.web.body import stream_body
from ecrate.web.threads import Threads
from tests.support.serving import serving

MIB = 1024 * 1024


class Receiver:
    """Takes bodies in with `stream_body` and answers their size and SHA-256.

    `pieces` are all that the sink was given, whatever became of the body.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.threads = Threads()
        self.pieces: list[bytes] = []
        self.port = 0

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        digest = hashlib.sha256()

        def sink(piece: bytes | memoryview) -> None:
            digest.update(piece)
            self.pieces.append(bytes(piece))

        try:
            await stream_body(request, sink, self.threads, limit=self.limit)
        except (BodyTruncated, BodyTooLarge) as error:
            return Response(status=400, text=str(error))
        return Response(text=digest.hexdigest())

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server of bodies up to 20 MiB."""
    made = Receiver(20 * MIB)
    with serving(made) as port:
        made.port = port
        yield made
        made.threads.stop()
