"""aws_ecr_account_setting, aws_ecr_pull_time_update_exclusion, and the provider itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support import terraform as tf
from tests.support.terraform import apply

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

PRINCIPAL = "arn:aws:iam::111122223333:role/scanner"


def test_provider_learns_its_account(connect: Callable[[str], Any], account: str) -> None:
    identity = connect("sts").get_caller_identity()

    assert identity["Account"] == account
    assert identity["Arn"].split(":")[4] == account


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE", id="scanner"),
        pytest.param("REGISTRY_POLICY_SCOPE", "V2", id="scope"),
    ],
)
def test_account_setting_is_as_planned(ecr: ECRClient, name: str, value: str) -> None:
    plan = {"name": name, "value": value}
    setting = tf.AccountSetting(ecr)
    state = apply(setting, plan)
    setting.delete(state)

    again = apply(setting, plan, state)

    assert state == again == plan


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("BASIC_SCAN_TYPE_VERSION", "CLAIR", id="scanner"),
        pytest.param("REGISTRY_POLICY_SCOPE", "V1", id="scope"),
    ],
)
def test_account_setting_that_is_retired_is_refused(ecr: ECRClient, name: str, value: str) -> None:
    before = tf.AccountSetting(ecr).read(name)

    with pytest.raises(ClientError) as caught:
        tf.AccountSetting(ecr).create({"name": name, "value": value})

    assert tf.code_of(caught.value) == "InvalidParameterException"
    assert tf.AccountSetting(ecr).read(name) == before


def _rule(frequency: str, *filters: str) -> dict[str, Any]:
    listed = [{"filter": one, "filter_type": "WILDCARD"} for one in filters]
    return {"scan_frequency": frequency, "repository_filter": listed}


def test_registry_scanning_configuration_is_as_planned(ecr: ECRClient, account: str) -> None:
    scanning = tf.RegistryScanningConfiguration(ecr)
    first = {"registry_id": account, "scan_type": "BASIC", "rule": []}
    rules = [_rule("SCAN_ON_PUSH", "example"), _rule("CONTINUOUS_SCAN", "prod*", "*")]
    second = {"registry_id": account, "scan_type": "ENHANCED", "rule": rules}

    before = apply(scanning, first)
    after = apply(scanning, second, before)
    scanning.delete(after)

    assert (before, after, scanning.read(account)) == (first, second, first)


def test_pull_time_exclusion_comes_and_goes(ecr: ECRClient) -> None:
    exclusion = tf.PullTimeExclusion(ecr)
    plan = {"principal_arn": PRINCIPAL}
    state = apply(exclusion, plan)

    exclusion.delete(state)
    exclusion.delete(state)

    assert state == plan
    assert exclusion.read(PRINCIPAL) is None


def test_pull_time_exclusion_is_found_among_many(ecr: ECRClient) -> None:
    exclusion = tf.PullTimeExclusion(ecr)
    arns = [f"{PRINCIPAL}-{number:03}" for number in range(100)]
    for arn in arns:
        exclusion.create({"principal_arn": arn})

    found = [exclusion.read(arn) for arn in (arns[0], arns[-1], PRINCIPAL)]

    assert found == [{"principal_arn": arns[0]}, {"principal_arn": arns[-1]}, None]
