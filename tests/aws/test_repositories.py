"""CreateRepository, DescribeRepositories, DeleteRepository."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support.images import make_image
from tests.support.pushing import push_image, start_upload
from tests.support.server import ACCOUNT, REGION, Server, running_server
from tests.support.signing import call, error_of

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}"
OTHER_ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ECRClient]:
    """The only client of a server with repositories r/1 to r/5."""
    with running_server(tmp_path_factory.mktemp("registry") / "data") as running:
        client = running.ecr()
        for number in (3, 1, 5, 2, 4):
            client.create_repository(repositoryName=f"r/{number}")
        yield client


def wildcard(*filters: str) -> list[dict[str, str]]:
    return [{"filterType": "WILDCARD", "filter": one} for one in filters]


def create(server: Server, parameters: dict[str, Any]) -> tuple[int, str, str]:
    """Create a repository; give status, code and message of the refusal."""
    return error_of(call(server, "CreateRepository", json.dumps(parameters).encode()))


def test_create_repository_describes_it_with_defaults(server: Server, ecr: ECRClient) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    created = ecr.create_repository(repositoryName="made/plain")["repository"]

    assert before <= created.pop("createdAt") <= datetime.now(UTC)
    assert created == {
        "repositoryArn": f"{ARN}/made/plain",
        "registryId": ACCOUNT,
        "repositoryName": "made/plain",
        "repositoryUri": f"{server.host}/made/plain",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


def test_create_repository_keeps_what_was_chosen(ecr: ECRClient) -> None:
    created = ecr.create_repository(
        repositoryName="made/chosen",
        registryId=ACCOUNT,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[
            {"filterType": "WILDCARD", "filter": "dev-*"},
            {"filterType": "WILDCARD", "filter": "latest"},
        ],
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "team", "Value": ""}],
    )["repository"]

    (described,) = ecr.describe_repositories(repositoryNames=["made/chosen"])["repositories"]

    assert described == created
    assert described["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert described["imageTagMutabilityExclusionFilters"] == wildcard("dev-*", "latest")
    assert described["imageScanningConfiguration"] == {"scanOnPush": True}


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        pytest.param(
            "made/aes",
            {"encryptionType": "AES256"},
            {"encryptionType": "AES256"},
            id="aes",
        ),
        pytest.param(
            "made/kms",
            {"encryptionType": "KMS"},
            {"encryptionType": "KMS", "kmsKey": f"{KEY_ARN}:alias/aws/ecr"},
            id="managed-key",
        ),
        pytest.param(
            "made/kms-id",
            {"encryptionType": "KMS_DSSE", "kmsKey": "1234abcd"},
            {"encryptionType": "KMS_DSSE", "kmsKey": f"{KEY_ARN}:key/1234abcd"},
            id="key-id",
        ),
        pytest.param(
            "made/kms-alias",
            {"encryptionType": "KMS", "kmsKey": "alias/mine"},
            {"encryptionType": "KMS", "kmsKey": f"{KEY_ARN}:alias/mine"},
            id="alias",
        ),
        pytest.param(
            "made/kms-arn",
            {"encryptionType": "KMS", "kmsKey": "arn:aws:kms:eu-west-1:1:key/2"},
            {"encryptionType": "KMS", "kmsKey": "arn:aws:kms:eu-west-1:1:key/2"},
            id="arn",
        ),
    ],
)
def test_create_repository_shows_its_encryption(
    ecr: ECRClient, name: str, given: Any, shown: dict[str, str]
) -> None:
    created = ecr.create_repository(repositoryName=name, encryptionConfiguration=given)

    assert created["repository"]["encryptionConfiguration"] == shown


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ab", id="short"),
        pytest.param("9lives", id="digit-first"),
        pytest.param("a__b/c-d", id="two-underscores"),
        pytest.param("a---b", id="dashes"),
        pytest.param("a.b_c/d/e/f", id="deep"),
        pytest.param("a" * 256, id="longest"),
    ],
)
def test_create_repository_accepts_a_name_of_the_grammar(ecr: ECRClient, name: str) -> None:
    created = ecr.create_repository(repositoryName=name)["repository"]

    assert created["repositoryName"] == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Upper", id="capital"),
        pytest.param("/ab", id="slash-first"),
        pytest.param("a//b", id="slashes"),
        pytest.param("a/b/", id="slash-last"),
        pytest.param("-ab", id="dash-first"),
        pytest.param("ab.", id="dot-last"),
        pytest.param("a..b", id="dots"),
        pytest.param("a___b", id="three-underscores"),
        pytest.param("a.-b", id="mixed-separators"),
        pytest.param("../etc", id="parent"),
        pytest.param("a b", id="space"),
        pytest.param("a\N{LATIN SMALL LETTER E WITH ACUTE}", id="accent"),
        pytest.param("a\N{ARABIC-INDIC DIGIT ONE}", id="other-digit"),
    ],
)
def test_create_repository_refuses_a_name_outside_the_grammar(server: Server, name: str) -> None:
    _, code, message = create(server, {"repositoryName": name})

    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'repositoryName' failed to satisfy constraint:")


def test_create_repository_refuses_a_name_that_exists(server: Server, repository: str) -> None:
    refusal = create(server, {"repositoryName": repository})

    assert refusal == (
        400,
        "RepositoryAlreadyExistsException",
        (
            f"The repository with name '{repository}' already exists in the registry with id "
            f"'{ACCOUNT}'"
        ),
    )


def test_create_repository_makes_another_one_in_another_region(
    server: Server, repository: str
) -> None:
    created = server.ecr(region="eu-west-1").create_repository(repositoryName=repository)

    assert created["repository"]["repositoryUri"] == f"{server.host}/{repository}"
    assert created["repository"]["repositoryArn"].startswith("arn:aws:ecr:eu-west-1:")


def test_create_repository_in_another_account_is_denied(server: Server) -> None:
    _, code, message = create(server, {"repositoryName": "ab", "registryId": OTHER_ACCOUNT})

    assert code == "AccessDeniedException"
    assert message == (
        f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: ecr:CreateRepository "
        f"on resource: arn:aws:ecr:{REGION}:{OTHER_ACCOUNT}:repository/ab because no "
        "resource-based policy allows the ecr:CreateRepository action"
    )


@pytest.mark.parametrize(
    ("mode", "filters"),
    [
        pytest.param("MUTABLE", wildcard("a"), id="mutable"),
        pytest.param("IMMUTABLE", wildcard("a"), id="immutable"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", None, id="immutable-with-nothing"),
        pytest.param("MUTABLE_WITH_EXCLUSION", None, id="mutable-with-nothing"),
    ],
)
def test_create_repository_wants_filters_with_exclusion_only(
    server: Server, mode: str, filters: list[dict[str, str]] | None
) -> None:
    parameters = {
        "repositoryName": "never/made",
        "imageTagMutability": mode,
        "imageTagMutabilityExclusionFilters": filters,
    }

    refusal = create(server, parameters)

    assert refusal == (
        400,
        "InvalidParameterException",
        (
            "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy "
            "constraint: 'ImageTagMutabilityExclusionFilters can't be null when "
            f"imageTagMutability is set as {mode}'"
        ),
    )


@pytest.mark.parametrize(
    ("tags", "code", "message"),
    [
        pytest.param(
            [{"Key": str(number), "Value": ""} for number in range(51)],
            "TooManyTagsException",
            "A repository can have at most 50 resource tags",
            id="51",
        ),
        pytest.param(
            [{"Key": "", "Value": ""}],
            "InvalidTagParameterException",
            "must have 1 to 128 characters",
            id="empty-key",
        ),
        pytest.param(
            [{"Key": "k" * 129, "Value": ""}],
            "InvalidTagParameterException",
            "must have 1 to 128 characters",
            id="long-key",
        ),
        pytest.param(
            [{"Key": "aws:me", "Value": ""}],
            "InvalidTagParameterException",
            "not begin with 'aws:'",
            id="reserved-key",
        ),
        pytest.param(
            [{"Key": "k", "Value": "v" * 257}],
            "InvalidTagParameterException",
            "the value of 'k' must have at most 256 characters",
            id="long-value",
        ),
        pytest.param(
            [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}],
            "InvalidTagParameterException",
            "a key is given twice",
            id="twice",
        ),
    ],
)
def test_create_repository_refuses_bad_resource_tags(
    server: Server, tags: list[dict[str, str]], code: str, message: str
) -> None:
    refusal = create(server, {"repositoryName": "never/made", "tags": tags})

    assert refusal[:2] == (400, code)
    assert message in refusal[2]


def test_create_repository_accepts_the_most_resource_tags(ecr: ECRClient) -> None:
    longest = [{"Key": f"{number:0128}", "Value": "v" * 256} for number in range(50)]

    created = ecr.create_repository(
        repositoryName="made/tagged",
        tags=longest,  # type: ignore[arg-type] # no TypedDict
    )

    assert created["repository"]["repositoryName"] == "made/tagged"


def test_create_repository_refuses_a_key_with_plain_encryption(server: Server) -> None:
    configuration = {"encryptionType": "AES256", "kmsKey": "1234"}

    _, code, message = create(
        server, {"repositoryName": "never/made", "encryptionConfiguration": configuration}
    )

    assert code == "InvalidParameterException"
    assert "kmsKey cannot be set with AES256" in message


def test_describe_repositories_pages_in_order_of_name(registry: ECRClient) -> None:
    pages = registry.get_paginator("describe_repositories").paginate(
        PaginationConfig={"PageSize": 2}
    )

    names = [[one["repositoryName"] for one in page["repositories"]] for page in pages]

    assert names == [["r/1", "r/2"], ["r/3", "r/4"], ["r/5"]]


@pytest.mark.parametrize("size", [5, 6])
def test_describe_repositories_gives_no_token_on_the_last_page(
    registry: ECRClient, size: int
) -> None:
    page = registry.describe_repositories(maxResults=size)

    assert len(page["repositories"]) == 5
    assert "nextToken" not in page


def test_describe_repositories_answers_in_the_order_asked(registry: ECRClient) -> None:
    names = ["r/4", "r/1", "r/2"]

    found = registry.describe_repositories(repositoryNames=names)["repositories"]

    assert [one["repositoryName"] for one in found] == names


def test_describe_repositories_refuses_an_unknown_name(registry: ECRClient) -> None:
    with pytest.raises(registry.exceptions.RepositoryNotFoundException) as caught:
        registry.describe_repositories(repositoryNames=["r/1", "r/9", "r/8"])

    assert caught.value.response["Error"]["Message"] == (
        f"The repository with name 'r/9' does not exist in the registry with id '{ACCOUNT}'"
    )


@pytest.mark.parametrize(
    "paging",
    [pytest.param({"maxResults": 1}, id="size"), pytest.param({"nextToken": "x"}, id="token")],
)
def test_describe_repositories_refuses_paging_with_names(
    server: Server, paging: dict[str, Any]
) -> None:
    body = json.dumps({"repositoryNames": ["ab"], **paging}).encode()

    _, code, message = error_of(call(server, "DescribeRepositories", body))

    assert code == "InvalidParameterException"
    assert "nextToken and maxResults cannot be used with repositoryNames" in message


def test_describe_repositories_of_another_account_is_denied(ecr: ECRClient) -> None:
    with pytest.raises(ClientError, match="is not authorized to perform") as caught:
        ecr.describe_repositories(registryId=OTHER_ACCOUNT)

    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_describe_repositories_does_not_tell_what_another_account_has(ecr: ECRClient) -> None:
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException, match=OTHER_ACCOUNT):
        ecr.describe_repositories(registryId=OTHER_ACCOUNT, repositoryNames=["ab"])


def test_describe_repositories_sees_its_region_only(server: Server) -> None:
    found = server.ecr(region="ap-south-1").describe_repositories()

    assert found["repositories"] == []


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("nonsense", id="nonsense"),
        pytest.param("", id="empty"),
        pytest.param("eyJhdCI6ImEifQ.AAAA", id="forged"),
        pytest.param("\N{SNOWMAN}", id="no-ascii"),
    ],
)
def test_page_token_that_was_not_issued_is_refused(ecr: ECRClient, token: str) -> None:
    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid token"):
        ecr.describe_repositories(nextToken=token)


def test_page_token_of_another_list_is_refused(
    ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    name = make_repository()
    make_repository()
    token = ecr.describe_repositories(maxResults=1)["nextToken"]

    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid token"):
        ecr.list_images(repositoryName=name, nextToken=token)


def test_page_token_of_another_region_is_refused(
    server: Server, ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    make_repository()
    make_repository()
    token = ecr.describe_repositories(maxResults=1)["nextToken"]
    elsewhere = server.ecr(region="eu-west-1")

    with pytest.raises(elsewhere.exceptions.InvalidParameterException, match="Invalid token"):
        elsewhere.describe_repositories(nextToken=token)


def test_delete_repository_gives_its_last_state(ecr: ECRClient, repository: str) -> None:
    (described,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]

    deleted = ecr.delete_repository(repositoryName=repository)["repository"]

    assert deleted == described
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_repositories(repositoryNames=[repository])


def test_delete_repository_refuses_one_with_images(ecr: ECRClient, repository: str) -> None:
    push_image(ecr, repository, make_image())

    with pytest.raises(ecr.exceptions.RepositoryNotEmptyException) as caught:
        ecr.delete_repository(repositoryName=repository)

    assert caught.value.response["Error"]["Message"] == (
        f"The repository with name '{repository}' in registry with id '{ACCOUNT}' cannot be "
        "deleted because it still contains images"
    )


def test_delete_repository_with_force_takes_all_with_it(ecr: ECRClient, repository: str) -> None:
    image = make_image(10, 20)
    push_image(ecr, repository, image, "a", "b")
    upload_id = start_upload(ecr, repository, b"begun")

    ecr.delete_repository(repositoryName=repository, force=True)

    ecr.create_repository(repositoryName=repository)
    checked = ecr.batch_check_layer_availability(
        repositoryName=repository, layerDigests=[blob.digest for blob in image.blobs]
    )
    assert {one["layerAvailability"] for one in checked["layers"]} == {"UNAVAILABLE"}
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []
    with pytest.raises(ecr.exceptions.UploadNotFoundException):
        ecr.complete_layer_upload(
            repositoryName=repository, uploadId=upload_id, layerDigests=["sha256:00"]
        )


def test_delete_repository_refuses_an_unknown_name(ecr: ECRClient) -> None:
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.delete_repository(repositoryName="never/made", force=True)


def test_repository_uri_follows_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "ecrate.toml"
    config.write_text('registry_host = "{account}.{region}.example:8443"\n')

    with running_server(tmp_path / "data", "--config", str(config)) as running:
        created = running.ecr().create_repository(repositoryName="ab")["repository"]

    assert created["repositoryUri"] == f"{ACCOUNT}.{REGION}.example:8443/ab"
