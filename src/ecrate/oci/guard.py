"""What stands before a handler where that is asked for: rate limits, the audit log, faults."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp.web import StreamResponse

from ecrate.domain.errors import EcrateError
from ecrate.oci.errors import RegistryError
from ecrate.oci.operations import OPERATIONS
from ecrate.oci.request import RegistryRequest
from ecrate.operations.audit import Event, Members, changes_something
from ecrate.operations.core import Core
from ecrate.web.audit import audited
from ecrate.web.faults import DOWNLOAD, Faults

Handler = Callable[[RegistryRequest], Awaitable[StreamResponse]]

_REFERENCES: Final = {"blob": "layerDigest", "upload": "uploadId"}
_ANSWERED: Final = {"Docker-Content-Digest": "layerDigest", "Docker-Upload-UUID": "uploadId"}


def guard(
    core: Core,
    handler: Handler,
    kind: str,
    method: str,
    request_id: str,
    *,
    faults: Faults | None = None,
) -> Handler:
    """Give a handler that does the same, counted and recorded, and amid faults."""
    operation = OPERATIONS.get((kind, method))
    if operation is None:
        return handler
    handle = handler if core.rates is None else functools.partial(_count, handler, operation)
    if core.audit is not None and changes_something(operation):
        handle = functools.partial(_record, handle, kind, operation, request_id)
    if faults is not None:
        name = DOWNLOAD if (kind, method) == ("blob", "GET") else operation
        handle = functools.partial(_amid, faults, handle, name)
    return handle


async def _amid(
    faults: Faults, handler: Handler, operation: str, request: RegistryRequest
) -> StreamResponse:
    async with faults.around(request.http, request.ref.registry, operation):
        return await handler(request)


async def _count(handler: Handler, operation: str, request: RegistryRequest) -> StreamResponse:
    if request.core.rates is not None:
        request.core.rates.take(request.caller.registry, operation)
    return await handler(request)


async def _record(
    handler: Handler, kind: str, operation: str, request_id: str, request: RegistryRequest
) -> StreamResponse:
    return await audited(
        request.core,
        request.threads,
        request.caller,
        Event(operation, request.ref.registry, request_id, _parameters(request, kind)),
        functools.partial(handler, request),
        response_of=functools.partial(_response, kind),
        code_of=_code,
    )


def _parameters(request: RegistryRequest, kind: str) -> Members:
    parameters: dict[str, object] = {"repositoryName": request.ref.name}
    if request.reference:
        by_tag = "imageDigest" if ":" in request.reference else "imageTag"
        parameters[_REFERENCES.get(kind, by_tag)] = request.reference
    query = request.query.names()
    if query:
        parameters["query"] = {name: request.query.all(name) for name in query}
    return parameters


def _response(kind: str, response: StreamResponse) -> Members | None:
    members = {
        member: response.headers[name]
        for name, member in _ANSWERED.items()
        if name in response.headers
    }
    if kind == "manifest" and members:
        members = {"imageDigest": members["layerDigest"]}
    return members or None


def _code(error: BaseException) -> str | None:
    if isinstance(error, RegistryError):
        return error.code
    # The API's name for it, so that a condition is called the same whatever the door.
    return f"{type(error).__name__}Exception" if isinstance(error, EcrateError) else None
