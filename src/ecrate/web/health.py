"""`/healthz`: the process answers. `/readyz`: it can serve, since what it depends on answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import StoreUnavailable
from ecrate.operations.core import Core
from ecrate.operations.tokens import is_own_secret
from ecrate.web.threads import Threads

_OK: Final = "ok"
# A key that no blob ever has: what counts is that there is an answer.
_PROBE: Final = "readyz"


async def answer_health(_: BaseRequest) -> StreamResponse:
    """Answer `/healthz`."""
    return Response(text="ok\n")


class Readiness:
    """Answers `/readyz`."""

    def __init__(self, core: Core, threads: Threads) -> None:
        self._core = core
        self._threads = threads

    async def __call__(self, _: BaseRequest) -> StreamResponse:
        states = {
            "database": await self._ask(is_own_secret, "it is of another secret by now"),
            "blobs": await self._ask(is_there, "they cannot be used"),
        }
        told = "".join(f"{name}: {state}\n" for name, state in states.items())
        if any(state != _OK for state in states.values()):
            return Response(status=503, text=told, headers={"Retry-After": "1"})
        return Response(text=told)

    async def _ask(self, question: Callable[[Core], bool], otherwise: str) -> str:
        try:
            is_well = await self._threads.run(question, self._core)
        except StoreUnavailable as error:
            return str(error)
        return _OK if is_well else otherwise


def is_there(core: Core) -> bool:
    """Tell whether the blob store answers; raises `StoreUnavailable`."""
    try:
        core.blobs.exists(_PROBE, 0)
    except OSError:
        return False
    return True
