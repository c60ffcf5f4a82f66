"""Bytes that are checked as they are read."""

from __future__ import annotations

import io

import pytest

from ecrate.blobs.verified import DamagedError, VerifiedReader
from ecrate.domain.names import Digest
from tests.support.images import digest_of

CONTENT = b"the bytes of a layer"
DIGEST = Digest(digest_of(CONTENT))


def reader(content: bytes, size: int = len(CONTENT)) -> VerifiedReader:
    return VerifiedReader(io.BytesIO(content), DIGEST, size, lambda _: None)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_right_bytes_are_read(at_once: int) -> None:
    source = reader(CONTENT)

    assert b"".join(iter(lambda: source.read(at_once) or b"", b"")) == CONTENT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(CONTENT[:-1], "1 bytes are missing", id="cut"),
        pytest.param(CONTENT + b"x", "more bytes", id="longer"),
        pytest.param(bytes(len(CONTENT)), "the digest is sha256:", id="others"),
    ],
)
def test_wrong_bytes_have_no_end(content: bytes, told: str) -> None:
    source = reader(content)

    with pytest.raises(DamagedError, match=told):
        source.readall()


def test_bytes_read_are_told() -> None:
    spent: list[int] = []
    source = VerifiedReader(io.BytesIO(CONTENT), DIGEST, len(CONTENT), spent.append)

    source.readall()

    assert sum(spent) == len(CONTENT)


def test_close_closes_the_source() -> None:
    inner = io.BytesIO(CONTENT)

    VerifiedReader(inner, DIGEST, len(CONTENT), lambda _: None).close()

    assert inner.closed
