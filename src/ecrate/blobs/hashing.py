"""A SHA-2 digest whose state can be put away and taken up again by another process.

hashlib keeps its state to itself, so this calls libcrypto's SHA256_Update or SHA512_Update
through ctypes, which costs what hashlib costs and releases the GIL as well. What it saves:
completing an upload whose parts came in order reads nothing again, whatever its size. Where
libcrypto or its context's layout is not the one known here, `state()` is empty and completion
reads the bytes once more.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import sys
from dataclasses import dataclass
from typing import Final, Protocol

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class _Kind:
    """libcrypto's context for one algorithm; sizes in bytes, the same in OpenSSL 1.1 and 3."""

    prefix: str
    context_size: int
    digest_size: int


_KINDS: Final = {
    "sha256": _Kind("SHA256", 112, 32),  # h[8], Nl, Nh, data[16], num, md_len, of 32 bits
    "sha512": _Kind("SHA512", 216, 64),  # h[8], Nl, Nh, data[16] of 64 bits, num, md_len of 32
}


class Hasher(Protocol):
    """A running digest."""

    algorithm: str

    def update(self, data: Buffer) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Give the digest of all bytes so far; more may follow."""

    def state(self) -> bytes:
        """Give what `resume_hasher` needs, or nothing where it cannot be had."""


class _PlainHasher:
    """hashlib's, whose state cannot be put away."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._hash = hashlib.new(algorithm)

    def update(self, data: Buffer) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def state(self) -> bytes:
        return b""


class _ResumableHasher:
    __slots__ = ("_context", "_final", "_kind", "_update", "algorithm")

    def __init__(self, library: ctypes.CDLL, algorithm: str, context: bytes = b"") -> None:
        self.algorithm = algorithm
        self._kind = kind = _KINDS[algorithm]
        self._update = getattr(library, f"{kind.prefix}_Update")
        self._final = getattr(library, f"{kind.prefix}_Final")
        self._context = ctypes.create_string_buffer(context, kind.context_size)
        if not context:
            getattr(library, f"{kind.prefix}_Init")(self._context)

    def update(self, data: Buffer) -> None:
        size = len(data)
        if isinstance(data, memoryview) and data.readonly:
            data = bytes(data)
        if isinstance(data, bytes):
            self._update(self._context, data, size)
        else:
            self._update(self._context, (ctypes.c_char * size).from_buffer(data), size)

    def hexdigest(self) -> str:
        copy = ctypes.create_string_buffer(self._context.raw, self._kind.context_size)
        digest = ctypes.create_string_buffer(self._kind.digest_size)
        self._final(digest, copy)
        return digest.raw.hex()

    def state(self) -> bytes:
        return _tag(self.algorithm) + self._context.raw


def new_hasher(algorithm: str) -> Hasher:
    """Begin a digest: `sha256` or `sha512`."""
    library = _library()
    return _PlainHasher(algorithm) if library is None else _ResumableHasher(library, algorithm)


def resume_hasher(state: bytes) -> Hasher | None:
    """Go on from a kept state; None where it is empty or of another libcrypto."""
    library = _library()
    for algorithm, kind in _KINDS.items():
        tag = _tag(algorithm)
        if library is not None and state.startswith(tag):
            context = state[len(tag) :]
            if len(context) == kind.context_size:
                return _ResumableHasher(library, algorithm, context)
    return None


@functools.cache
def _tag(algorithm: str) -> bytes:
    library = _library()
    major = 0 if library is None else library.OpenSSL_version_num() >> 28
    return f"{algorithm}/{major}/".encode()


@functools.cache
def _library() -> ctypes.CDLL | None:
    # The one that hashlib itself is linked to.
    linked = getattr(sys.modules.get("_hashlib"), "__file__", None)
    if linked is None:
        return None
    try:
        library = ctypes.CDLL(linked)
        library.OpenSSL_version_num.restype = ctypes.c_ulong
        for kind in _KINDS.values():
            pointer, size = ctypes.c_void_p, ctypes.c_size_t
            getattr(library, f"{kind.prefix}_Init").argtypes = (ctypes.c_char_p,)
            getattr(library, f"{kind.prefix}_Update").argtypes = (ctypes.c_char_p, pointer, size)
            getattr(library, f"{kind.prefix}_Final").argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    except (OSError, AttributeError):
        return None
    return library if all(_keeps_its_promise(library, name) for name in _KINDS) else None


def _keeps_its_promise(library: ctypes.CDLL, algorithm: str) -> bool:
    # A context that is larger than we think would overwrite what lies behind it, so try first
    # with room to spare, and compare a digest that was put away in its middle with hashlib's.
    kind, spare = _KINDS[algorithm], 256
    context = ctypes.create_string_buffer(b"\xa5" * (kind.context_size + spare))
    getattr(library, f"{kind.prefix}_Init")(context)
    getattr(library, f"{kind.prefix}_Update")(context, b"a" * 200, 200)
    if context.raw[kind.context_size : kind.context_size + spare] != b"\xa5" * spare:
        return False
    resumed = _ResumableHasher(library, algorithm, context.raw[: kind.context_size])
    resumed.update(b"b" * 200)
    return resumed.hexdigest() == hashlib.new(algorithm, b"a" * 200 + b"b" * 200).hexdigest()
