"""Two files that have the same bytes on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecrate.blobs.sharing import share

CONTENT = b"bytes"
MEMORY = Path("/dev/shm")  # noqa: S108 - another filesystem, a folder of its own on it


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_bytes(CONTENT)
    return file


def test_file_is_shared(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"

    assert share(source, target)

    assert target.read_bytes() == CONTENT
    source.unlink()
    assert target.read_bytes() == CONTENT


@pytest.mark.skipif(not os.access(MEMORY, os.W_OK), reason="there is only one filesystem")
def test_file_elsewhere_is_not_shared(source: Path) -> None:
    target = MEMORY / f"ecrate-test-{os.getpid()}"

    assert not share(source, target)

    assert not target.exists()
