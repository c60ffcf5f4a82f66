"""What happens, as it happens: server-sent events whose data are fragments of the registry's page.

Source: HTML Living Standard, section 9.2 "Server-sent events".
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.console.pages import Pages
from ecrate.domain.errors import AccessDenied, EcrateError
from ecrate.domain.sessions import Session
from ecrate.operations import overview
from ecrate.operations.core import Core
from ecrate.operations.events import find_last_position, read_events
from ecrate.operations.sessions import reopen_session
from ecrate.web.threads import Threads

_EVERY: Final = 1.0
_STATE_EVERY: Final = 3
_PATIENCE: Final = 30.0
_PAGE: Final = 50
# The browser comes back; so a session that has ended is noticed, and no proxy is kept for ever.
_LONGEST: Final = 600


class Streams:
    """Follows the registry for browsers; `most` of them at once."""

    def __init__(self, core: Core, threads: Threads, pages: Pages, *, most: int) -> None:
        self._core = core
        self._threads = threads
        self._pages = pages
        self._most = most
        self._count = 0
        self._end = asyncio.Event()

    def stop(self) -> None:
        """End all streams."""
        self._end.set()

    async def answer(self, request: BaseRequest, session: Session) -> StreamResponse:
        if self._count >= self._most:
            return Response(status=503, text="Too many streams.\n", headers={"Retry-After": "30"})
        self._count += 1
        try:
            return await self._send(request, session)
        finally:
            self._count -= 1

    async def _send(self, request: BaseRequest, session: Session) -> StreamResponse:
        response = StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        response.force_close()
        position = await self._threads.read(find_last_position, self._core)
        await response.prepare(request)
        with contextlib.suppress(EcrateError, TimeoutError, ConnectionError):
            for number in range(_LONGEST):
                text, position = await self._threads.run(
                    self._read, session, position, number % _STATE_EVERY == 0
                )
                await asyncio.wait_for(response.write(text.encode()), _PATIENCE)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._end.wait(), _EVERY)
                    break
        return response

    def _read(self, session: Session, position: int, with_state: bool) -> tuple[str, int]:  # noqa: FBT001 - passed on by a thread
        """Give what is to be sent; raises `UnknownAccessKey` once the session has ended."""
        caller = reopen_session(self._core, session)
        text = ":\n\n"
        with contextlib.suppress(AccessDenied):
            page = read_events(self._core, caller, caller.registry, after=position, limit=_PAGE)
            position = page.position
            for event in page.events:
                text += _message("happened", self._pages.render("event.html", event=event))
        if with_state:
            with contextlib.suppress(AccessDenied):
                server = overview.describe_server(self._core, caller)
                now = self._core.clock()
                text += _message("state", self._pages.render("state.html", server=server, now=now))
        return text, position


def _message(name: str, html: str) -> str:
    data = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"event: {name}\n{data}\n"
