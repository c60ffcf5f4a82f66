"""PutImageTagMutability, PutImageScanningConfiguration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import make_image
from tests.support.pushing import ids_of, push_image
from tests.support.server import ACCOUNT, Server
from tests.support.signing import call, error_of

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient


def wildcard(*filters: str) -> list[Any]:
    return [{"filterType": "WILDCARD", "filter": one} for one in filters]


def test_put_image_tag_mutability_holds_from_the_next_push_on(
    ecr: ECRClient, repository: str
) -> None:
    first, second = make_image(), make_image()
    push_image(ecr, repository, first, "v1", "dev")

    answer = ecr.put_image_tag_mutability(
        repositoryName=repository,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=wildcard("dev*"),
    )

    given = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    assert given == {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": wildcard("dev*"),
    }
    push_image(ecr, repository, second, "dev")
    with pytest.raises(ecr.exceptions.ImageTagAlreadyExistsException, match="the tag is immutable"):
        ecr.put_image(repositoryName=repository, imageManifest=second.manifest, imageTag="v1")
    assert ids_of(ecr, repository) == [(first.digest, "v1"), (second.digest, "dev")]


def test_put_image_tag_mutability_clears_the_filters_with_a_plain_mode(
    ecr: ECRClient, repository: str
) -> None:
    ecr.put_image_tag_mutability(
        repositoryName=repository,
        imageTagMutability="MUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=wildcard("v*", "release"),
    )

    answer = ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="MUTABLE")

    (described,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert "imageTagMutabilityExclusionFilters" not in set(answer)
    assert "imageTagMutabilityExclusionFilters" not in set(described)
    assert described["imageTagMutability"] == "MUTABLE"


@pytest.mark.parametrize(
    ("mode", "filters"),
    [
        pytest.param(
            "IMMUTABLE",
            {"imageTagMutabilityExclusionFilters": wildcard("v*")},
            id="filters-with-a-plain-mode",
        ),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", {}, id="no-filters"),
    ],
)
def test_put_image_tag_mutability_refuses_filters_that_do_not_fit(
    ecr: ECRClient, repository: str, mode: Any, filters: Any
) -> None:
    with pytest.raises(ecr.exceptions.InvalidParameterException) as refused:
        ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability=mode, **filters)

    assert refused.value.response["Error"]["Message"] == (
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
        "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "
        f"{mode}'"
    )


@pytest.mark.parametrize("scan_on_push", [True, False])
def test_put_image_scanning_configuration_is_remembered(
    ecr: ECRClient, repository: str, *, scan_on_push: bool
) -> None:
    ecr.put_image_scanning_configuration(
        repositoryName=repository, imageScanningConfiguration={"scanOnPush": not scan_on_push}
    )

    answer = ecr.put_image_scanning_configuration(
        repositoryName=repository, imageScanningConfiguration={"scanOnPush": scan_on_push}
    )

    (described,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository
    assert answer["imageScanningConfiguration"] == {"scanOnPush": scan_on_push}
    assert described["imageScanningConfiguration"] == {"scanOnPush": scan_on_push}


def test_put_image_scanning_configuration_without_a_flag_is_off(
    ecr: ECRClient, repository: str
) -> None:
    answer = ecr.put_image_scanning_configuration(
        repositoryName=repository, imageScanningConfiguration={}
    )

    assert answer["imageScanningConfiguration"] == {"scanOnPush": False}


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        pytest.param("PutImageTagMutability", {"imageTagMutability": "MUTABLE"}, id="mutability"),
        pytest.param(
            "PutImageScanningConfiguration", {"imageScanningConfiguration": {}}, id="scanning"
        ),
    ],
)
def test_settings_need_a_repository(
    server: Server, operation: str, parameters: dict[str, Any]
) -> None:
    body = {"repositoryName": "never/made", **parameters}

    refused = error_of(call(server, operation, json.dumps(body).encode()))

    assert refused == (
        400,
        "RepositoryNotFoundException",
        f"The repository with name 'never/made' does not exist in the registry with id '{ACCOUNT}'",
    )
