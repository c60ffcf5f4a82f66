"""The audit log at the doors: a line for each call that changes something, or was to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ecrate.domain.principals import Caller
from ecrate.operations.audit import Event, Members, record_call, settle_audit
from ecrate.operations.core import Core
from ecrate.web.threads import Threads

T = TypeVar("T")


async def audited(
    core: Core,
    threads: Threads,
    caller: Caller,
    event: Event,
    work: Callable[[], Awaitable[T]],
    *,
    response_of: Callable[[T], Members | None],
    code_of: Callable[[BaseException], str | None],
) -> T:
    """Do the work and give its answer once the line is written, whatever became of the call.

    `code_of` gives the code of an error that the door knows. Raises `AuditUnavailable`, before
    the work where an earlier line is still owed.
    """
    if core.audit is not None and core.audit.is_behind:
        await threads.run(settle_audit, core)
    try:
        answer = await work()
    except BaseException as error:
        event.error_code, event.error_message = _outcome(error, code_of(error))
        await threads.run(record_call, core, caller, event)
        raise
    event.response = response_of(answer)
    await threads.run(record_call, core, caller, event)
    return answer


def _outcome(error: BaseException, code: str | None) -> tuple[str, str]:
    if code is not None:
        return code, str(error)
    if isinstance(error, (asyncio.CancelledError, ConnectionError)):
        return "RequestCanceled", "The connection ended before the answer."
    return "ServerException", "The server failed to answer. See its log for this request id."
