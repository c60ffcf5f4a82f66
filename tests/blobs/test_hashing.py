"""Digests that are put away and taken up again, against hashlib's."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.blobs.hashing import Buffer, Hasher, new_hasher, resume_hasher

ALGORITHMS = ["sha256", "sha512"]

pieces_of_bytes = st.lists(st.binary(max_size=300), max_size=6)
buffers = st.sampled_from(
    [bytes, bytearray, memoryview, lambda piece: memoryview(bytearray(piece))]
)


def resumed(hasher: Hasher) -> Hasher:
    """Put the digest away and take it up again."""
    again = resume_hasher(hasher.state())
    assert again is not None
    return again


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(pieces=pieces_of_bytes, kind=buffers)
def test_digest_is_hashlibs(algorithm: str, pieces: list[bytes], kind: type[Buffer]) -> None:
    hasher = new_hasher(algorithm)
    for piece in pieces:
        hasher.update(kind(piece))

    assert hasher.hexdigest() == hashlib.new(algorithm, b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(pieces=pieces_of_bytes)
def test_digest_that_is_put_away_after_each_piece_is_hashlibs(
    algorithm: str, pieces: list[bytes]
) -> None:
    hasher = new_hasher(algorithm)
    for piece in pieces:
        hasher.update(piece)
        hasher = resumed(hasher)

    assert hasher.hexdigest() == hashlib.new(algorithm, b"".join(pieces)).hexdigest()
    assert hasher.algorithm == algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digest_goes_on_after_it_was_read(algorithm: str) -> None:
    hasher = new_hasher(algorithm)
    hasher.update(b"a")
    state = hasher.state()
    first = hasher.hexdigest()
    hasher.update(b"b")

    second = hasher.hexdigest()

    assert first == hashlib.new(algorithm, b"a").hexdigest()
    assert second == hashlib.new(algorithm, b"ab").hexdigest()
    assert state != hasher.state()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digest_of_large_pieces_is_hashlibs(algorithm: str) -> None:
    piece = bytes(range(256)) * 40_000
    hasher = new_hasher(algorithm)
    hasher.update(memoryview(piece)[1:])
    hasher = resumed(hasher)
    hasher.update(bytearray(piece))

    assert hasher.hexdigest() == hashlib.new(algorithm, piece[1:] + piece).hexdigest()


@given(state=st.binary(max_size=300))
def test_state_of_anybody_is_not_resumed(state: bytes) -> None:
    assert resume_hasher(state) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"sha", b"shb", id="algorithm"),
        pytest.param(b"/", b"/9", id="library"),
        pytest.param(b"/", b"", id="longer"),
    ],
)
def test_state_of_another_library_is_not_resumed(algorithm: str, old: bytes, new: bytes) -> None:
    state = new_hasher(algorithm).state().replace(old, new, 1)

    assert resume_hasher(state) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("change", [-1, 1], ids=["shorter", "longer"])
def test_state_of_another_length_is_not_resumed(algorithm: str, change: int) -> None:
    state = new_hasher(algorithm).state()
    changed = (state + b"x")[: len(state) + change]

    assert resume_hasher(changed) is None


# What a Python without libcrypto, or with one that is not as expected, looks like from inside.
WITHOUT = {
    "not-linked": "import sys; sys.modules['_hashlib'] = None",
    "not-loaded": """
import ctypes
def refuse(name):
    raise OSError(name)
ctypes.CDLL = refuse
""",
    "without-functions": "import ctypes; ctypes.CDLL = lambda name: ctypes.PyDLL(None)",
    "with-larger-contexts": """
import ctypes
real = ctypes.CDLL
class Liar:
    def __init__(self, name):
        self.library = real(name)
    def __getattr__(self, name):
        if not name.endswith("_Init"):
            return getattr(self.library, name)
        def init(context):
            getattr(self.library, name)(context)
            size = {"SHA256_Init": 112, "SHA512_Init": 216}[name]
            ctypes.memset(ctypes.addressof(context) + size, 1, 8)
        return init
ctypes.CDLL = Liar
""",
    "with-another-layout": """
import ctypes
real = ctypes.CDLL
class Liar:
    def __init__(self, name):
        self.library = real(name)
    def __getattr__(self, name):
        if not name.endswith("_Final"):
            return getattr(self.library, name)
        def final(digest, context):
            digest.raw = bytes(len(digest.raw))
        return final
ctypes.CDLL = Liar
""",
}
HASH = """
from ecrate.blobs.hashing import new_hasher, resume_hasher
for algorithm in ("sha256", "sha512"):
    hasher = new_hasher(algorithm)
    hasher.update(memoryview(bytearray(b"con")))
    hasher.update(b"tent")
    print(hasher.algorithm, hasher.hexdigest(), hasher.state(), resume_hasher(hasher.state()))
"""


@pytest.mark.parametrize("without", WITHOUT)
def test_digest_without_libcrypto_has_no_state(without: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT[without] + HASH],
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines() == [
        f"sha256 {hashlib.sha256(b'content').hexdigest()} b'' None",
        f"sha512 {hashlib.sha512(b'content').hexdigest()} b'' None",
    ]
