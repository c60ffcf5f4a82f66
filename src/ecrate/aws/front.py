"""The AWS door: from an HTTP request to an operation and back.

Order: credential, scope, date and size first, since they cost nothing; then the body, hashed as
it comes; then signature, operation, JSON, constraints, and the operation itself.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.aws import sts
from ecrate.aws.call import Call
from ecrate.aws.errors import CODES, RETRY_AFTER, SERVER_EXCEPTION, FrontDoorError, render
from ecrate.aws.model import Operation, ServiceModel
from ecrate.aws.signatures import Signatures
from ecrate.aws.table import OPERATIONS, Entry
from ecrate.aws.validation import Validator
from ecrate.domain.errors import EcrateError, InvalidParameter, StoreUnavailable
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.operations.audit import Event, changes_something
from ecrate.operations.core import Core
from ecrate.operations.pull_through.fetches import Waited, Waiting
from ecrate.web.audit import audited
from ecrate.web.body import SMALL_BODY, Bodies
from ecrate.web.faults import Faults
from ecrate.web.fetches import wait_and_repeat
from ecrate.web.hosts import Hosts
from ecrate.web.metrics import OPERATION
from ecrate.web.purpose import is_inspection
from ecrate.web.request_ids import request_ids
from ecrate.web.threads import Threads

_LOG: Final = logging.getLogger("ecrate")
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_FORM: Final = "application/x-www-form-urlencoded"
_HOST: Final = frozenset({"host"})
_MUST_BE_SIGNED: Final = _HOST | {"x-amz-target"}


class _LaterError(Exception):
    """A call has to wait for upstream. It is raised, so that its body goes first: there is room
    for few.
    """

    def __init__(
        self, waiting: Waiting, repeat: Callable[[Waited], Awaitable[dict[str, Any]]]
    ) -> None:
        super().__init__()
        self.waiting = waiting
        self.repeat = repeat


class AwsFront:
    """Answers `POST /`."""

    def __init__(
        self,
        core: Core,
        model: ServiceModel,
        hosts: Hosts,
        bodies: Bodies,
        threads: Threads,
        *,
        faults: Faults | None = None,
    ) -> None:
        self._core = core
        self._model = model
        self._hosts = hosts
        self._bodies = bodies
        self._threads = threads
        self._faults = faults
        self._request_ids = request_ids()
        self._signatures = Signatures(core, threads)
        self._validator = Validator()
        self._prefix = f"{model.target_prefix}."

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        request_id = next(self._request_ids)
        try:
            _check_is_call(request)
            if request.headers.get("Content-Type", "").startswith(_FORM):
                answer = await self._answer_sts(request)
                headers = {"x-amzn-RequestId": request_id, "Content-Type": "text/xml"}
                return Response(body=answer, headers=headers)
            try:
                members = await self._answer(request, request_id)
            except _LaterError as later:
                members = await wait_and_repeat(later.waiting, later.repeat)
            answer = msgspec.json.encode(members)
        except (FrontDoorError, EcrateError) as error:
            return _refuse(request, error, request_id)
        except ConnectionError:
            raise  # the client is gone; the server notes it and closes
        except Exception:  # noqa: BLE001 - the outermost point: logged once, told to nobody
            _LOG.exception("request %s failed", request_id, extra={"request_id": request_id})
            return _refuse(request, SERVER_EXCEPTION, request_id)
        headers = {"x-amzn-RequestId": request_id, "Content-Type": CONTENT_TYPE}
        return Response(body=answer, headers=headers)

    async def _answer(self, request: BaseRequest, request_id: str) -> dict[str, Any]:
        signature, caller = await self._signatures.credential(
            request, self._model.signing_name, _MUST_BE_SIGNED
        )
        target = request.headers.get("X-Amz-Target", "")
        entry = OPERATIONS.get(target.removeprefix(self._prefix))
        limit = SMALL_BODY if entry is None else entry.body_limit
        async with self._bodies.read(request, limit) as (body, digest):
            self._signatures.check(request, signature, digest)
            operation = self._operation(target)
            request[OPERATION] = operation.name
            if entry is None:
                # AWS has no such error: all its operations are built.
                raise FrontDoorError(
                    "UnknownOperationException", f"ecrate does not offer {operation.name} yet"
                )
            call = Call[Any](
                core=self._core,
                caller=caller,
                parameters={},
                host=request.headers.get("Host", ""),
                hosts=self._hosts.seen_by(request),
                session_token=signature.token,
                is_inspection=is_inspection(request.headers),
            )
            if self._faults is not None:
                async with self._faults.around(request, caller.registry, operation.name):
                    return await self._carry_out_recorded(entry, operation, call, body, request_id)
            return await self._carry_out_recorded(entry, operation, call, body, request_id)

    async def _carry_out_recorded(
        self,
        entry: Entry,
        operation: Operation,
        call: Call[Any],
        body: bytes | memoryview,
        request_id: str,
    ) -> dict[str, Any]:
        if self._core.audit is None or not changes_something(operation.name):
            return await self._carry_out(entry, operation, call, body)
        event = Event(operation.name, call.caller.registry, request_id)
        return await audited(
            self._core,
            self._threads,
            call.caller,
            event,
            functools.partial(self._carry_out, entry, operation, call, body, event=event),
            response_of=lambda answer: answer or None,
            code_of=_code,
        )

    async def _answer_sts(self, request: BaseRequest) -> bytes:
        signature, caller = await self._signatures.credential(request, "sts", _HOST)
        async with self._bodies.read(request, SMALL_BODY) as (body, digest):
            self._signatures.check(request, signature, digest)
            return await self._threads.run(sts.answer, self._core, caller, bytes(body))

    async def _carry_out(
        self,
        entry: Entry,
        operation: Operation,
        call: Call[Any],
        body: bytes | memoryview,
        *,
        event: Event | None = None,
    ) -> dict[str, Any]:
        """Answer a call whose parameters are still in its body, and tell `event` of them."""
        if self._core.rates is not None:
            self._core.rates.take(call.caller.registry, operation.name)
        parameters = decode_parameters(self._validator, operation, body)
        if event is not None:
            event.parameters, event.registry = parameters, _registry(call.caller, parameters)
        call = call.asking(parameters)
        run = self._how(entry, len(body))
        try:
            return await run(entry.handler, call)
        except Waiting as waiting:
            raise _LaterError(
                waiting, lambda waited: run(entry.handler, call.repeated(waited))
            ) from None

    def _how(self, entry: Entry, size: int) -> Callable[..., Awaitable[dict[str, Any]]]:
        """Tell where to run an operation with a body of this size."""
        if entry.only_reads:
            return self._threads.read
        if size <= entry.mostly_reads:
            return self._threads.look
        return self._threads.write if size <= entry.short_write else self._threads.run

    def _operation(self, target: str) -> Operation:
        operation = self._model.operations.get(target.removeprefix(self._prefix))
        if operation is None or not target.startswith(self._prefix):
            raise FrontDoorError("UnknownOperationException", f"Unknown operation '{target[:128]}'")
        return operation


def decode_parameters(
    validator: Validator, operation: Operation, body: bytes | memoryview
) -> dict[str, Any]:
    """Read a request's JSON; a member that is a blob stays as it came, undecoded.

    Raises `FrontDoorError`, `InvalidParameter`.
    """
    blobs = {name for name, shape in operation.input.members.items() if shape.type == "blob"}
    try:
        if not body:
            members = {}
        elif not blobs:
            members = msgspec.json.decode(body)
        else:
            raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            members = {
                name: value if name in blobs else msgspec.json.decode(value)
                for name, value in raw.items()
                if bytes(memoryview(value)[:5]) != b"null"
            }
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrontDoorError("SerializationException", str(error)) from None
    parameters: dict[str, Any] = validator.check(operation.input, members)
    return parameters


def _registry(caller: Caller, parameters: Mapping[str, Any]) -> RegistryRef:
    """Give the registry that a call is about."""
    with contextlib.suppress(InvalidParameter):
        return RepositoryRef.parse_arn(parameters.get("resourceArn", "")).registry
    return RegistryRef(parameters.get("registryId", caller.registry.id), caller.registry.region)


def _code(error: BaseException) -> str | None:
    if isinstance(error, FrontDoorError):
        return error.code
    return CODES.get(type(error)) if isinstance(error, EcrateError) else None


def _check_is_call(request: BaseRequest) -> None:
    if request.method != "POST" or request.raw_path.partition("?")[0] != "/":
        # The signature is checked for this path only.
        raise FrontDoorError("UnknownOperationException", "ECR's API is called by POST /", 404)


def _refuse(
    request: BaseRequest, error: FrontDoorError | EcrateError, request_id: str
) -> StreamResponse:
    if isinstance(error, EcrateError) and type(error) not in CODES:
        _LOG.error("request %s: no code for %r", request_id, error)
        error = SERVER_EXCEPTION
    status, code, body = render(error)
    if request.headers.get("Content-Type", "").startswith(_FORM):
        return Response(
            status=status,
            body=sts.error_xml(code.removesuffix("Exception"), str(error), request_id),
            headers={"x-amzn-RequestId": request_id, "Content-Type": "text/xml"},
        )
    headers = {
        "x-amzn-RequestId": request_id,
        "x-amzn-ErrorType": code,
        "Content-Type": CONTENT_TYPE,
    }
    if isinstance(error, StoreUnavailable):
        headers["Retry-After"] = RETRY_AFTER
    response = Response(status=status, body=msgspec.json.encode(body), headers=headers)
    if not request.content.is_eof() and (request.content_length or SMALL_BODY + 1) > SMALL_BODY:
        # Nobody will read the rest of this body.
        response.force_close()
    return response
