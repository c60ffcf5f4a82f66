"""The registry operations: description, account settings, pull time update exclusions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecrate.aws.call import DEFAULT_PAGE, Call
from ecrate.aws.replication import render_rules
from ecrate.operations import registry

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t


def describe_registry(call: Call[dict[str, Any]]) -> dict[str, Any]:
    described = registry.describe_registry(call.core, call.caller, call.registry())
    return {
        "registryId": described.ref.id,
        "replicationConfiguration": render_rules(described.replication_rules),
    }


def put_account_setting(call: Call[t.PutAccountSettingRequestTypeDef]) -> dict[str, Any]:
    name, value = call.parameters["name"], call.parameters["value"]
    registry.put_account_setting(call.core, call.caller, call.registry(), name, value)
    return {"name": name, "value": value}


def get_account_setting(call: Call[t.GetAccountSettingRequestTypeDef]) -> dict[str, Any]:
    name = call.parameters["name"]
    value = registry.get_account_setting(call.core, call.caller, call.registry(), name)
    return {"name": name, "value": value}


def register_pull_time_update_exclusion(
    call: Call[t.RegisterPullTimeUpdateExclusionRequestTypeDef],
) -> dict[str, Any]:
    exclusion = registry.register_pull_time_update_exclusion(
        call.core, call.caller, call.registry(), call.parameters["principalArn"]
    )
    return {
        "principalArn": exclusion.principal_arn,
        "createdAt": round(exclusion.created_at, 3),
    }


def deregister_pull_time_update_exclusion(
    call: Call[t.DeregisterPullTimeUpdateExclusionRequestTypeDef],
) -> dict[str, Any]:
    principal_arn = call.parameters["principalArn"]
    registry.deregister_pull_time_update_exclusion(
        call.core, call.caller, call.registry(), principal_arn
    )
    return {"principalArn": principal_arn}


def list_pull_time_update_exclusions(
    call: Call[t.ListPullTimeUpdateExclusionsRequestTypeDef],
) -> dict[str, Any]:
    given, scope = call.parameters, "ListPullTimeUpdateExclusions"
    token = given.get("nextToken")
    found, position = registry.list_pull_time_update_exclusions(
        call.core,
        call.caller,
        call.registry(),
        after="" if token is None else call.page_position(scope, token),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer: dict[str, Any] = {"pullTimeUpdateExclusions": found}
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer
