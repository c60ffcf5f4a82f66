"""The drivers that the contract holds for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.port import BlobStore

DRIVERS = {"filesystem": FilesystemBlobs}


@pytest.fixture(params=DRIVERS)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each kind."""
    return DRIVERS[request.param](tmp_path)
