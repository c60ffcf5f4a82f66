"""aws_ecr_repository_policy, aws_ecr_lifecycle_policy and its document, aws_ecr_registry_policy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support import terraform as tf
from tests.support.lifecycle import policy as lifecycle_policy
from tests.support.lifecycle import rule
from tests.support.policies import allow, deny, policy
from tests.support.terraform import State, apply
from tests.support.terraform_data import lifecycle_policy_document

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

POLICY = policy(allow("ecr:ListImages", Principal="*"))
OTHER_POLICY = policy(allow("ecr:*", Principal={"AWS": "arn:aws:iam::111122223333:root"}))
EXPIRY = lifecycle_policy(rule(1))
OTHER_EXPIRY = lifecycle_policy(rule(1, "untagged", countType="sinceImagePushed", countNumber=14))
OF_REGISTRY = policy(deny("ecr:BatchDeleteImage", Principal="*", Resource="*"))
OTHER_OF_REGISTRY = policy(deny("ecr:PutImage", Principal="*", Resource="*"))


# Resources that hold a text, each with two of them.
Texts = tuple[str, str]
HOLDERS: dict[str, tuple[type[Any], Texts]] = {
    "repository": (tf.RepositoryPolicy, (POLICY, OTHER_POLICY)),
    "lifecycle": (tf.LifecyclePolicy, (EXPIRY, OTHER_EXPIRY)),
    "registry": (
        tf.RegistryPolicy,
        (OF_REGISTRY, policy(*[deny("ecr:PutImage", Principal="*", Resource="*")])),
    ),
}
holders = pytest.mark.parametrize(("kind", "texts"), HOLDERS.values(), ids=HOLDERS)


def planned(text: str) -> State:
    return {"repository": "app", "policy": tf.normal(text)}


@holders
def test_policy_is_as_planned_whatever_its_layout(
    ecr: ECRClient, account: str, kind: type[Any], texts: Texts
) -> None:
    ecr.create_repository(repositoryName="app")
    spread = json.dumps(json.loads(texts[0]), indent=4)

    state = apply(kind(ecr), {"repository": "app", "policy": spread})

    assert state["policy"] == tf.normal(texts[0])
    assert state["registry_id"] == account


@holders
def test_policy_is_replaced(ecr: ECRClient, kind: type[Any], texts: Texts) -> None:
    ecr.create_repository(repositoryName="app")
    first = apply(kind(ecr), planned(texts[0]))

    second = apply(kind(ecr), planned(texts[1]), first)

    assert first["policy"] != second["policy"] == tf.normal(texts[1])


@holders
def test_policy_that_others_deleted_is_put_again(
    ecr: ECRClient, kind: type[Any], texts: Texts
) -> None:
    ecr.create_repository(repositoryName="app")
    resource = kind(ecr)
    state = apply(resource, planned(texts[0]))
    resource.delete(state)

    gone = resource.read(state[resource.id_of])

    assert gone is None
    assert apply(resource, planned(texts[0])) == state


@holders
def test_policy_that_is_gone_is_deleted_without_complaint(
    ecr: ECRClient, kind: type[Any], texts: Texts
) -> None:
    ecr.create_repository(repositoryName="app")
    resource = kind(ecr)
    state = apply(resource, planned(texts[0]))
    ecr.delete_repository(repositoryName="app")

    resource.delete(state)
    resource.delete(state)

    assert resource.read(state[resource.id_of]) is None


def test_policy_that_is_none_is_told_apart_from_one_that_may_come_right(ecr: ECRClient) -> None:
    """The provider repeats a refusal that says `Principal not found` for two minutes, and older
    ones any `Invalid repository policy provided`; the former never comes from here.
    """
    ecr.create_repository(repositoryName="app")

    with pytest.raises(ClientError) as caught:
        tf.RepositoryPolicy(ecr).create({"repository": "app", "policy": "{}"})

    assert tf.code_of(caught.value) == "InvalidParameterException"
    assert "Principal not found" not in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(
            [{"priority": 1, "tagStatus": "untagged", "countType": "sinceImagePushed",
              "countUnit": "days", "countNumber": 14}],
            id="untagged",
        ),
        pytest.param(
            [{"priority": 1, "description": "One", "tagStatus": "tagged", "tagPrefixList": ["v"],
              "countType": "imageCountMoreThan", "countNumber": 30},
             {"priority": 2, "tagStatus": "any", "countType": "imageCountMoreThan",
              "countNumber": 100}],
            id="prefix-and-any",
        ),
        pytest.param(
            [{"priority": 1, "tagStatus": "tagged", "tagPatternList": ["prod*"],
              "countType": "imageCountMoreThan", "countNumber": 1}],
            id="pattern",
        ),
    ],
)  # fmt: skip
def test_lifecycle_policy_document_is_accepted(ecr: ECRClient, rules: list[State]) -> None:
    ecr.create_repository(repositoryName="app")
    document = lifecycle_policy_document(*rules)

    state = apply(tf.LifecyclePolicy(ecr), {"repository": "app", "policy": document})

    assert state["policy"] == tf.normal(document)
