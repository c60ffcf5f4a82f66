"""Chunked transfer coding, taken off in place.

Source: RFC 9112 section 7.1. The bytes of a body that docker sends come in chunks of 32 KiB; what
is between them is cut out where they lie, so that hash and file get pieces as large as they like.

    buffer: [ content of the body | rest of a gap | not decoded yet | free ]
            0                  ready            start             end
"""

from __future__ import annotations

import re
from typing import Final

# A chunk's size with its extensions, or a trailer; more than any client has to say.
_LONGEST_LINE: Final = 4096
_LINE_END: Final = b"\r\n"
_MOST_TRAILERS: Final = 64
# As strict as the HTTP parser's, so that nobody in front of us reads the end elsewhere.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9a-zA-Z-]+"
_QUOTED: Final = rb'"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t -\x7e\x80-\xff])*"'
_EXTENSION: Final = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})(?:%b)*" % _EXTENSION)
_TRAILER: Final = re.compile(rb"(?:%b:[\t -\x7e\x80-\xff]*)?" % _TOKEN)


class MalformedChunksError(Exception):
    """What came is not chunked transfer coding."""


class Chunks:
    """Decodes what is written into `space()` and told of by `fill`.

    `ready` counts the bytes of `content()`; `size` is that of all chunks begun so far, the one
    under way included; `is_complete` once the last chunk and its trailers were seen.
    """

    def __init__(self, room: int) -> None:
        self._buffer = bytearray(room)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._left = 0  # of the chunk under way
        self._is_behind_data = self._is_behind_last = False
        self._trailers = 0
        self.ready = self.size = 0
        self.is_complete = False

    def space(self) -> memoryview:
        """Give the free part of the buffer."""
        return self._view[self._end :]

    def content(self) -> memoryview:
        """Give the bytes decoded since `clear`."""
        return self._view[: self.ready]

    def rest(self) -> bytes:
        """Give what came behind a complete body."""
        return bytes(self._view[self._start : self._end])

    def clear(self) -> None:
        """Forget the content given out, and make room."""
        waiting = self._end - self._start
        self._view[:waiting] = self._view[self._start : self._end]
        self.ready, self._start, self._end = 0, 0, waiting

    def fill(self, count: int) -> None:
        """Decode `count` more bytes; raises `MalformedChunksError`."""
        self._end += count
        while self._start < self._end and not self.is_complete:
            if self._left:
                self._take()
            elif not self._read_line():
                return

    def _take(self) -> None:
        start, ready = self._start, self.ready
        count = min(self._left, self._end - start)
        self._view[ready : ready + count] = self._view[start : start + count]
        self.ready, self._start = ready + count, start + count
        self._left -= count
        self._is_behind_data = not self._left

    def _read_line(self) -> bool:
        """Read a line between chunks; tell whether it was there whole."""
        if self._is_behind_data and not _LINE_END.startswith(
            self._view[self._start : min(self._end, self._start + 2)]
        ):
            raise MalformedChunksError
        stop = self._buffer.find(
            _LINE_END, self._start, min(self._end, self._start + _LONGEST_LINE)
        )
        if stop < 0:
            if self._end - self._start >= _LONGEST_LINE:
                raise MalformedChunksError
            return False
        line = bytes(self._view[self._start : stop])
        self._start = stop + 2
        if self._is_behind_data:
            self._is_behind_data = False
        elif self._is_behind_last:
            self._trailers += 1
            self.is_complete = not line
            if self._trailers > _MOST_TRAILERS or _TRAILER.fullmatch(line) is None:
                raise MalformedChunksError
        else:
            self._begin(line)
        return True

    def _begin(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise MalformedChunksError
        self._left = int(match[1], 16)
        self.size += self._left
        self._is_behind_last = not self._left
