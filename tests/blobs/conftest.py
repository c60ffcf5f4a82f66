"""The drivers that the contract holds for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.port import BlobStore
from ecrate.blobs.s3.store import S3Blobs
from tests.support.proxy import Proxy, running_proxy
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


@pytest.fixture
def key() -> str:
    """A key that was never used."""
    return str(uuid4())


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    """A way to the store that can be disturbed."""
    with running_proxy(s3_server.port) as running:
        yield running


@pytest.fixture
def s3_uploads(s3_server: S3Server, proxy: Proxy) -> Uploads:
    """Uploads on a store behind the proxy; what it had to find out first is done."""
    blobs = S3Blobs(s3_server.make_address(endpoint=proxy.endpoint), KEY)
    blobs.check()
    proxy.seen.names.clear()
    return Uploads(blobs)
