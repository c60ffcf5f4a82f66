"""aws_ecr_repository_creation_template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import terraform as tf
from tests.support.lifecycle import policy as lifecycle_policy
from tests.support.lifecycle import rule
from tests.support.policies import allow, policy
from tests.support.terraform import State, apply, drift

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

FILTERS = [{"filter": "dev*", "filter_type": "WILDCARD"}]
OTHER_FILTERS = [*FILTERS, {"filter": "latest", "filter_type": "WILDCARD"}]
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
POLICY = policy(allow("ecr:ListImages", Principal="*"))
OTHER_POLICY = policy(allow("ecr:*", Principal={"AWS": "arn:aws:iam::111122223333:root"}))
EXPIRY = lifecycle_policy(rule(1))
OTHER_EXPIRY = lifecycle_policy(rule(1, "untagged", countType="sinceImagePushed", countNumber=14))
PRINCIPAL = "arn:aws:iam::111122223333:role/scanner"


TEMPLATE = {
    "prefix": "team/web",
    "applied_for": ["PULL_THROUGH_CACHE", "REPLICATION"],
    "custom_role_arn": "arn:aws:iam::111122223333:role/creator",
    "description": "For the web",
    "encryption_configuration": {"encryption_type": "KMS", "kms_key": KEY},
    "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
    "image_tag_mutability_exclusion_filter": FILTERS,
    "lifecycle_policy": tf.normal(EXPIRY),
    "repository_policy": tf.normal(POLICY),
    "resource_tags": {"owner": "web"},
}
SMALL = {"prefix": "ROOT", "applied_for": ["CREATE_ON_PUSH"]}


@pytest.mark.parametrize("plan", [SMALL, TEMPLATE], ids=["small", "all"])
def test_creation_template_is_as_planned(ecr: ECRClient, account: str, plan: State) -> None:
    state = apply(tf.CreationTemplate(ecr), plan)

    assert drift(plan, state) == {}
    assert state["registry_id"] == account


def test_creation_template_has_the_providers_defaults(ecr: ECRClient) -> None:
    state = apply(tf.CreationTemplate(ecr), SMALL)

    assert state == {
        **dict.fromkeys(
            ["custom_role_arn", "description", "lifecycle_policy", "repository_policy"], ""
        ),
        **SMALL,
        "registry_id": state["registry_id"],
        "encryption_configuration": {"encryption_type": "AES256", "kms_key": ""},
        "image_tag_mutability": "MUTABLE",
        "image_tag_mutability_exclusion_filter": [],
        "resource_tags": {},
    }


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"applied_for": ["CREATE_ON_PUSH"]}, id="applied-for"),
        pytest.param({"custom_role_arn": PRINCIPAL}, id="role"),
        pytest.param({"custom_role_arn": ""}, id="no-role"),
        pytest.param({"description": "Another"}, id="description"),
        pytest.param({"description": ""}, id="no-description"),
        pytest.param(
            {"encryption_configuration": {"encryption_type": "AES256", "kms_key": ""}},
            id="encryption",
        ),
        pytest.param(
            {"image_tag_mutability": "MUTABLE", "image_tag_mutability_exclusion_filter": []},
            id="mode",
        ),
        pytest.param({"image_tag_mutability_exclusion_filter": OTHER_FILTERS}, id="filters"),
        pytest.param({"lifecycle_policy": tf.normal(OTHER_EXPIRY)}, id="lifecycle-policy"),
        pytest.param({"lifecycle_policy": ""}, id="no-lifecycle-policy"),
        pytest.param({"repository_policy": tf.normal(OTHER_POLICY)}, id="repository-policy"),
        pytest.param({"repository_policy": ""}, id="no-repository-policy"),
        pytest.param({"resource_tags": {"owner": "all", "more": "1"}}, id="tags"),
        pytest.param({"resource_tags": {}}, id="no-tags"),
    ],
)
def test_creation_template_is_updated(ecr: ECRClient, change: State) -> None:
    template = tf.CreationTemplate(ecr)
    first = apply(template, TEMPLATE)

    state = apply(template, TEMPLATE | change, first)

    assert drift(TEMPLATE | change, state) == {}


def test_creation_template_that_others_changed_drifts(ecr: ECRClient) -> None:
    template = tf.CreationTemplate(ecr)
    apply(template, TEMPLATE)
    ecr.update_repository_creation_template(prefix="team/web", description="By hand")

    state = template.read("team/web")

    assert state is not None
    assert drift(TEMPLATE, state) == {"description": "By hand"}
    assert drift(TEMPLATE, apply(template, TEMPLATE, state)) == {}


def test_creation_template_that_is_gone_is_deleted_without_complaint(ecr: ECRClient) -> None:
    template = tf.CreationTemplate(ecr)
    state = apply(template, SMALL)
    template.delete(state)

    template.delete(state)

    assert template.read("ROOT") is None
