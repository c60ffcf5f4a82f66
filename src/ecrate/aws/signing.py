"""Signing on push: its configuration, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecrate.aws.call import Call, parse_image_id, render_image_id
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.names import ImageId
from ecrate.domain.signing import SigningConfiguration, SigningRule, SigningStatus
from ecrate.operations import signing

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t


def put_signing_configuration(
    call: Call[t.PutSigningConfigurationRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters["signingConfiguration"]
    configuration = SigningConfiguration([_parse(rule) for rule in given["rules"]])
    signing.put_signing_configuration(call.core, call.caller, configuration)
    return {"signingConfiguration": _render(configuration)}


def get_signing_configuration(call: Call[dict[str, Any]]) -> dict[str, Any]:
    found = signing.get_signing_configuration(call.core, call.caller)
    return {
        "registryId": call.caller.registry.id,
        "signingConfiguration": _render(found),
    }


def delete_signing_configuration(call: Call[dict[str, Any]]) -> dict[str, Any]:
    gone = signing.delete_signing_configuration(call.core, call.caller)
    return {
        "registryId": call.caller.registry.id,
        "signingConfiguration": _render(gone),
    }


def _parse(given: t.SigningRuleTypeDef | t.SigningRuleOutputTypeDef) -> SigningRule:
    filters = tuple(one["filter"] for one in given.get("repositoryFilters", ()))
    return SigningRule(given["signingProfileArn"], filters)


def _render(configuration: SigningConfiguration) -> dict[str, Any]:
    return {"rules": [_render_rule(rule) for rule in configuration.rules]}


def _render_rule(rule: SigningRule) -> dict[str, Any]:
    wire: dict[str, Any] = {"signingProfileArn": rule.profile_arn}
    if rule.filters:
        filters = [{"filter": one, "filterType": "WILDCARD_MATCH"} for one in rule.filters]
        wire["repositoryFilters"] = filters
    return wire


def describe_image_signing_status(
    call: Call[t.DescribeImageSigningStatusRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    image_id = parse_image_id(given["imageId"])
    if isinstance(image_id, EcrateError):
        raise InvalidParameter("imageId", str(image_id))
    digest, statuses = signing.describe_image_signing_status(call.core, call.caller, ref, image_id)
    return {
        "repositoryName": ref.name,
        "imageId": render_image_id(ImageId(digest, image_id.tag)),
        "registryId": ref.registry.id,
        "signingStatuses": [_status(one) for one in statuses],
    }


def _status(found: SigningStatus) -> dict[str, str]:
    wire = {"signingProfileArn": found.profile_arn, "status": found.status}
    if found.failure_code is not None:
        wire["failureCode"] = found.failure_code
    if found.failure_reason is not None:
        wire["failureReason"] = found.failure_reason
    return wire
