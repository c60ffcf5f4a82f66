"""`/healthz`: the process answers. `/readyz`: it can serve, since its database answers."""

from __future__ import annotations

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import StoreUnavailable
from ecrate.operations.core import Core
from ecrate.operations.tokens import is_own_secret
from ecrate.web.threads import Threads


async def answer_health(_: BaseRequest) -> StreamResponse:
    """Answer `/healthz`."""
    return Response(text="ok\n")


class Readiness:
    """Answers `/readyz`."""

    def __init__(self, core: Core, threads: Threads) -> None:
        self._core = core
        self._threads = threads

    async def __call__(self, _: BaseRequest) -> StreamResponse:
        try:
            is_ready = await self._threads.read(is_own_secret, self._core)
        except StoreUnavailable as error:
            return Response(status=503, text=f"{error}\n")
        if not is_ready:
            return Response(status=503, text="The database is of another secret by now.\n")
        return Response(text="ok\n")
