"""aws_ecr_pull_through_cache_rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import terraform as tf
from tests.support.server import Server
from tests.support.terraform import State, apply, drift
from tests.support.upstream import put_secret

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

SMALL = {"ecr_repository_prefix": "public", "upstream_registry_url": "public.ecr.aws"}
ROLE = "arn:aws:iam::111122223333:role/puller"


@pytest.fixture
def secret(dev_server: Server, account: str) -> str:
    """The ARN of a secret of the account."""
    return put_secret(dev_server.data / "secrets", account, "docker-hub", "test")


def whole(secret: str) -> State:
    return {
        "ecr_repository_prefix": "docker-hub/official",
        "upstream_registry_url": "registry-1.docker.io",
        "upstream_repository_prefix": "library",
        "credential_arn": secret,
        "custom_role_arn": ROLE,
    }


def test_rule_has_the_providers_defaults(ecr: ECRClient, account: str) -> None:
    state = apply(tf.PullThroughCacheRule(ecr), SMALL)

    assert state == {
        **SMALL,
        "registry_id": account,
        "credential_arn": "",
        "custom_role_arn": "",
        "upstream_repository_prefix": "",
    }


def test_rule_is_as_planned(ecr: ECRClient, secret: str) -> None:
    plan = whole(secret)

    assert drift(plan, apply(tf.PullThroughCacheRule(ecr), plan)) == {}


def test_rule_of_the_root_is_as_planned(ecr: ECRClient) -> None:
    plan = {
        "ecr_repository_prefix": "ROOT",
        "upstream_registry_url": "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
        "upstream_repository_prefix": "ROOT",
    }

    assert drift(plan, apply(tf.PullThroughCacheRule(ecr), plan)) == {}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"custom_role_arn": f"{ROLE}-2"}, id="role"),
        pytest.param({}, id="nothing"),
    ],
)
def test_rule_is_updated(ecr: ECRClient, secret: str, change: State) -> None:
    rule, plan = tf.PullThroughCacheRule(ecr), whole(secret)
    first = apply(rule, plan)

    state = apply(rule, plan | change, first)

    assert drift(plan | change, state) == {}


def test_rule_gets_another_secret(
    ecr: ECRClient, dev_server: Server, account: str, secret: str
) -> None:
    rule, plan = tf.PullThroughCacheRule(ecr), whole(secret)
    other = put_secret(dev_server.data / "secrets", account, "other", "test")
    first = apply(rule, plan)

    state = apply(rule, plan | {"credential_arn": other}, first)

    assert drift(plan | {"credential_arn": other}, state) == {}


def test_rule_that_is_there_already_is_refused(ecr: ECRClient) -> None:
    rule = tf.PullThroughCacheRule(ecr)
    apply(rule, SMALL)

    with pytest.raises(ecr.exceptions.PullThroughCacheRuleAlreadyExistsException):
        rule.create(SMALL)


def test_rule_that_is_gone_is_deleted_without_complaint(ecr: ECRClient) -> None:
    rule = tf.PullThroughCacheRule(ecr)
    state = apply(rule, SMALL)
    rule.delete(state)

    rule.delete(state)

    assert rule.read("public") is None
