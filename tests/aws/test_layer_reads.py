"""BatchCheckLayerAvailability, GetDownloadUrlForLayer, and what the URL leads to."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.images import OCI_CONFIG, OCI_LAYER, make_image
from tests.support.pushing import push_image, push_layer
from tests.support.server import ACCOUNT, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

UNKNOWN = "sha256:" + "0" * 64


def url_of(ecr: ECRClient, repository: str, digest: str) -> str:
    answer = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest)
    assert answer["layerDigest"] == digest
    return answer["downloadUrl"]


def test_batch_check_layer_availability_answers_each_digest(
    ecr: ECRClient, repository: str
) -> None:
    digest = push_layer(ecr, repository, b"available")

    checked = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=[UNKNOWN, digest]
    )

    assert checked["failures"] == []
    assert checked["layers"] == [
        {"layerDigest": UNKNOWN, "layerAvailability": "UNAVAILABLE"},
        {"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": 9},
    ]


@pytest.mark.parametrize(
    ("digest", "code", "reason"),
    [
        pytest.param("", "MissingLayerDigest", "layer digest cannot be null", id="empty"),
        pytest.param("sha256:1", "InvalidLayerDigest", "should satisfy the regex", id="short"),
        pytest.param("md5:" + "0" * 32, "InvalidLayerDigest", "the regex", id="algorithm"),
        pytest.param("../../etc/passwd", "InvalidLayerDigest", "the regex", id="path"),
    ],
)
def test_batch_check_layer_availability_tells_what_is_no_digest(
    ecr: ECRClient, repository: str, digest: str, code: str, reason: str
) -> None:
    checked = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=[digest, UNKNOWN]
    )

    assert [one["layerAvailability"] for one in checked["layers"]] == ["UNAVAILABLE"]
    (failure,) = checked["failures"]
    assert (failure["layerDigest"], failure["failureCode"]) == (digest, code)
    assert reason in failure["failureReason"]


def test_batch_check_layer_availability_knows_the_media_type_from_the_image(
    ecr: ECRClient, repository: str
) -> None:
    image = make_image()
    push_image(ecr, repository, image)

    checked = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=[blob.digest for blob in image.blobs]
    )

    assert [one["mediaType"] for one in checked["layers"]] == [OCI_CONFIG, OCI_LAYER]


def test_batch_check_layer_availability_sees_its_repository_only(
    ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    digest = push_layer(ecr, make_repository(), os.urandom(10))

    checked = ecr.batch_check_layer_availability(
        repositoryName=make_repository(), layerDigests=[digest]
    )

    assert [one["layerAvailability"] for one in checked["layers"]] == ["UNAVAILABLE"]


@pytest.mark.parametrize(
    "size", [pytest.param(0, id="empty-tail"), pytest.param(3_000_000, id="large")]
)
def test_download_url_leads_to_the_bytes(ecr: ECRClient, repository: str, size: int) -> None:
    content = b"begin" + os.urandom(size)
    url = url_of(ecr, repository, push_layer(ecr, repository, content))

    answer = httpx.get(url)

    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_download_url_leads_to_a_range(ecr: ECRClient, repository: str) -> None:
    url = url_of(ecr, repository, push_layer(ecr, repository, b"0123456789"))

    answer = httpx.get(url, headers={"Range": "bytes=3-5"})

    assert (answer.status_code, answer.content) == (206, b"345")


def test_download_url_answers_head(ecr: ECRClient, repository: str) -> None:
    url = url_of(ecr, repository, push_layer(ecr, repository, b"0123456789"))

    answer = httpx.head(url)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "10"


def test_download_url_cannot_be_written_to(ecr: ECRClient, repository: str) -> None:
    url = url_of(ecr, repository, push_layer(ecr, repository, b"0123456789"))

    answer = httpx.put(url, content=b"other")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("position", [0, -1], ids=["payload", "signature"])
def test_download_url_that_was_changed_leads_nowhere(
    ecr: ECRClient, repository: str, position: int
) -> None:
    base, slash, seal = url_of(ecr, repository, push_layer(ecr, repository, b"x")).rpartition("/")
    characters = list(seal)
    characters[position] = "A" if characters[position] != "A" else "B"

    answer = httpx.get(base + slash + "".join(characters))

    assert answer.status_code == 404


def test_download_url_dies_with_its_repository(
    ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    name, content = make_repository(), os.urandom(10)
    push_layer(ecr, make_repository(), content)
    url = url_of(ecr, name, push_layer(ecr, name, content))
    ecr.delete_repository(repositoryName=name)
    ecr.create_repository(repositoryName=name)
    push_layer(ecr, name, content)

    answer = httpx.get(url)

    assert answer.status_code == 404


def test_page_token_is_no_download(server: Server, make_repository: Callable[[], str]) -> None:
    make_repository()
    make_repository()
    token = server.ecr().describe_repositories(maxResults=1)["nextToken"]

    answer = httpx.get(f"{server.endpoint}/layers/{token}")

    assert answer.status_code == 404


@pytest.mark.parametrize("digest", [UNKNOWN, "md5:00"])
def test_get_download_url_for_layer_refuses_an_unknown_layer(
    ecr: ECRClient, repository: str, digest: str
) -> None:
    with pytest.raises(ecr.exceptions.LayersNotFoundException) as caught:
        url_of(ecr, repository, digest)

    assert caught.value.response["Error"]["Message"] == (
        f"The layer with digest '{digest}' does not exist within the repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}'"
    )


def test_get_download_url_for_layer_sees_its_repository_only(
    ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    digest = push_layer(ecr, make_repository(), os.urandom(10))

    with pytest.raises(ecr.exceptions.LayersNotFoundException):
        url_of(ecr, make_repository(), digest)


def test_layers_of_an_unknown_repository_are_refused(ecr: ECRClient) -> None:
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        url_of(ecr, "never/made", UNKNOWN)
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.batch_check_layer_availability(repositoryName="never/made", layerDigests=[UNKNOWN])
