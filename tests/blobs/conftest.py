"""The drivers that the contract holds for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.port import BlobStore
from ecrate.blobs.s3.store import S3Blobs
from tests.support.rows import Uploads
from tests.support.seaweed import KEY, S3Server


@pytest.fixture(params=["filesystem", pytest.param("s3", marks=pytest.mark.s3)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each kind."""
    if request.param == "filesystem":
        return FilesystemBlobs(tmp_path)
    server: S3Server = request.getfixturevalue("s3_server")
    return S3Blobs(server.make_address(), KEY)


@pytest.fixture
def uploads(blobs: BlobStore) -> Uploads:
    """Uploads on the store, with rows that are kept in memory."""
    return Uploads(blobs)
