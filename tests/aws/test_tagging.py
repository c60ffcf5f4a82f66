"""TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.server import ACCOUNT, REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import TagTypeDef

ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"


def tags_of(pairs: Sequence[tuple[str, str]]) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in pairs]


def listed(ecr: ECRClient, repository: str) -> list[tuple[str, str]]:
    tags = ecr.list_tags_for_resource(resourceArn=f"{ARN}/{repository}")["tags"]
    return [(tag["Key"], tag["Value"]) for tag in tags]


def test_tag_resource_adds_to_the_tags_and_overwrites_by_key(
    ecr: ECRClient, repository: str
) -> None:
    arn = f"{ARN}/{repository}"
    ecr.tag_resource(resourceArn=arn, tags=tags_of([("team", "a"), ("stage", "")]))

    answer = ecr.tag_resource(resourceArn=arn, tags=tags_of([("Team", "c"), ("team", "b")]))

    assert answer.keys() == {"ResponseMetadata"}
    assert listed(ecr, repository) == [("Team", "c"), ("stage", ""), ("team", "b")]


def test_list_tags_for_resource_gives_those_of_the_creation(ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="tagging/created", tags=tags_of([("b", "2"), ("a", "1")]))

    assert listed(ecr, "tagging/created") == [("a", "1"), ("b", "2")]


def test_list_tags_for_resource_without_tags_is_empty(ecr: ECRClient, repository: str) -> None:
    assert ecr.list_tags_for_resource(resourceArn=f"{ARN}/{repository}")["tags"] == []


def test_untag_resource_removes_what_is_there(ecr: ECRClient, repository: str) -> None:
    arn = f"{ARN}/{repository}"
    ecr.tag_resource(resourceArn=arn, tags=tags_of([("a", "1"), ("b", "2"), ("c", "3")]))

    answer = ecr.untag_resource(resourceArn=arn, tagKeys=["a", "c", "never set", "aws:x"])

    assert answer.keys() == {"ResponseMetadata"}
    assert listed(ecr, repository) == [("b", "2")]


def test_tag_resource_takes_fifty_tags_and_no_more(ecr: ECRClient, repository: str) -> None:
    arn = f"{ARN}/{repository}"
    fifty = [(f"key-{number:02}", "v" * 256) for number in range(50)]
    ecr.tag_resource(resourceArn=arn, tags=tags_of(fifty))
    ecr.tag_resource(resourceArn=arn, tags=tags_of(fifty))

    with pytest.raises(ecr.exceptions.TooManyTagsException):
        ecr.tag_resource(resourceArn=arn, tags=tags_of([("key-00", "new"), ("one more", "")]))

    assert listed(ecr, repository) == fifty


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        pytest.param([("", "v")], "1 to 128 characters", id="empty-key"),
        pytest.param([("k" * 129, "v")], "1 to 128 characters", id="long-key"),
        pytest.param([("k", "v" * 257)], "at most 256 characters", id="long-value"),
        pytest.param([("aws:k", "v")], "not begin with 'aws:'", id="reserved"),
        pytest.param([("AWS:k", "v")], "not begin with 'aws:'", id="reserved-in-capitals"),
        pytest.param([("k", "v"), ("k", "w")], "twice", id="key-twice"),
    ],
)
def test_tag_resource_refuses_bad_tags(
    ecr: ECRClient, repository: str, tags: list[tuple[str, str]], match: str
) -> None:
    with pytest.raises(ecr.exceptions.InvalidTagParameterException, match=match):
        ecr.tag_resource(resourceArn=f"{ARN}/{repository}", tags=tags_of([("good", "one"), *tags]))

    assert listed(ecr, repository) == []


def test_tag_resource_refuses_more_than_fifty_at_once(ecr: ECRClient, repository: str) -> None:
    tags = tags_of([(f"key-{number}", "") for number in range(51)])

    with pytest.raises(ecr.exceptions.TooManyTagsException):
        ecr.tag_resource(resourceArn=f"{ARN}/{repository}", tags=tags)


@pytest.mark.parametrize(
    "arn",
    [
        pytest.param("r", id="no-arn"),
        pytest.param(f"arn:aws:s3:{REGION}:{ACCOUNT}:repository/r1", id="other-service"),
        pytest.param(f"arn:aws:ecr:{REGION}:{ACCOUNT}:registry/r1", id="other-resource"),
        pytest.param(f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/", id="no-name"),
        pytest.param(f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/R1", id="bad-name"),
        pytest.param(f"arn:aws:ecr:{REGION}:12:repository/r1", id="bad-account"),
        pytest.param(f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/r1", id="other-region"),
    ],
)
def test_tagging_refuses_what_is_no_arn_of_a_repository(ecr: ECRClient, arn: str) -> None:
    with pytest.raises(ClientError) as refused:
        ecr.list_tags_for_resource(resourceArn=arn)

    assert refused.value.response["Error"] == {
        "Code": "InvalidParameterException",
        "Message": "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'",
    }


@pytest.mark.parametrize(
    "arn",
    [
        pytest.param(f"{ARN}/never/made", id="own"),
        pytest.param(f"arn:aws:ecr:{REGION}:999999999999:repository/never/made", id="others"),
    ],
)
@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        pytest.param("tag_resource", {"tags": [{"Key": "k", "Value": "v"}]}, id="tag"),
        pytest.param("untag_resource", {"tagKeys": ["k"]}, id="untag"),
        pytest.param("list_tags_for_resource", {}, id="list"),
    ],
)
def test_tagging_needs_a_repository(
    ecr: ECRClient, operation: str, parameters: dict[str, object], arn: str
) -> None:
    account = arn.split(":")[4]

    with pytest.raises(ecr.exceptions.RepositoryNotFoundException) as missing:
        getattr(ecr, operation)(resourceArn=arn, **parameters)

    assert missing.value.response["Error"]["Message"] == (
        f"The repository with name 'never/made' does not exist in the registry with id '{account}'"
    )
