"""The lifecycle operations: a repository's policy and its preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecrate.aws.call import DEFAULT_PAGE, Call, parse_image_id
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.operations import lifecycle

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

    from ecrate.store.lifecycle import PreviewResult, StoredPolicy


def put_lifecycle_policy(call: Call[t.PutLifecyclePolicyRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    policy = parse_lifecycle_policy(given["lifecyclePolicyText"])
    lifecycle.put_lifecycle_policy(call.core, call.caller, ref, policy)
    return _head(ref, policy.text)


def get_lifecycle_policy(call: Call[t.GetLifecyclePolicyRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    return _policy(ref, lifecycle.get_lifecycle_policy(call.core, call.caller, ref))


def delete_lifecycle_policy(call: Call[t.DeleteLifecyclePolicyRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    return _policy(ref, lifecycle.delete_lifecycle_policy(call.core, call.caller, ref))


def start_lifecycle_policy_preview(
    call: Call[t.StartLifecyclePolicyPreviewRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    text = given.get("lifecyclePolicyText")
    policy = None if text is None else parse_lifecycle_policy(text)
    evaluated = lifecycle.start_lifecycle_policy_preview(call.core, call.caller, ref, policy)
    # AWS: what a start answers is always this; how it went is told by GetLifecyclePolicyPreview.
    return {**_head(ref, evaluated), "status": "IN_PROGRESS"}


def get_lifecycle_policy_preview(
    call: Call[t.GetLifecyclePolicyPreviewRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    wire_ids, token = given.get("imageIds"), given.get("nextToken")
    if wire_ids is not None and given.keys() & {"nextToken", "maxResults"}:
        raise InvalidParameter(
            "imageIds", "nextToken and maxResults cannot be used with imageIds"
        )  # [A]
    tag_status = given.get("filter", {}).get("tagStatus", "ANY")
    scope = f"GetLifecyclePolicyPreview {ref.arn} {tag_status}"
    page = lifecycle.get_lifecycle_policy_preview(
        call.core,
        call.caller,
        ref,
        image_ids=None if wire_ids is None else [_named(wire_id) for wire_id in wire_ids],
        tag_status=tag_status,
        after=None
        if token is None
        else lifecycle.PreviewPosition(**call.page_position(scope, token)),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer = {**_head(ref, page.text), "status": page.status}
    if page.status != "COMPLETE":
        return answer
    answer["previewResults"] = [_result(result) for result in page.results]
    answer["summary"] = _summary(page)
    if page.next_position is not None:
        answer["nextToken"] = call.page_token(scope, page.next_position)
    return answer


def _head(ref: RepositoryRef, text: str) -> dict[str, Any]:
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "lifecyclePolicyText": text,
    }


def _policy(ref: RepositoryRef, policy: StoredPolicy) -> dict[str, Any]:
    # AWS: before the first time it is the epoch, as cloud-custodian issue 9036 shows.
    return {**_head(ref, policy.text), "lastEvaluatedAt": round(policy.evaluated_at or 0.0, 3)}


def _named(wire_id: Any) -> ImageId:
    image_id = parse_image_id(wire_id)
    if isinstance(image_id, EcrateError):
        raise InvalidParameter("imageIds", str(image_id))
    return image_id


def _result(result: PreviewResult) -> dict[str, Any]:
    action = {"type": result.action.upper()}
    if result.action == "transition":
        action["targetStorageClass"] = "ARCHIVE"
    wire = {
        "imageDigest": result.digest,
        "imagePushedAt": round(result.pushed_at, 3),
        "action": action,
        "appliedRulePriority": result.rule_priority,
        "storageClass": "ARCHIVE" if result.is_archived else "STANDARD",
    }
    if result.tags:
        wire["imageTags"] = list(result.tags)
    return wire


def _summary(page: lifecycle.PreviewPage) -> dict[str, Any]:
    summary: dict[str, Any] = {"expiringImageTotalCount": page.expiring_count}
    if page.transitioning_count:
        summary["transitioningImageTotalCounts"] = [
            {"targetStorageClass": "ARCHIVE", "imageTotalCount": page.transitioning_count}
        ]
    return summary
