"""aws_ecr_replication_configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support.terraform import apply, code_of
from tests.support.terraform_replication import ReplicationConfiguration

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient


def plan(account: str, *regions: str, prefix: str = "") -> dict[str, Any]:
    filters = [{"filter": prefix, "filter_type": "PREFIX_MATCH"}] if prefix else []
    destinations = [{"region": region, "registry_id": account} for region in regions]
    rule = {"destination": destinations, "repository_filter": filters}
    return {"registry_id": account, "rule": [rule]}


def test_replication_configuration_is_as_planned(ecr: ECRClient, account: str) -> None:
    resource = ReplicationConfiguration(ecr)
    first = plan(account, "us-west-2")
    second = plan(account, "eu-west-1", "us-west-2", prefix="prod-microservice")

    made = apply(resource, first)
    updated = apply(resource, second, made)
    resource.delete(updated)

    assert (made, updated) == (first, second)
    assert resource.read(account) is None


def test_replication_configuration_somebody_removed_is_gone(ecr: ECRClient, account: str) -> None:
    resource = ReplicationConfiguration(ecr)
    state = apply(resource, plan(account, "us-west-2"))

    ecr.put_replication_configuration(replicationConfiguration={"rules": []})

    assert resource.read(account) is None
    resource.delete(state)


def test_replication_configuration_to_itself_is_refused(ecr: ECRClient, account: str) -> None:
    with pytest.raises(ClientError) as caught:
        ReplicationConfiguration(ecr).create(plan(account, "us-east-1"))

    assert code_of(caught.value) == "InvalidParameterException"
