"""Repository policies and the registry policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecrate.aws.call import Call
from ecrate.operations import policies

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t


def set_repository_policy(call: Call[t.SetRepositoryPolicyRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    text = given["policyText"]
    policies.set_repository_policy(
        call.core, call.caller, ref, text, force=given.get("force", False)
    )
    return {"registryId": ref.registry.id, "repositoryName": ref.name, "policyText": text}


def get_repository_policy(call: Call[t.GetRepositoryPolicyRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    text = policies.get_repository_policy(call.core, call.caller, ref)
    return {"registryId": ref.registry.id, "repositoryName": ref.name, "policyText": text}


def delete_repository_policy(
    call: Call[t.DeleteRepositoryPolicyRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    text = policies.delete_repository_policy(call.core, call.caller, ref)
    return {"registryId": ref.registry.id, "repositoryName": ref.name, "policyText": text}


def put_registry_policy(call: Call[t.PutRegistryPolicyRequestTypeDef]) -> dict[str, Any]:
    text = call.parameters["policyText"]
    policies.put_registry_policy(call.core, call.caller, text)
    return {"registryId": call.caller.registry.id, "policyText": text}


def get_registry_policy(call: Call[dict[str, Any]]) -> dict[str, Any]:
    text = policies.get_registry_policy(call.core, call.caller)
    return {"registryId": call.caller.registry.id, "policyText": text}


def delete_registry_policy(call: Call[dict[str, Any]]) -> dict[str, Any]:
    text = policies.delete_registry_policy(call.core, call.caller)
    return {"registryId": call.caller.registry.id, "policyText": text}
