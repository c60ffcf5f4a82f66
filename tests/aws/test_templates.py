"""The operations on repository creation templates; what templates do is in tests/oci."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.policies import allow, policy
from tests.support.server import ACCOUNT, REGION, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

_NUMBERS = itertools.count(1)
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0000-1111"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/templates"
POLICY = policy(allow("ecr:BatchGetImage", Principal="*"))
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "imageCountMoreThan",
                    "countNumber": 5,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
WHOLE: dict[str, Any] = {
    "description": "for the team",
    "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": KEY},
    "resourceTags": [{"Key": "team", "Value": "a"}],
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}],
    "repositoryPolicy": POLICY,
    "lifecyclePolicy": LIFECYCLE,
    "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"],
    "customRoleArn": ROLE,
}


@pytest.fixture
def place(server: Server) -> ECRClient:
    """A client of a registry that no other test uses."""
    return server.ecr(region=f"templates-{next(_NUMBERS)}")


def create(ecr: ECRClient, prefix: str, **members: Any) -> Any:
    """Create a template; give it without its times."""
    given: Any = {"prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"], **members}
    answer = ecr.create_repository_creation_template(**given)
    assert answer["registryId"] == ACCOUNT
    return timeless(answer["repositoryCreationTemplate"])


def update(ecr: ECRClient, prefix: str, **members: Any) -> Any:
    given: Any = {"prefix": prefix, **members}
    answer = ecr.update_repository_creation_template(**given)
    return timeless(answer["repositoryCreationTemplate"])


def timeless(template: Any) -> Any:
    times = {"createdAt", "updatedAt"}
    assert times <= template.keys()
    return {name: value for name, value in template.items() if name not in times}


def described(ecr: ECRClient, *prefixes: str) -> list[Any]:
    answer = ecr.describe_repository_creation_templates(prefixes=list(prefixes))
    assert answer["registryId"] == ACCOUNT
    return [timeless(one) for one in answer["repositoryCreationTemplates"]]


def test_create_repository_creation_template_fills_in_defaults(place: ECRClient) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    answer = place.create_repository_creation_template(prefix="a", appliedFor=["REPLICATION"])

    made = answer["repositoryCreationTemplate"]
    assert before <= made["createdAt"] == made["updatedAt"] <= datetime.now(UTC)
    assert timeless(made) == {
        "prefix": "a",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "imageTagMutability": "MUTABLE",
        "appliedFor": ["REPLICATION"],
    }


def test_create_repository_creation_template_keeps_all_that_is_given(place: ECRClient) -> None:
    made = create(place, "a/b", **WHOLE)

    assert made == {"prefix": "a/b", **WHOLE}
    assert described(place, "a/b") == [made]


def test_create_repository_creation_template_takes_each_prefix_once(place: ECRClient) -> None:
    create(place, "ROOT", description="first")

    with pytest.raises(place.exceptions.TemplateAlreadyExistsException) as refused:
        create(place, "ROOT", description="second")

    assert refused.value.response["Error"]["Message"] == (
        "The Repository Creation Template with prefix 'ROOT' already exists in the registry with "
        f"id '{ACCOUNT}'"
    )
    assert described(place, "ROOT")[0]["description"] == "first"


def test_create_repository_creation_template_takes_a_hundred(place: ECRClient) -> None:
    for number in range(100):
        create(place, f"a{number}")

    with pytest.raises(place.exceptions.LimitExceededException, match="is '100'"):
        create(place, "one-more")

    assert described(place, "one-more") == []


REFUSED = [
    pytest.param(
        {"repositoryPolicy": "{}"},
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: "
        "'Invalid repository policy provided'",
        id="repository-policy",
    ),
    pytest.param(
        {"lifecyclePolicy": "not JSON"},
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle "
        "policy validation failure: Could not map policyString into LifecyclePolicy.'",
        id="lifecycle-policy",
    ),
    pytest.param(
        {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"},
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
        "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "
        "IMMUTABLE_WITH_EXCLUSION'",
        id="no-filters",
    ),
    pytest.param(
        {"encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": KEY}},
        "Invalid parameter at 'encryptionConfiguration.kmsKey' failed to satisfy constraint: "
        "'kmsKey cannot be set with AES256'",
        id="key-without-kms",
    ),
    pytest.param(
        {"resourceTags": [{"Key": "aws:k", "Value": "v"}]},
        "Invalid parameter at 'resourceTags' failed to satisfy constraint: 'Invalid resource "
        "tag: key 'aws:k' must have 1 to 128 characters and not begin with 'aws:''",
        id="reserved-tag",
    ),
    pytest.param(
        {"resourceTags": [{"Key": f"k{number}", "Value": ""} for number in range(51)]},
        "Invalid parameter at 'resourceTags' failed to satisfy constraint: 'Member must have "
        "length less than or equal to 50'",
        id="too-many-tags",
    ),
    pytest.param(
        {"appliedFor": ["BIRTHDAYS"]},
        "Invalid parameter at 'appliedFor.1.member' failed to satisfy constraint: 'Member must "
        "satisfy enum value set: [REPLICATION, PULL_THROUGH_CACHE, CREATE_ON_PUSH]'",
        id="occasion",
    ),
]


@pytest.mark.parametrize(("members", "message"), REFUSED)
def test_create_repository_creation_template_refuses(
    place: ECRClient, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException) as refused:
        create(place, "a", **members)

    assert refused.value.response["Error"]["Message"] == message
    assert described(place, "a") == []


@pytest.mark.parametrize(("members", "message"), REFUSED)
def test_update_repository_creation_template_refuses(
    place: ECRClient, members: dict[str, Any], message: str
) -> None:
    made = create(place, "a")

    with pytest.raises(place.exceptions.InvalidParameterException) as refused:
        update(place, "a", **members)

    assert refused.value.response["Error"]["Message"] == message
    assert described(place, "a") == [made]


@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param("A", id="capital"),
        pytest.param("a//b", id="two-slashes"),
        pytest.param("/a", id="leading-slash"),
        pytest.param("ROOT/a", id="below-root"),
    ],
)
def test_create_repository_creation_template_checks_the_prefix(
    place: ECRClient, prefix: str
) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException, match="'prefix'"):
        create(place, prefix)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("appliedFor", ["PULL_THROUGH_CACHE"], id="occasions"),
        pytest.param("customRoleArn", f"{ROLE}-2", id="role"),
        pytest.param("description", "other", id="description"),
        pytest.param(
            "encryptionConfiguration", {"encryptionType": "KMS_DSSE"}, id="encryption-without-key"
        ),
        pytest.param("imageTagMutability", "MUTABLE_WITH_EXCLUSION", id="mutability"),
        pytest.param(
            "imageTagMutabilityExclusionFilters",
            [{"filterType": "WILDCARD", "filter": "x"}],
            id="filters",
        ),
        pytest.param("lifecyclePolicy", LIFECYCLE.replace("5", "6"), id="lifecycle-policy"),
        pytest.param("repositoryPolicy", POLICY.replace("Batch", "*"), id="repository-policy"),
        pytest.param("resourceTags", [{"Key": "other", "Value": ""}], id="tags"),
    ],
)
def test_update_repository_creation_template_keeps_what_is_not_given(
    place: ECRClient, name: str, value: Any
) -> None:
    create(place, "a", **WHOLE)

    changed = update(place, "a", **{name: value})

    assert changed == {"prefix": "a", **WHOLE, name: value}
    assert described(place, "a") == [changed]


def test_update_repository_creation_template_clears_with_empty_texts(place: ECRClient) -> None:
    create(place, "a", **WHOLE)

    changed = update(
        place,
        "a",
        repositoryPolicy="",
        lifecyclePolicy="",
        customRoleArn="",
        resourceTags=[],
        imageTagMutability="IMMUTABLE",
        encryptionConfiguration={"encryptionType": "KMS", "kmsKey": ""},
    )

    assert changed == {
        "prefix": "a",
        "description": WHOLE["description"],
        "encryptionConfiguration": {"encryptionType": "KMS"},
        "imageTagMutability": "IMMUTABLE",
        "appliedFor": WHOLE["appliedFor"],
    }


def test_update_repository_creation_template_keeps_the_time_of_creation(place: ECRClient) -> None:
    made = place.create_repository_creation_template(prefix="a", appliedFor=["REPLICATION"])

    changed = place.update_repository_creation_template(prefix="a", description="new")

    before, after = made["repositoryCreationTemplate"], changed["repositoryCreationTemplate"]
    assert after["createdAt"] == before["createdAt"]
    assert after["updatedAt"] > before["updatedAt"]


@pytest.mark.parametrize(
    "operation", ["update_repository_creation_template", "delete_repository_creation_template"]
)
def test_template_that_is_changed_must_exist(place: ECRClient, operation: str) -> None:
    create(place, "a")

    with pytest.raises(place.exceptions.TemplateNotFoundException) as missing:
        getattr(place, operation)(prefix="a/b")

    assert missing.value.response["Error"]["Message"] == (
        "The Repository Creation Template with prefix 'a/b' does not exist in the registry with "
        f"id '{ACCOUNT}'"
    )


def test_delete_repository_creation_template_gives_it_as_it_was(place: ECRClient) -> None:
    made, other = create(place, "a", **WHOLE), create(place, "b")

    answer = place.delete_repository_creation_template(prefix="a")

    assert answer["registryId"] == ACCOUNT
    assert timeless(answer["repositoryCreationTemplate"]) == made
    assert described(place, "a", "b") == [other]


def test_describe_repository_creation_templates_leaves_out_what_is_not_there(
    place: ECRClient,
) -> None:
    first, second = create(place, "a"), create(place, "b")

    assert described(place, "b", "c", "a") == [second, first]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_describe_repository_creation_templates_pages_give_everything_once(
    place: ECRClient, size: int
) -> None:
    for prefix in ("b", "ROOT", "a"):
        create(place, prefix)
    paginator = place.get_paginator("describe_repository_creation_templates")

    pages = list(paginator.paginate(PaginationConfig={"PageSize": size}))

    found = [page["repositoryCreationTemplates"] for page in pages]
    assert [one["prefix"] for page in found for one in page] == ["ROOT", "a", "b"]
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)


def test_describe_repository_creation_templates_shows_those_of_its_region(
    place: ECRClient, ecr: ECRClient
) -> None:
    create(place, "templates/elsewhere")

    assert described(ecr, "templates/elsewhere") == []


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        pytest.param({"prefixes": ["a"], "maxResults": 1}, "'prefixes'", id="size-and-prefixes"),
        pytest.param({"prefixes": ["a"], "nextToken": "t"}, "'prefixes'", id="token-and-prefixes"),
        pytest.param({"nextToken": "made up"}, "Invalid token", id="token"),
    ],
)
def test_describe_repository_creation_templates_refuses(
    place: ECRClient, parameters: dict[str, Any], match: str
) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException, match=match):
        place.describe_repository_creation_templates(**parameters)
