"""The AWS door: from an HTTP request to an operation and back.

Order: credential, scope, date and size first, since they cost nothing; then the body, hashed as
it comes; then signature, operation, JSON, constraints, and the operation itself.
"""

from __future__ import annotations

import logging
import re
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.aws.call import Call
from ecrate.aws.errors import CODES, SERVER_EXCEPTION, FrontDoorError, render
from ecrate.aws.model import Operation, ServiceModel
from ecrate.aws.sigv4 import MalformedSignatureError, Signature, is_genuine, parse_signature
from ecrate.aws.table import OPERATIONS, Entry
from ecrate.aws.validation import Validator
from ecrate.domain.errors import EcrateError, UnknownAccessKey
from ecrate.operations.core import Core
from ecrate.operations.tokens import access_key, caller_of
from ecrate.store.access_keys import AccessKey
from ecrate.web.body import SMALL_BODY, Bodies
from ecrate.web.hosts import Hosts
from ecrate.web.threads import Threads

_LOG: Final = logging.getLogger("ecrate")
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_SKEW: Final = 5 * 60.0
_LONGEST_PRESIGNED: Final = 7 * 24 * 3600
_REGION: Final = re.compile(r"[a-z0-9-]{2,25}")
_MUST_BE_SIGNED: Final = frozenset({"host", "x-amz-target"})


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
        self._validator = Validator()
        self._prefix = f"{model.target_prefix}."

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        request_id = str(uuid.uuid4())
        try:
            answer = await self._answer(request)
        except (FrontDoorError, EcrateError) as error:
            return _refuse(request, error, request_id)
        except Exception:  # noqa: BLE001 - the outermost point: logged once, told to nobody
            _LOG.exception("request %s failed", request_id)
            return _refuse(request, SERVER_EXCEPTION, request_id)
        headers = {"x-amzn-RequestId": request_id, "Content-Type": CONTENT_TYPE}
        return Response(body=msgspec.json.encode(answer), headers=headers)

    async def _answer(self, request: BaseRequest) -> dict[str, Any]:
        if request.method != "POST" or request.raw_path.partition("?")[0] != "/":
            # The signature is checked for this path only.
            raise FrontDoorError("UnknownOperationException", "ECR's API is called by POST /", 404)
        signature = self._signature(request)
        key = await self._key(signature.key_id)
        target = request.headers.get("X-Amz-Target", "")
        entry = OPERATIONS.get(target.removeprefix(self._prefix))
        limit = SMALL_BODY if entry is None else entry.body_limit
        async with self._bodies.read(request, limit) as (body, digest):
            self._check_signature(request, signature, key, digest)
            operation = self._operation(target)
            if entry is None:
                # AWS has no such error: all its operations are built.
                raise FrontDoorError(
                    "UnknownOperationException", f"ecrate does not offer {operation.name} yet"
                )
            parameters = decode_parameters(self._validator, operation, body)
            call = Call(
                self._core,
                caller_of(key, signature.region),
                parameters,
                request.headers.get("Host", ""),
                self._hosts,
            )
            return await self._perform(entry, call)

    async def _perform(self, entry: Entry, call: Call[Any]) -> dict[str, Any]:
        if entry.only_reads and self._core.database.is_local:
            return entry.handler(call)
        return await self._threads.run(entry.handler, call)

    async def _key(self, key_id: str) -> AccessKey:
        if self._core.database.is_local:
            return access_key(self._core, key_id)
        return await self._threads.run(access_key, self._core, key_id)

    def _signature(self, request: BaseRequest) -> Signature:
        _, _, query = request.raw_path.partition("?")
        try:
            signature = parse_signature(request.headers, query)
        except MalformedSignatureError as error:
            raise FrontDoorError("IncompleteSignatureException", str(error)) from None
        if signature is None:
            raise FrontDoorError(
                "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        if not (signature.key_id + request.headers.get("Host", "")).isascii():
            # Bytes that are no text: no key has them, and no answer could repeat them.
            raise UnknownAccessKey
        if _REGION.fullmatch(signature.region) is None:
            raise _invalid("Credential should be scoped to a valid region.")
        if not self._core.is_open:
            self._check_scope(signature)
        return signature

    def _check_scope(self, signature: Signature) -> None:
        if signature.service != self._model.signing_name:
            raise _invalid(
                f"Credential should be scoped to correct service: '{self._model.signing_name}'."
            )
        if signature.token is not None:
            # There are no session credentials here, so none can be genuine.
            raise FrontDoorError("UnrecognizedClientException", str(UnknownAccessKey()))
        missing = _MUST_BE_SIGNED - set(signature.signed_headers)
        if missing:
            raise _invalid(f"These headers must be signed: {', '.join(sorted(missing))}.")
        try:
            moment = datetime.strptime(signature.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise FrontDoorError(
                "IncompleteSignatureException",
                f"Date must be in ISO-8601 'basic format'. Got '{signature.timestamp}'.",
            ) from None
        if not signature.timestamp.startswith(signature.date):
            raise _invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 date.")
        self._check_date(signature, moment.timestamp())

    def _check_date(self, signature: Signature, signed_at: float) -> None:
        now = self._core.clock()
        lifetime = _SKEW if signature.expires is None else signature.expires
        if lifetime > _LONGEST_PRESIGNED:
            raise FrontDoorError(
                "IncompleteSignatureException", "X-Amz-Expires must be less than a week"
            )
        if signed_at + lifetime < now:
            raise _invalid(
                f"Signature expired: {signature.timestamp} is now earlier than "
                f"{_stamp(now - lifetime)} ({_stamp(now)} - {lifetime / 60:.0f} min.)"
            )
        if signed_at - _SKEW > now:
            raise _invalid(
                f"Signature not yet current: {signature.timestamp} is still later than "
                f"{_stamp(now + _SKEW)} ({_stamp(now)} + 5 min.)"
            )

    def _check_signature(
        self, request: BaseRequest, signature: Signature, key: AccessKey, digest: str
    ) -> None:
        if self._core.is_open:
            return
        if not is_genuine(signature, key.secret, request.method, request.headers, digest):
            raise _invalid(
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method. Consult the service "
                "documentation for details."
            )

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


def _invalid(message: str) -> FrontDoorError:
    return FrontDoorError("InvalidSignatureException", message)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")


def _refuse(
    request: BaseRequest, error: FrontDoorError | EcrateError, request_id: str
) -> StreamResponse:
    if isinstance(error, EcrateError) and type(error) not in CODES:
        _LOG.error("request %s: no code for %r", request_id, error)
        error = SERVER_EXCEPTION
    status, code, body = render(error)
    headers = {
        "x-amzn-RequestId": request_id,
        "x-amzn-ErrorType": code,
        "Content-Type": CONTENT_TYPE,
    }
    response = Response(status=status, body=msgspec.json.encode(body), headers=headers)
    if not request.content.is_eof() and (request.content_length or SMALL_BODY + 1) > SMALL_BODY:
        # Nobody will read the rest of this body.
        response.force_close()
    return response
