"""Chunked transfer coding, taken off in place, however the bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.web.chunks import Chunks, MalformedChunksError


def encoded(pieces: list[bytes], trailers: bytes = b"") -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    return b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def feed(chunks: Chunks, data: bytes, step: int) -> bytes:
    """Give `data` in steps, as a socket does; give the content."""
    content, view = b"", memoryview(data)
    while view:
        space = chunks.space()
        count = min(step, len(view), len(space))
        space[:count], view = view[:count], view[count:]
        chunks.fill(count)
        content += chunks.content()
        chunks.clear()
    return content


@given(
    pieces=st.lists(st.binary(max_size=300), max_size=8),
    step=st.integers(1, 200),
    room=st.integers(5000, 6000),
)
def test_content_is_what_the_chunks_hold(pieces: list[bytes], step: int, room: int) -> None:
    chunks = Chunks(room)

    content = feed(chunks, encoded(pieces), step)

    assert content == b"".join(pieces)
    assert chunks.is_complete
    assert chunks.size == len(content)


def test_content_gathers_until_it_is_cleared() -> None:
    chunks = Chunks(10_000)
    data = encoded([b"one", b"two", b"three"])

    for byte in data:
        chunks.space()[0] = byte
        chunks.fill(1)

    assert bytes(chunks.content()) == b"onetwothree"


@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "a-request"])
def test_what_comes_behind_the_body_is_kept(behind: bytes) -> None:
    chunks = Chunks(10_000)
    data = encoded([b"body"], b"Digest: x\r\nMore: y\r\n") + behind
    chunks.space()[: len(data)] = data

    chunks.fill(len(data))

    assert (bytes(chunks.content()), chunks.rest()) == (b"body", behind)
    assert chunks.is_complete


@pytest.mark.parametrize(
    "line",
    [b"4", b"04", b"4;name", b'4;name="val\\"ue"', b"4\t; a = b;c", b"000000000000004"],
)
def test_size_may_have_zeros_and_extensions(line: bytes) -> None:
    assert feed(Chunks(10_000), line + b"\r\nbody\r\n0\r\n\r\n", 1000) == b"body"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n", id="no-size"),
        pytest.param(b"zz\r\n", id="no-number"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"+1\r\n", id="sign"),
        pytest.param(b"0x1\r\n", id="prefix"),
        pytest.param(b" 4\r\nbody\r\n", id="blank-before"),
        pytest.param(b"1_0\r\n", id="underscore"),
        pytest.param(b"\xd9\xa1\r\n", id="digits-of-another-script"),
        pytest.param(b"4\nbody\n", id="bare-line-feeds"),
        pytest.param(b"4;a\nb\r\nbody\r\n", id="line-feed-in-an-extension"),
        pytest.param(b"4;\0\r\nbody\r\n", id="nul-in-an-extension"),
        pytest.param(b"4\r\nbodyx\r\n", id="longer-than-its-size"),
        pytest.param(b"4\r\nbody0\r\n\r\n", id="no-end-of-its-data"),
        pytest.param(b"f" * 16 + b"\r\n", id="size-too-large"),
        pytest.param(b"4;" + b"x" * 5000, id="extension-without-end"),
        pytest.param(b"4 \r\nbody\r\n0\r\n\r\n", id="blank-behind"),
        pytest.param(b'4;a="\r\nbody\r\n0\r\n\r\n', id="quotation-without-end"),
        pytest.param(b"4;a\xff\r\nbody\r\n0\r\n\r\n", id="name-that-is-no-token"),
        pytest.param(b"4;\r\nbody\r\n0\r\n\r\n", id="extension-without-name"),
        pytest.param(b"0\r\n\n\r\n\r\n", id="line-feed-for-a-trailer"),
        pytest.param(b"0\r\na: b\n\r\n\r\n", id="line-feed-in-a-trailer"),
        pytest.param(b"0\r\na: b\rc\r\n\r\n", id="bare-return-in-a-trailer"),
        pytest.param(b"0\r\na: b\r\n c\r\n\r\n", id="folded-trailer"),
        pytest.param(b"0\r\na : b\r\n\r\n", id="blank-in-a-trailers-name"),
        pytest.param(b"0\r\nGET / HTTP/1.1\r\n\r\n", id="trailer-without-a-name"),
        pytest.param(b"0\r\n" + b"a: b\r\n" * 65 + b"\r\n", id="too-many-trailers"),
        pytest.param(b"0\r\n" + b"a" * 5000, id="trailer-without-end"),
    ],
)
@pytest.mark.parametrize("step", [1, 10_000], ids=["by-bytes", "at-once"])
def test_what_is_malformed_is_refused(data: bytes, step: int) -> None:
    padded = data + b"x" * 5000  # so that a line without an end is long enough to be one

    with pytest.raises(MalformedChunksError):
        feed(Chunks(20_000), padded, step)


def test_size_tells_of_a_chunk_before_it_is_there() -> None:
    chunks = Chunks(10_000)
    head = b"fffffff\r\n"
    chunks.space()[: len(head)] = head

    chunks.fill(len(head))

    assert (chunks.size, chunks.ready) == (0xFFFFFFF, 0)
