"""Faults that users' own tests ask for, in development mode only: what a registry does on a bad
day, by operation and rate.

The list is a file, so that all workers have it; `/_ecrate/faults` reads (GET) and replaces (PUT)
it. Where a request meets several, the first counts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import msgspec
from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import ExpiredToken, InternalFault, RateExceeded, StoreUnavailable
from ecrate.domain.names import RegistryRef
from ecrate.web.request_ids import request_ids

PATH: Final = "/_ecrate/faults"
# The layer's bytes, at whichever door; the API has no name for that.
DOWNLOAD: Final = "DownloadLayer"
_LARGEST: Final = 1024 * 1024
_CUT: Final = "ecrate.cut"
_PIECE: Final = 256 * 1024
Kind = Literal["throttle", "expired-token", "error", "unavailable", "slow", "cut", "lose-answer"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to calls of `operation`, ECR's name for it at either door, or `*` for all;
    `DownloadLayer` is what brings a layer's bytes.

    throttle: refused as beyond a rate. expired-token: refused as with a token of the day before
    yesterday. error: 500. unavailable: 503. slow: answered `seconds` later. cut: the connection
    ends, for a layer in its middle. lose-answer: carried out, and then the connection ends.

    `rate` is the share of calls that meet it, `times` how many do at the most; `account` is the
    only one whose calls do.
    """

    fault: Kind
    operation: str = "*"
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    account: str = ""


class Faults:
    """Those asked for, as the file has them now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = (0, 0)
        self._list: list[Fault] = []
        self._request_ids = request_ids()
        self._random = random.Random()  # noqa: S311 - which call fails is no secret

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer `/_ecrate/faults`."""
        headers = {"Content-Type": "application/json", "X-Request-Id": next(self._request_ids)}
        if request.method == "PUT":
            body = await request.content.read(_LARGEST)
            try:
                faults = msgspec.json.decode(body, type=list[Fault])
            except msgspec.DecodeError as error:
                told = {"error": f"a list of faults is expected: {error}"}
                return Response(status=400, body=msgspec.json.encode(told), headers=headers)
            with self._changing():
                self._write(faults)
        elif request.method != "GET":
            return Response(status=405, headers={"Allow": "GET, PUT"})
        return Response(body=msgspec.json.encode(self._read()), headers=headers)

    @asynccontextmanager
    async def around(
        self, request: BaseRequest, registry: RegistryRef, operation: str
    ) -> AsyncIterator[None]:
        """Do to a call what it meets.

        Raises `RateExceeded`, `ExpiredToken`, `InternalFault`, `StoreUnavailable`, and
        `ConnectionAbortedError` where the client is to get no answer.
        """
        fault = self._find(registry, operation)
        kind = None if fault is None else fault.fault
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.seconds)
        elif kind == "throttle":
            raise RateExceeded
        elif kind == "expired-token":
            raise ExpiredToken
        elif kind == "error":
            raise InternalFault
        elif kind == "unavailable":
            raise StoreUnavailable
        elif kind == "cut" and operation == DOWNLOAD:
            request[_CUT] = True
        elif kind == "cut":
            _end(request)
        yield
        if kind == "lose-answer":
            _end(request)

    def _find(self, registry: RegistryRef, operation: str) -> Fault | None:
        for fault in self._read():
            if fault.operation not in {"*", operation} or fault.account not in {"", registry.id}:
                continue
            if self._random.random() < fault.rate and self._spend(fault):
                return fault
        return None

    def _read(self) -> list[Fault]:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - asked on each request
        except FileNotFoundError:
            self._seen, self._list = (0, 0), []
            return self._list
        seen = (found.st_mtime_ns, found.st_ino)
        if seen != self._seen:
            content = self._path.read_bytes()
            self._seen, self._list = seen, msgspec.json.decode(content, type=list[Fault])
        return self._list

    def _spend(self, fault: Fault) -> bool:
        """Take one of the times that a fault has, if it has a number of them and any is left."""
        if fault.times is None:
            return True
        with self._changing():
            faults = self._read()
            if fault not in faults:
                return False
            at = faults.index(fault)
            left = (fault.times or 1) - 1
            rest = [msgspec.structs.replace(fault, times=left)] if left else []
            self._write([*faults[:at], *rest, *faults[at + 1 :]])
        return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, faults: list[Fault]) -> None:
        new = self._path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(faults))
        new.rename(self._path)


def is_cut(request: BaseRequest) -> bool:
    """Tell whether the layer that answers this request breaks off in its middle."""
    return _CUT in request


async def send_half(
    request: BaseRequest, file: BinaryIO, size: int, headers: Mapping[str, str]
) -> StreamResponse:
    """Begin to answer with the file's bytes, and end the connection half-way; closes the file."""
    with file:
        response = StreamResponse(headers=headers)
        response.content_length = size
        await response.prepare(request)
        left = size // 2
        while left and (piece := file.read(min(_PIECE, left))):
            await response.write(piece)
            left -= len(piece)
    if request.transport is not None:
        request.transport.close()
    raise ConnectionAbortedError


def _end(request: BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionAbortedError
