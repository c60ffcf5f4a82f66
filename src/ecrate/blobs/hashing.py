"""A SHA-2 digest whose state can be put away and taken up again by another process.

hashlib keeps its state to itself, so this calls libcrypto's SHA256_Update through ctypes, which
costs what hashlib costs and releases the GIL as well. What it saves: completing an upload whose
parts came in order reads nothing again, whatever its size. Where libcrypto or its context's
layout is not the one known here, `state()` is empty and completion reads the bytes once more.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
from typing import Final, Protocol

Buffer = bytes | bytearray | memoryview

# sizeof(SHA256_CTX) in OpenSSL 1.1 and 3: h[8], Nl, Nh, data[16], num, md_len, each 32 bits.
_CONTEXT_SIZE: Final = 112
_DIGEST_SIZE: Final = 32


class Hasher(Protocol):
    """A running digest."""

    def update(self, data: Buffer) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Give the digest of all bytes so far; more may follow."""

    def state(self) -> bytes:
        """Give what `resume_sha256` needs, or nothing where it cannot be had."""


class _PlainSha256:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.update = self._hash.update

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def state(self) -> bytes:
        return b""


class _ResumableSha256:
    __slots__ = ("_context", "_library")

    def __init__(self, library: ctypes.CDLL, state: bytes = b"") -> None:
        self._library = library
        self._context = ctypes.create_string_buffer(state, _CONTEXT_SIZE)
        if not state:
            library.SHA256_Init(self._context)

    def update(self, data: Buffer) -> None:
        size = len(data)
        if isinstance(data, bytes):
            self._library.SHA256_Update(self._context, data, size)
        elif not isinstance(data, memoryview) or not data.readonly:
            view = (ctypes.c_char * size).from_buffer(data)
            self._library.SHA256_Update(self._context, view, size)
        else:
            self._library.SHA256_Update(self._context, bytes(data), size)

    def hexdigest(self) -> str:
        copy = ctypes.create_string_buffer(self._context.raw, _CONTEXT_SIZE)
        digest = ctypes.create_string_buffer(_DIGEST_SIZE)
        self._library.SHA256_Final(digest, copy)
        return digest.raw.hex()

    def state(self) -> bytes:
        return _tag() + self._context.raw


def new_sha256() -> Hasher:
    """Begin a digest."""
    library = _library()
    return _PlainSha256() if library is None else _ResumableSha256(library)


def resume_sha256(state: bytes) -> Hasher | None:
    """Go on from a kept state; None where it is empty or of another libcrypto."""
    library, tag = _library(), _tag()
    if library is None or len(state) != len(tag) + _CONTEXT_SIZE or not state.startswith(tag):
        return None
    return _ResumableSha256(library, state[len(tag) :])


@functools.cache
def _tag() -> bytes:
    library = _library()
    if library is None:
        return b""
    return f"sha256/{library.OpenSSL_version_num() >> 28}/".encode()


@functools.cache
def _library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("crypto")
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        library.SHA256_Init.argtypes = (ctypes.c_char_p,)
        library.SHA256_Update.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
        library.SHA256_Final.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        library.OpenSSL_version_num.restype = ctypes.c_ulong
    except (OSError, AttributeError):
        return None
    return library if _keeps_its_promise(library) else None


def _keeps_its_promise(library: ctypes.CDLL) -> bool:
    # A context that is larger than we think would overwrite what lies behind it, so try first
    # with room to spare, and compare a digest that was put away in its middle with hashlib's.
    spare = 256
    context = ctypes.create_string_buffer(b"\xa5" * (_CONTEXT_SIZE + spare))
    library.SHA256_Init(context)
    library.SHA256_Update(context, b"a" * 100, 100)
    if context.raw[_CONTEXT_SIZE : _CONTEXT_SIZE + spare] != b"\xa5" * spare:
        return False
    resumed = _ResumableSha256(library, context.raw[:_CONTEXT_SIZE])
    resumed.update(b"b" * 100)
    return resumed.hexdigest() == hashlib.sha256(b"a" * 100 + b"b" * 100).hexdigest()
