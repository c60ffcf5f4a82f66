"""TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecrate.aws.call import Call
from ecrate.domain.errors import InvalidParameter, InvalidTagParameter, TooManyTags
from ecrate.domain.names import RepositoryRef
from ecrate.domain.tagging import MAX_RESOURCE_TAGS, ResourceTag, find_fault
from ecrate.operations import tagging

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t


def tag_resource(call: Call[t.TagResourceRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = _resource(call, given["resourceArn"])
    tagging.tag_resource(call.core, call.caller, ref, checked_tags(given["tags"]))
    return {}


def untag_resource(call: Call[t.UntagResourceRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = _resource(call, given["resourceArn"])
    tagging.untag_resource(call.core, call.caller, ref, given["tagKeys"])
    return {}


def list_tags_for_resource(call: Call[t.ListTagsForResourceRequestTypeDef]) -> dict[str, Any]:
    ref = _resource(call, call.parameters["resourceArn"])
    return {
        "tags": render_tags(tagging.list_tags_for_resource(call.core, call.caller, ref)),
    }


def _resource(call: Call[Any], arn: str) -> RepositoryRef:
    ref = RepositoryRef.parse_arn(arn)
    if ref.registry.region != call.caller.registry.region:
        raise InvalidParameter("resourceArn", "Invalid ARN")  # [A]
    return ref


def checked_tags(wire: Sequence[t.TagTypeDef]) -> tuple[ResourceTag, ...]:
    """Read the tags of a resource; raises `InvalidTagParameter`, `TooManyTags`."""
    tags = parse_tags(wire)
    if len(tags) > MAX_RESOURCE_TAGS:
        raise TooManyTags(MAX_RESOURCE_TAGS)
    fault = find_fault(tags)
    if fault is not None:
        raise InvalidTagParameter(fault)
    return tags


def parse_tags(wire: Sequence[t.TagTypeDef]) -> tuple[ResourceTag, ...]:
    return tuple((tag["Key"], tag["Value"]) for tag in wire)


def render_tags(tags: Sequence[ResourceTag]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags]
