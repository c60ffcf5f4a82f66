"""`GET /events`: what happens in the caller's registry, as server-sent events.

    GET /events?after=POSITION&repository=NAME&follow=false
    Last-Event-ID: POSITION

Without a position the stream begins with what happens from then on; without `follow=false` it does
not end. Source: HTML Living Standard, section 9.2 "Server-sent events". Rights are looked at again
with each event and each heartbeat.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import hashlib
import json
import logging
from base64 import b64decode
from typing import Final
from urllib.parse import parse_qsl

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.aws.errors import CODES, RETRY_AFTER, FrontDoorError, render
from ecrate.aws.signatures import Signatures
from ecrate.domain.errors import (
    AccessDenied,
    EcrateError,
    InvalidParameter,
    StoreUnavailable,
    UnknownAccessKey,
)
from ecrate.domain.names import RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.operations import tokens
from ecrate.operations.core import Core
from ecrate.operations.events import EventPage, find_last_position, read_events
from ecrate.web.sources import source_of
from ecrate.web.threads import Threads

_LOG: Final = logging.getLogger("ecrate")
PATH: Final = "/events"
_HOST: Final = frozenset({"host"})
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
_HEARTBEAT: Final = 15.0
# A client that takes nothing for so long is gone, or as good as.
_PATIENCE: Final = 60.0
_PAGE: Final = 100
_LARGEST: Final = 2**63 - 1
_STATUSES: Final = {AccessDenied: 403, UnknownAccessKey: 401}


class Stream:
    """What one client asks for."""

    def __init__(self, caller: Caller, request: BaseRequest) -> None:
        """Raise `InvalidParameter`."""
        query = dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True))
        self.caller = caller
        self.repository = query.get("repository", "")
        if self.repository:
            RepositoryRef.parse(caller.registry, self.repository)
        follow = query.get("follow", "true")
        if follow not in {"true", "false"}:
            raise InvalidParameter("follow", "Member must satisfy enum value set: [false, true]")
        self.is_endless = follow == "true"
        self.after = _position(request.headers.get("Last-Event-ID") or query.get("after"))


class EventStreams:
    """Answers `GET /events` in one worker: one look at the database serves all who wait."""

    def __init__(self, core: Core, threads: Threads, *, every: float, most: int) -> None:
        """`every`: seconds between two looks for news; `most` streams at once."""
        self._core = core
        self._threads = threads
        self._signatures = Signatures(core, threads)
        self._every = every
        self._most = most
        self._count = 0
        self._news = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        try:
            _check_is_asked(request)
            stream = Stream(await self._caller(request), request)
            if stream.after is None:
                stream.after = await self._threads.read(find_last_position, self._core)
            page = await self._read(stream)
        except (FrontDoorError, EcrateError) as error:
            return _refuse(error)
        if self._count >= self._most:
            headers = {"Retry-After": RETRY_AFTER}
            return Response(status=503, text="Too many event streams.\n", headers=headers)
        self._count += 1
        try:
            return await self._send(request, stream, page)
        finally:
            self._count -= 1

    def stop(self) -> None:
        """End all streams; their clients come back with where they were."""
        self._is_stopping = True
        self._wake()
        if self._watch is not None:
            self._watch.cancel()

    async def _caller(self, request: BaseRequest) -> Caller:
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            caller = await self._threads.run(_basic, self._core, encoded)
            return caller.coming_from(source_of(request))
        signature, caller = await self._signatures.credential(request, "ecr", _HOST)
        self._signatures.check(request, signature, _NO_BODY, path=PATH)
        return caller

    async def _read(self, stream: Stream) -> EventPage:
        return await self._threads.run(_read, self._core, stream)

    async def _send(self, request: BaseRequest, stream: Stream, page: EventPage) -> StreamResponse:
        response = StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        # Of a stream that ends with its connection no proxy waits for the end.
        response.force_close()
        await response.prepare(request)
        self._watch = self._watch or asyncio.create_task(self._look())
        with contextlib.suppress(EcrateError, TimeoutError, ConnectionError):
            while True:
                news = self._news
                text = "".join(_written(event.position, event.envelope()) for event in page.events)
                await self._write(response, text)
                stream.after = page.position
                if not page.has_more:
                    if not stream.is_endless or self._is_stopping:
                        break
                    await self._wait(response, news)
                page = await self._read(stream)
        return response

    async def _wait(self, response: StreamResponse, news: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(news.wait(), _HEARTBEAT)
        except TimeoutError:
            await self._write(response, ":\n\n")

    async def _write(self, response: StreamResponse, text: str) -> None:
        # No more than a page waits in memory: the rest is read when this is sent.
        if text:
            await asyncio.wait_for(response.write(text.encode()), _PATIENCE)

    async def _look(self) -> None:
        """Wake all streams when there is something new."""
        position = 0
        while True:
            await asyncio.sleep(self._every)
            if not self._count:
                continue
            try:
                newest = await self._threads.read(find_last_position, self._core)
            except StoreUnavailable as error:
                _LOG.warning("event streams wait: %s", error)
                continue
            if newest != position:
                position = newest
                self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _check_is_asked(request: BaseRequest) -> None:
    if request.raw_path.partition("?")[0] != PATH or request.method != "GET":
        raise FrontDoorError("UnknownOperationException", f"Events are got by GET {PATH}", 404)


def _read(core: Core, stream: Stream) -> EventPage:
    return read_events(
        core,
        stream.caller,
        stream.caller.registry,
        stream.repository,
        after=stream.after or 0,
        limit=_PAGE,
    )


def _written(position: int, envelope: dict[str, object]) -> str:
    # JSON has no line breaks outside of texts, and inside they are escaped.
    return f"id: {position}\ndata: {json.dumps(envelope, separators=(',', ':'))}\n\n"


def _position(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:20]) > _LARGEST:
        raise InvalidParameter("after", "Member must be the id of an event, or 0")
    return int(text[:20])


def _basic(core: Core, encoded: str) -> Caller:
    try:
        user, _, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise UnknownAccessKey from None
    if user == "AWS":
        return tokens.authenticate_token(core, password)
    return tokens.authenticate_key(core, user, password)


def _refuse(error: FrontDoorError | EcrateError) -> Response:
    if isinstance(error, EcrateError) and type(error) not in CODES:
        raise error
    status, code, body = render(error)
    headers = {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
    if code in {"MissingAuthenticationTokenException", "UnrecognizedClientException"}:
        status = 401
        headers["WWW-Authenticate"] = 'Basic realm="ecrate"'
    status = _STATUSES.get(type(error), status)
    return Response(status=status, body=json.dumps(body).encode(), headers=headers)
