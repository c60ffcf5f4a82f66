"""Quotas that an operator sets, at both doors of a server with small ones."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.images import OCI_MANIFEST, make_image
from tests.support.registry import error_of, manifest_of, push_image, put_manifest
from tests.support.server import ACCOUNT, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

_NUMBERS = itertools.count(1)
FULL_REGISTRY = (
    f"The registry with id '{ACCOUNT}' already has the maximum allowed number of repositories "
    "which is '2'"
)
FULL_REPOSITORY = (
    f"The repository with name 'full' in registry with id '{ACCOUNT}' already has the maximum "
    "allowed number of images which is '2'"
)


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server of two workers where all is small."""
    quotas = {"ECRATE_REPOSITORIES_PER_REGISTRY": "2", "ECRATE_IMAGES_PER_REPOSITORY": "2"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--workers", "2", env=quotas) as running,
    ):
        yield running


@pytest.fixture
def place(small: Server) -> ECRClient:
    """A registry of the test's own."""
    return small.ecr(region=f"quotas-{next(_NUMBERS)}")


def outcome(call: Callable[[], object]) -> str:
    """Give the code and the text of a call's error, or OK."""
    try:
        call()
    except ClientError as error:
        return f"{error.response['Error']['Code']} {error.response['Error']['Message']}"
    return "OK"


def test_create_repository_beyond_the_quota_is_refused(place: ECRClient) -> None:
    answers = [
        outcome(lambda name=name: place.create_repository(repositoryName=name))  # type: ignore[misc]
        for name in ("one", "two", "three")
    ]
    place.delete_repository(repositoryName="one")
    answers.append(outcome(lambda: place.create_repository(repositoryName="three")))

    assert answers == ["OK", "OK", f"LimitExceededException {FULL_REGISTRY}", "OK"]


def test_calls_at_once_do_not_exceed_a_quota_together(place: ECRClient) -> None:
    def create(number: int) -> str:
        return outcome(lambda: place.create_repository(repositoryName=f"name-{number}"))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(create, range(8)))

    assert sorted(answers) == [f"LimitExceededException {FULL_REGISTRY}"] * 6 + ["OK"] * 2
    assert len(place.describe_repositories()["repositories"]) == 2


def test_image_beyond_the_quota_is_refused_at_both_doors(small: Server) -> None:
    small.ecr().create_repository(repositoryName="full")
    image = make_image()
    third = manifest_of(image, OCI_MANIFEST, annotations={"number": "3"})
    with small.http() as http:
        push_image(http, "full", image, "one")
        second = manifest_of(image, OCI_MANIFEST, annotations={"number": "2"})
        put_manifest(http, "full", "two", second)

        pushed = put_manifest(http, "full", "three", third)
        put = outcome(lambda: small.ecr().put_image(repositoryName="full", imageManifest=third))
        tagged = put_manifest(http, "full", "another", image.manifest)

    assert error_of(pushed) == (403, "DENIED", FULL_REPOSITORY)
    assert put == f"LimitExceededException {FULL_REPOSITORY}"
    assert tagged.status_code == 201
