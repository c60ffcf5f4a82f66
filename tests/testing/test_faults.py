from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import botocore.exceptions
import httpx
import pytest
from botocore.config import Config

from ecrate.testing import PushedImage, Registry, Server

ONCE = Config(retries={"total_max_attempts": 1})
LAYER = 200_000


@pytest.fixture
def image(registry: Registry) -> PushedImage:
    return registry.push_image("app", "v1", size=LAYER)


@pytest.fixture
def ecr(registry: Registry) -> Iterator[Any]:
    """A client that does not retry."""
    with closing(registry.client(config=ONCE)) as client:
        yield client


@pytest.fixture
def door(registry: Registry) -> Iterator[httpx.Client]:
    """The registry door, logged in."""
    address, auth = registry.endpoint, registry.login()
    with httpx.Client(base_url=address, auth=auth, timeout=30) as client:
        yield client


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
        content: bytes = answer.read()
    return content


def layer_of(image: PushedImage) -> str:
    digest: str = json.loads(image.manifest)["layers"][0]["digest"]
    return digest


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        pytest.param("throttle", "ThrottlingException", 400, id="throttle"),
        pytest.param("expired-token", "ExpiredTokenException", 400, id="expired-token"),
        pytest.param("error", "ServerException", 500, id="error"),
        pytest.param("unavailable", "ServerException", 503, id="unavailable"),
    ],
)
def test_call_is_refused(registry: Registry, ecr: Any, fault: Any, code: str, status: int) -> None:
    with (
        registry.inject(fault, "DescribeRepositories"),
        pytest.raises(botocore.exceptions.ClientError) as caught,
    ):
        ecr.describe_repositories()

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert ecr.describe_repositories()["repositories"] == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [("throttle", 429), ("expired-token", 403), ("error", 500), ("unavailable", 503)],
)
def test_request_at_the_registry_door_is_refused(
    registry: Registry, door: httpx.Client, image: PushedImage, fault: Any, status: int
) -> None:
    with registry.inject(fault, "BatchGetImage"):
        refused = door.get("/v2/app/manifests/v1")

    assert refused.status_code == status
    assert refused.json()["errors"][0]["message"]
    assert door.get("/v2/app/manifests/v1").text == image.manifest


@pytest.mark.usefixtures("image")
def test_call_that_is_slow_is_answered(registry: Registry, ecr: Any) -> None:
    with registry.inject("slow", "DescribeImages", seconds=0.3):
        begun = time.monotonic()
        answer = ecr.describe_images(repositoryName="app")
        took = time.monotonic() - begun

    assert len(answer["imageDetails"]) == 1
    assert took >= 0.3


def test_other_operations_go_on(registry: Registry, ecr: Any, image: PushedImage) -> None:
    with registry.inject("error", "PutImage"):
        answer = ecr.describe_images(repositoryName="app")

    assert answer["imageDetails"][0]["imageDigest"] == image.digest


def test_other_accounts_go_on(dev_server: Server, registry: Registry) -> None:
    other = dev_server.registry()

    with registry.inject("error"), closing(other.client(config=ONCE)) as client:
        answer = client.describe_repositories()

    assert answer["repositories"] == []


def test_fault_ends_after_its_times(registry: Registry, ecr: Any) -> None:
    outcomes = []
    with registry.inject("throttle", times=2):
        for _ in range(4):
            try:
                ecr.describe_repositories()
                outcomes.append("answered")
            except botocore.exceptions.ClientError as error:
                outcomes.append(error.response["Error"]["Code"])

    assert outcomes == [*["ThrottlingException"] * 2, *["answered"] * 2]


def test_rate_is_the_share_that_fails(registry: Registry, ecr: Any) -> None:
    failed = 0
    with registry.inject("error", rate=0.5):
        for _ in range(60):
            try:
                ecr.describe_repositories()
            except botocore.exceptions.ClientError:
                failed += 1

    # One in a billion runs is beyond.
    assert 7 < failed < 53


def test_sdk_gets_over_a_few_throttles(registry: Registry) -> None:
    with registry.inject("throttle", "CreateRepository", times=2):
        answer = registry.ecr.create_repository(repositoryName="app")

    assert answer["repository"]["repositoryName"] == "app"


def test_call_whose_answer_is_lost_was_carried_out(registry: Registry, ecr: Any) -> None:
    with (
        registry.inject("lose-answer", "CreateRepository"),
        pytest.raises(botocore.exceptions.HTTPClientError),
    ):
        ecr.create_repository(repositoryName="app")

    assert len(ecr.describe_repositories()["repositories"]) == 1


def test_call_that_is_cut_was_not_carried_out(registry: Registry, ecr: Any) -> None:
    with (
        registry.inject("cut", "CreateRepository"),
        pytest.raises(botocore.exceptions.HTTPClientError),
    ):
        ecr.create_repository(repositoryName="app")

    assert ecr.describe_repositories()["repositories"] == []


def test_layer_breaks_off_at_the_registry_door(
    registry: Registry, door: httpx.Client, image: PushedImage
) -> None:
    url = f"/v2/app/blobs/{layer_of(image)}"
    came: list[bytes] = []
    with (
        registry.inject("cut", "DownloadLayer"),
        door.stream("GET", url) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        came.extend(answer.iter_raw())

    assert answer.status_code == 200
    assert 0 < sum(map(len, came)) < LAYER


def test_layer_breaks_off_at_its_url(registry: Registry, ecr: Any, image: PushedImage) -> None:
    url = ecr.get_download_url_for_layer(repositoryName="app", layerDigest=layer_of(image))

    with registry.inject("cut", "DownloadLayer"), pytest.raises(http.client.IncompleteRead):
        _read(url["downloadUrl"])

    assert len(_read(url["downloadUrl"])) > LAYER


@pytest.mark.parametrize(
    ("fault", "status"),
    [("throttle", 429), ("expired-token", 403), ("error", 500), ("unavailable", 503)],
)
def test_layer_at_its_url_is_refused(
    registry: Registry, ecr: Any, image: PushedImage, fault: Any, status: int
) -> None:
    url = ecr.get_download_url_for_layer(repositoryName="app", layerDigest=layer_of(image))

    with registry.inject(fault, "DownloadLayer"):
        answer = httpx.get(url["downloadUrl"])

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"{}", "Expected `array`", id="no list"),
        pytest.param(b'[{"fault": "flood"}]', "flood", id="unknown fault"),
        pytest.param(b'[{"fault": "error", "rate": 2}]', "<= 1.0", id="rate"),
        pytest.param(b'[{"fault": "error", "times": 0}]', ">= 1", id="times"),
        pytest.param(b'[{"fault": "error", "hours": 1}]', "hours", id="unknown member"),
        pytest.param(b"[", "truncated", id="no JSON"),
    ],
)
def test_bad_list_is_refused(dev_server: Server, body: bytes, told: str) -> None:
    answer = httpx.put(f"{dev_server.endpoint}/_ecrate/faults", content=body)

    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_faults_are_for_development_only(server: Any) -> None:
    answer = httpx.put(f"{server.endpoint}/_ecrate/faults", content=b"[]")

    assert answer.status_code == 404
