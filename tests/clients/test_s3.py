"""Clients that are sent on to an S3 store for their blobs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import Program
from tests.support.images import MadeImage
from tests.support.layouts import read_blobs
from tests.support.s3 import running_on_s3
from tests.support.seaweed import S3Server
from tests.support.server import Server

pytestmark = [pytest.mark.clients, pytest.mark.s3, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=["127.0.0.1", "localhost"])
def on_s3(s3_server: S3Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose store has its own name for clients, or the same host as we."""
    public = f"http://{request.param}:{s3_server.port}"
    with (
        tempfile.TemporaryDirectory() as folder,
        running_on_s3(
            Path(folder) / "data", s3_server.make_address(public_endpoint=public)
        ) as server,
    ):
        yield server


def test_skopeo_copies_an_image_there_and_back(
    on_s3: Server, skopeo: Program, layout: Path, debian: MadeImage, tmp_path: Path
) -> None:
    on_s3.ecr().create_repository(repositoryName="s3/skopeo")
    remote = f"docker://{on_s3.host}/s3/skopeo:single"
    login = f"{on_s3.key_id}:{on_s3.secret}"
    pulled = tmp_path / "pulled"

    skopeo.output(
        *("copy", "--dest-tls-verify=false", f"--dest-creds={login}"),
        *(f"oci:{layout}:single", remote),
    )
    skopeo.output(
        *("copy", "--src-tls-verify=false", f"--src-creds={login}"), *(remote, f"oci:{pulled}:x")
    )

    blobs = read_blobs(pulled)
    assert {blob.digest: blobs[blob.digest] for blob in debian.blobs} == {
        blob.digest: blob.content for blob in debian.blobs
    }
