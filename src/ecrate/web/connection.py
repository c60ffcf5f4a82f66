"""One connection of aiohttp's server, which can keep a chunked body from the HTTP parser.

Where a request's length is told, a thread may take over its socket at any time. In a chunked body
only the parser knows where the next chunk begins, so the body has to be kept from it from the
start: the head of such a request is cut off and parsed, what came with it is held, and reading
pauses until the request either takes it (`take`) or lets the parser have it (`release`).
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

_METHODS: Final = (b"PATCH ", b"PUT ", b"POST ")
_END: Final = b"\r\n\r\n"
_CHUNKED: Final = b"\r\ntransfer-encoding: chunked\r\n"


class Connection(RequestHandler):
    """aiohttp's, with what it holds of a chunked body that nobody has taken."""

    __slots__ = ("_held", "_is_in_head")

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._held: bytes | None = None
        self._is_in_head = False

    @property
    def holds_body(self) -> bool:
        """Whether a chunked body is here from its first byte."""
        return self._held is not None

    def take(self) -> bytes:
        """Give what came of the body; the rest is in the socket, and nobody else reads it."""
        held, self._held = self._held or b"", None
        return held

    def release(self) -> None:
        """Let the parser have the body."""
        if self._held is None:
            return
        held = self.take()
        if held:
            super().data_received(held)
        if self.transport is not None and not self._reading_paused:
            self.transport.resume_reading()

    @override
    def data_received(self, data: bytes) -> None:
        if self._held is not None:
            # Read before the pause took hold.
            self._held += data
            return
        is_idle = self._waiter is not None and not self._messages
        if is_idle and not self._is_in_head:
            end = _end_of_chunked_head(data)
            if end and self.transport is not None:
                self._held, data = data[end:], data[:end]
                self.transport.pause_reading()
        seen = self._request_count
        super().data_received(data)
        self._is_in_head = is_idle and self._request_count == seen


def _end_of_chunked_head(data: bytes) -> int:
    """Give where the body begins, 0 where this is not the whole head of a chunked upload."""
    if not data.startswith(_METHODS):
        return 0
    end = data.find(_END) + len(_END)
    # The parser, which gets this head as it is, refuses one that tells a length as well.
    return end if end >= len(_END) and _CHUNKED in data[: end - 2].lower() else 0
