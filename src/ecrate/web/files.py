"""Files sent by the kernel, and what comes from another machine in pieces: whole, in ranges, or not
at all when the client has them.

Not aiohttp's FileResponse: a layer's entity tag is its digest, its file is already open, and a
local open() costs less than the hop into a thread. Sources: RFC 9110 sections 13 and 14.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.web.threads import Threads

_LOG: Final = logging.getLogger("ecrate")
_PIECE: Final = 1024 * 1024
# asyncio's own fallback for sendfile over TLS reads 16 KiB at a time: 18.6 CPU seconds per GB.
_POSITION: Final = re.compile(r"[0-9]{0,18}")
_TLS_PIECE: Final = 256 * 1024


async def send_file(
    request: BaseRequest, file: BinaryIO, size: int, etag: str, headers: Mapping[str, str]
) -> StreamResponse:
    """Answer a GET or HEAD for the file, whose `size` bytes never change; closes it.

    `etag` is without quotes. Answers 200, 206, 304 or 416.
    """
    with file:
        response, start, stop = begin_answer(request, size, etag, headers)
        if isinstance(response, Response):
            return response
        await response.prepare(request)
        if request.method != "HEAD" and stop > start:
            await _send(request, response, file, start, stop - start)
        await response.write_eof()
        return response


async def send_stream(
    request: BaseRequest,
    open_at: Callable[[int], BinaryIO],
    size: int,
    etag: str,
    headers: Mapping[str, str],
    *,
    threads: Threads,
) -> StreamResponse:
    """As `send_file`, for bytes that take time to come: `open_at` opens them from a given byte on.

    Whatever it raises comes before the answer begins.
    """
    response, start, stop = begin_answer(request, size, etag, headers)
    if isinstance(response, Response):
        return response
    if request.method == "HEAD" or start == stop:
        await response.prepare(request)
        await response.write_eof()
        return response
    source = await threads.run(open_at, start)
    try:
        await response.prepare(request)
        await _pass_on(response, source, stop - start, threads)
        await response.write_eof()
    finally:
        source.close()
    return response


async def _pass_on(
    response: StreamResponse, source: BinaryIO, count: int, threads: Threads
) -> None:
    while count:
        try:
            piece = await threads.run(source.read, min(_PIECE, count))
        except OSError as error:
            # An answer that has begun can only be cut off.
            _LOG.error("an answer was cut off: %s", error)
            raise ConnectionAbortedError from None
        if not piece:
            raise OSError("the blob is shorter than its row says")
        await response.write(piece)
        count -= len(piece)


def begin_answer(
    request: BaseRequest, size: int, etag: str, headers: Mapping[str, str]
) -> tuple[StreamResponse, int, int]:
    """Give the head of the answer, with first byte and end of what to send; a whole `Response`
    where nothing is to be sent.
    """
    quoted = f'"{etag}"'
    common = {**headers, "ETag": quoted, "Accept-Ranges": "bytes"}
    if matches(request.headers.get("If-None-Match"), quoted):
        return Response(status=304, headers=common), 0, 0
    start, stop = 0, size
    if request.method == "GET":
        asked, if_range = request.headers.get("Range", ""), request.headers.get("If-Range")
        span = parse_range(asked, if_range, size, quoted)
        if span is None:
            refusal = {**common, "Content-Range": f"bytes */{size}"}
            return Response(status=416, headers=refusal), 0, 0
        start, stop = span
    response = StreamResponse(headers=common)
    response.content_length = stop - start
    if (start, stop) != (0, size):
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response, start, stop


def matches(header: str | None, quoted: str) -> bool:
    """Tell whether an If-None-Match header has the entity tag `quoted`, so that 304 is due."""
    if header is None:
        return False
    return any(
        candidate.strip().removeprefix("W/") in {quoted, "*"} for candidate in header.split(",")
    )


def parse_range(
    header: str, if_range: str | None, size: int, quoted: str
) -> tuple[int, int] | None:
    """Give first byte and end of what to send of `size` bytes; None for 416.

    That is all of them unless `header`, a Range, asks for a single range, and `if_range`, if
    given, is the entity tag `quoted`.
    """
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    whole = (0, size)
    if unit.strip() != "bytes" or not dash or if_range not in {None, quoted}:
        return whole
    if (
        _POSITION.fullmatch(first) is None
        or _POSITION.fullmatch(last) is None
        or first == last == ""
    ):
        return whole
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    return (start, stop) if start < size and start < stop else None


async def _send(
    request: BaseRequest, response: StreamResponse, file: BinaryIO, start: int, count: int
) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    if transport.get_extra_info("sslcontext") is None:
        count -= await asyncio.get_running_loop().sendfile(transport, file, start, count)
    else:
        file.seek(start)
        while count and (piece := file.read(min(_TLS_PIECE, count))):
            await response.write(piece)
            count -= len(piece)
    if count:
        raise OSError("the file is shorter than its row says")
