"""Archived images: at the registry door they are not there until they are restored or pushed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.images import OCI_MANIFEST, make_image
from tests.support.registry import (
    error_of,
    pull_blob,
    push_blob,
    push_image,
    put_manifest,
)
from tests.support.server import Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which a restore takes no time, with an empty repository `images`."""
    data = tmp_path_factory.mktemp("quick") / "data"
    with running_server(data, env={"ECRATE_ACTIVATION_SECONDS": "0"}) as running:
        running.ecr().create_repository(repositoryName="images")
        yield running


@pytest.fixture
def quick(quick_server: Server) -> Iterator[httpx.Client]:
    with quick_server.http() as client:
        yield client


@pytest.fixture(scope="module")
def ecr_there(quick_server: Server) -> ECRClient:
    return quick_server.ecr()


def move(ecr: ECRClient, digest: str, target: Any = "ARCHIVE") -> None:
    ecr.update_image_storage_class(
        repositoryName="images", imageId={"imageDigest": digest}, targetStorageClass=target
    )


@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_archived_manifest_is_unknown_until_restored(
    quick: httpx.Client, ecr_there: ECRClient, reference: str
) -> None:
    image = make_image()
    push_image(quick, "images", image, "v1")
    path = f"/v2/images/manifests/{'v1' if reference == 'tag' else image.digest}"
    move(ecr_there, image.digest)

    got, headed = quick.get(path), quick.head(path)

    assert error_of(got) == (404, "MANIFEST_UNKNOWN", "Requested image not found")
    assert headed.status_code == 404
    move(ecr_there, image.digest, "STANDARD")
    assert quick.get(path).text == image.manifest


def test_archived_layer_is_unknown_until_restored(
    quick: httpx.Client, ecr_there: ECRClient
) -> None:
    image = make_image()
    push_image(quick, "images", image)
    digest = image.layers[0].digest
    path = f"/v2/images/blobs/{digest}"
    move(ecr_there, image.digest)

    got, headed = quick.get(path), quick.head(path)

    assert error_of(got)[:2] == (404, "BLOB_UNKNOWN")
    assert headed.status_code == 404
    move(ecr_there, image.digest, "STANDARD")
    assert pull_blob(quick, "images", digest) == image.layers[0].content


def test_archived_tag_is_not_listed(quick: httpx.Client, ecr_there: ECRClient) -> None:
    image = make_image()
    push_image(quick, "images", image, "archived-1", "archived-2")

    before = quick.get("/v2/images/tags/list").json()["tags"]
    move(ecr_there, image.digest)
    after = quick.get("/v2/images/tags/list").json()["tags"]

    assert {"archived-1", "archived-2"} <= set(before)
    assert set(before) - set(after) == {"archived-1", "archived-2"}


def test_archived_image_is_restored_by_a_push(quick: httpx.Client, ecr_there: ECRClient) -> None:
    image = make_image()
    push_image(quick, "images", image, "again")
    move(ecr_there, image.digest)

    push_image(quick, "images", image, "again")

    assert quick.get("/v2/images/manifests/again").text == image.manifest
    assert pull_blob(quick, "images", image.config.digest) == image.config.content


def test_archived_image_is_restored_by_its_manifest_alone(
    quick: httpx.Client, ecr_there: ECRClient
) -> None:
    image = make_image()
    push_image(quick, "images", image, "alone")
    move(ecr_there, image.digest)

    answer = put_manifest(quick, "images", "alone", image.manifest, OCI_MANIFEST)

    assert answer.status_code == 201
    assert quick.get("/v2/images/manifests/alone").text == image.manifest


def test_archived_layer_is_not_mounted(quick: httpx.Client, ecr_there: ECRClient) -> None:
    ecr_there.create_repository(repositoryName="mounts")
    image = make_image()
    push_image(quick, "images", image)
    move(ecr_there, image.digest)
    digest = image.layers[0].digest

    answer = quick.post("/v2/mounts/blobs/uploads/", params={"mount": digest, "from": "images"})

    assert answer.status_code == 202
    push_blob(quick, "mounts", image.layers[0].content)
    assert pull_blob(quick, "mounts", digest) == image.layers[0].content
