"""The operations on repository creation templates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ecrate.aws.call import DEFAULT_PAGE, Call
from ecrate.aws.repositories import (
    parse_encryption,
    parse_tag_mutability,
    render_encryption,
    render_filters,
)
from ecrate.aws.tagging import parse_tags, render_tags
from ecrate.domain.errors import InvalidParameter
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.policies import InvalidPolicyError, PolicyKind, parse_policy
from ecrate.domain.repositories import Encryption, TagMutability
from ecrate.domain.tagging import MAX_RESOURCE_TAGS, ResourceTag, find_fault
from ecrate.domain.templates import Template
from ecrate.operations import templates

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t


def create_repository_creation_template(
    call: Call[t.CreateRepositoryCreationTemplateRequestTypeDef],
) -> dict[str, Any]:
    given, now = call.parameters, call.core.clock()
    new = Template(given["prefix"], (), created_at=now, updated_at=now)
    template = _changed(new, given, now)
    templates.create_repository_creation_template(call.core, call.caller, call.registry(), template)
    return _answer(call, template)


def update_repository_creation_template(
    call: Call[t.UpdateRepositoryCreationTemplateRequestTypeDef],
) -> dict[str, Any]:
    given, now = call.parameters, call.core.clock()
    template = templates.update_repository_creation_template(
        call.core,
        call.caller,
        call.registry(),
        given["prefix"],
        lambda current: _changed(current, given, now),
    )
    return _answer(call, template)


def delete_repository_creation_template(
    call: Call[t.DeleteRepositoryCreationTemplateRequestTypeDef],
) -> dict[str, Any]:
    template = templates.delete_repository_creation_template(
        call.core, call.caller, call.registry(), call.parameters["prefix"]
    )
    return _answer(call, template)


def describe_repository_creation_templates(
    call: Call[t.DescribeRepositoryCreationTemplatesRequestTypeDef],
) -> dict[str, Any]:
    given, registry = call.parameters, call.registry()
    prefixes, token = given.get("prefixes"), given.get("nextToken")
    answer: dict[str, Any] = {"registryId": registry.id}
    if prefixes is not None:
        if token is not None or "maxResults" in given:
            raise InvalidParameter(
                "prefixes", "nextToken and maxResults cannot be used with prefixes"
            )  # [A]
        named = templates.describe_repository_creation_templates(
            call.core, call.caller, registry, prefixes
        )
        return answer | {"repositoryCreationTemplates": [_render(one) for one in named]}
    scope = "DescribeRepositoryCreationTemplates"
    page, position = templates.list_repository_creation_templates(
        call.core,
        call.caller,
        registry,
        after="" if token is None else call.page_position(scope, token),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer["repositoryCreationTemplates"] = [_render(one) for one in page]
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer


def _changed(template: Template, given: Any, now: float) -> Template:
    """Give the template with what was given in the place of what it had; an empty text clears."""
    changes: dict[str, Any] = {"updated_at": now}
    if "appliedFor" in given:
        changes["applied_for"] = tuple(dict.fromkeys(given["appliedFor"]))
    if "description" in given:
        changes["description"] = given["description"]
    if "customRoleArn" in given:
        changes["custom_role_arn"] = given["customRoleArn"] or None
    if "repositoryPolicy" in given:
        changes["repository_policy"] = _repository_policy(given["repositoryPolicy"])
    if "lifecyclePolicy" in given:
        changes["lifecycle_policy"] = _lifecycle_policy(given["lifecyclePolicy"])
    if "resourceTags" in given:
        changes["resource_tags"] = _resource_tags(given["resourceTags"])
    if "encryptionConfiguration" in given:
        changes["encryption"] = _encryption(given["encryptionConfiguration"])
    if given.keys() & {"imageTagMutability", "imageTagMutabilityExclusionFilters"}:
        changes["tag_mutability"] = _tag_mutability(template.tag_mutability, given)
    return replace(template, **changes)


def _repository_policy(text: str) -> str | None:
    if not text:
        return None
    try:
        parse_policy(text, PolicyKind.REPOSITORY)
    except InvalidPolicyError:
        raise InvalidParameter("PolicyText", "Invalid repository policy provided") from None
    return text


def _lifecycle_policy(text: str) -> str | None:
    if not text:
        return None
    parse_lifecycle_policy(text)
    return text


def _resource_tags(wire: Any) -> tuple[ResourceTag, ...]:
    tags = parse_tags(wire)
    if len(tags) > MAX_RESOURCE_TAGS:
        raise InvalidParameter(
            "resourceTags", f"Member must have length less than or equal to {MAX_RESOURCE_TAGS}"
        )  # [A]
    fault = find_fault(tags)
    if fault is not None:
        raise InvalidParameter("resourceTags", f"Invalid resource tag: {fault}")  # [A]
    return tags


def _encryption(given: Any) -> Encryption:
    return parse_encryption(given["encryptionType"], given.get("kmsKey") or None)


def _tag_mutability(current: TagMutability, given: Any) -> TagMutability:
    mode = given.get("imageTagMutability", current.mode)
    wire = given.get("imageTagMutabilityExclusionFilters")
    if wire is None and mode.endswith("_WITH_EXCLUSION") and current.filters:
        return TagMutability(mode, current.filters)
    return parse_tag_mutability(mode, wire)


def _answer(call: Call[Any], template: Template) -> dict[str, Any]:
    return {"registryId": call.registry().id, "repositoryCreationTemplate": _render(template)}


def _render(template: Template) -> dict[str, Any]:
    optional = {
        "description": template.description,
        "repositoryPolicy": template.repository_policy,
        "lifecyclePolicy": template.lifecycle_policy,
        "customRoleArn": template.custom_role_arn,
        "resourceTags": render_tags(template.resource_tags) or None,
    }
    return {
        "prefix": template.prefix,
        "encryptionConfiguration": render_encryption(template.encryption),
        "imageTagMutability": template.tag_mutability.mode,
        **render_filters(template.tag_mutability),
        "appliedFor": list(template.applied_for),
        "createdAt": round(template.created_at, 3),
        "updatedAt": round(template.updated_at, 3),
        **{name: value for name, value in optional.items() if value is not None},
    }
