"""The AWS door: from an HTTP request to an operation and back.

Order: credential, scope, date and size first, since they cost nothing; then the body, hashed as
it comes; then signature, operation, JSON, constraints, and the operation itself.
"""

from __future__ import annotations

import logging
import uuid
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
from ecrate.domain.errors import EcrateError, StoreUnavailable
from ecrate.operations.core import Core
from ecrate.web.body import SMALL_BODY, Bodies
from ecrate.web.hosts import Hosts
from ecrate.web.threads import Threads

_LOG: Final = logging.getLogger("ecrate")
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_FORM: Final = "application/x-www-form-urlencoded"
_HOST: Final = frozenset({"host"})
_MUST_BE_SIGNED: Final = _HOST | {"x-amz-target"}


class AwsFront:
    """Answers `POST /`."""

    def __init__(
        self, core: Core, model: ServiceModel, hosts: Hosts, bodies: Bodies, threads: Threads
    ) -> None:
        self._core = core
        self._model = model
        self._hosts = hosts
        self._bodies = bodies
        self._threads = threads
        self._signatures = Signatures(core, threads)
        self._validator = Validator()
        self._prefix = f"{model.target_prefix}."

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        request_id = str(uuid.uuid4())
        try:
            _check_is_call(request)
            if request.headers.get("Content-Type", "").startswith(_FORM):
                answer = await self._answer_sts(request)
                headers = {"x-amzn-RequestId": request_id, "Content-Type": "text/xml"}
                return Response(body=answer, headers=headers)
            answer = msgspec.json.encode(await self._answer(request))
        except (FrontDoorError, EcrateError) as error:
            return _refuse(request, error, request_id)
        except Exception:  # noqa: BLE001 - the outermost point: logged once, told to nobody
            _LOG.exception("request %s failed", request_id)
            return _refuse(request, SERVER_EXCEPTION, request_id)
        headers = {"x-amzn-RequestId": request_id, "Content-Type": CONTENT_TYPE}
        return Response(body=answer, headers=headers)

    async def _answer(self, request: BaseRequest) -> dict[str, Any]:
        signature, found = await self._signatures.credential(
            request, self._model.signing_name, _MUST_BE_SIGNED
        )
        target = request.headers.get("X-Amz-Target", "")
        entry = OPERATIONS.get(target.removeprefix(self._prefix))
        limit = SMALL_BODY if entry is None else entry.body_limit
        async with self._bodies.read(request, limit) as (body, digest):
            self._signatures.check(request, signature, found, digest)
            operation = self._operation(target)
            if entry is None:
                # AWS has no such error: all its operations are built.
                raise FrontDoorError(
                    "UnknownOperationException", f"ecrate does not offer {operation.name} yet"
                )
            call = Call(
                core=self._core,
                caller=found.caller,
                parameters=decode_parameters(self._validator, operation, body),
                host=request.headers.get("Host", ""),
                hosts=self._hosts,
                session_token=signature.token,
            )
            return await self._perform(entry, call)

    async def _answer_sts(self, request: BaseRequest) -> bytes:
        signature, found = await self._signatures.credential(request, "sts", _HOST)
        async with self._bodies.read(request, SMALL_BODY) as (body, digest):
            self._signatures.check(request, signature, found, digest)
            return await self._threads.run(sts.answer, self._core, found.caller, bytes(body))

    async def _perform(self, entry: Entry, call: Call[Any]) -> dict[str, Any]:
        run = self._threads.read if entry.only_reads else self._threads.run
        return await run(entry.handler, call)

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
