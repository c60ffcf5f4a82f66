"""The operations on replication: rules, status of images, backfills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecrate.aws.call import DEFAULT_PAGE, Call, parse_image_id, render_image_id
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.names import Digest, ImageId, RegistryRef
from ecrate.domain.replication import ENDED, Backfill, BackfillResult, ReplicationRule
from ecrate.operations.replication import backfills, rules
from ecrate.operations.replication.backfills import BackfillState

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

_BACKFILLS_PAGE = 50


def put_replication_configuration(
    call: Call[t.PutReplicationConfigurationRequestTypeDef],
) -> dict[str, Any]:
    given: Any = call.parameters["replicationConfiguration"]
    parsed = [_rule(one) for one in given["rules"]]
    rules.put_replication_configuration(call.core, call.caller, call.registry(), parsed)
    return {"replicationConfiguration": render_rules(parsed)}


def _rule(given: Any) -> ReplicationRule:
    filters = given.get("repositoryFilters") or ()
    deletions = given.get("deleteReplication")
    return ReplicationRule(
        tuple(_place(one) for one in given["destinations"]),
        tuple(one["filter"] for one in filters),
        None if deletions is None else deletions["enabled"],
    )


def _place(given: Any) -> RegistryRef:
    return RegistryRef(given["registryId"], given["region"])


def _render_place(place: RegistryRef) -> dict[str, str]:
    return {"region": place.region, "registryId": place.id}


def render_rules(given: Sequence[ReplicationRule]) -> dict[str, Any]:
    """Give a replication configuration; what a rule does not have is left out."""
    return {"rules": [_render_rule(one) for one in given]}


def _render_rule(rule: ReplicationRule) -> dict[str, Any]:
    wire: dict[str, Any] = {"destinations": [_render_place(one) for one in rule.destinations]}
    if rule.prefixes:
        wire["repositoryFilters"] = [
            {"filter": prefix, "filterType": "PREFIX_MATCH"} for prefix in rule.prefixes
        ]
    if rule.has_deletions is not None:
        wire["deleteReplication"] = {"enabled": rule.has_deletions}
    return wire


def describe_image_replication_status(
    call: Call[t.DescribeImageReplicationStatusRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    image_id = parse_image_id(given["imageId"])
    if isinstance(image_id, EcrateError):
        raise InvalidParameter("imageId", str(image_id))
    image, found = rules.describe_image_replication_status(call.core, call.caller, ref, image_id)
    return {
        "repositoryName": ref.name,
        "imageId": render_image_id(ImageId(image.digest, image_id.tag)),
        "replicationStatuses": [
            {
                **_render_place(one.destination),
                "status": one.status,
                **({"failureCode": one.failure_code} if one.status == "FAILED" else {}),
            }
            for one in found
        ],
    }


def start_replication_backfill(
    call: Call[t.StartReplicationBackfillRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    backfill = backfills.start_replication_backfill(
        call.core,
        call.caller,
        call.registry(given.get("registryId")),
        _place(given["destination"]),
    )
    return _render_begun(backfill)


def stop_replication_backfill(
    call: Call[t.StopReplicationBackfillRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    backfill = backfills.stop_replication_backfill(
        call.core,
        call.caller,
        call.registry(given.get("registryId")),
        given["replicationBackfillId"],
    )
    return _render_begun(backfill)


def _render_begun(backfill: Backfill) -> dict[str, Any]:
    return {
        "replicationBackfillId": backfill.id,
        "registryId": backfill.registry.id,
        "destination": _render_place(backfill.destination),
        "status": backfill.status,
        "startedAt": round(backfill.started_at, 3),
    }


def describe_replication_backfill_results(
    call: Call[t.DescribeReplicationBackfillResultsRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    registry, wanted = call.registry(given.get("registryId")), given.get("resultStatusFilter")
    backfill_id, token = given["replicationBackfillId"], given.get("nextToken")
    scope = f"DescribeReplicationBackfillResults {registry.id} {backfill_id} {wanted}"
    state, found, position = backfills.describe_replication_backfill_results(
        call.core,
        call.caller,
        registry,
        backfill_id,
        is_failed=None if wanted is None else wanted == "FAILED",
        after=0 if token is None else call.page_position(scope, token),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer = {"registryId": registry.id, **_render_state(state)}
    if state.backfill.status in ENDED:
        answer["results"] = [_render_result(one) for one in found]
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer


def list_replication_backfills(
    call: Call[t.ListReplicationBackfillsRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    registry, token = call.registry(given.get("registryId")), given.get("nextToken")
    scope = f"ListReplicationBackfills {registry.id}"
    after = None
    if token is not None:
        started_at, backfill_id = call.page_position(scope, token)
        after = (started_at, backfill_id)
    page, position = backfills.list_replication_backfills(
        call.core,
        call.caller,
        registry,
        after=after,
        limit=given.get("maxResults", _BACKFILLS_PAGE),
    )
    answer: dict[str, Any] = {
        "registryId": registry.id,
        "backfills": [_render_state(one) for one in page],
    }
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer


def _render_state(state: BackfillState) -> dict[str, Any]:
    backfill = state.backfill
    wire: dict[str, Any] = {
        "replicationBackfillId": backfill.id,
        "destination": _render_place(backfill.destination),
        "status": backfill.status,
        "startedAt": round(backfill.started_at, 3),
    }
    if backfill.is_prepared:
        wire["progress"] = {
            "totalReplicationCount": backfill.total,
            "completedReplicationCount": backfill.completed,
            "failedReplicationCount": backfill.failed,
            "failureCodes": list(state.failure_codes),
        }
    if backfill.ended_at is not None:
        wire["endedAt"] = round(backfill.ended_at, 3)
    return wire


def _render_result(result: BackfillResult) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "repositoryName": result.repository,
        "imageId": render_image_id(ImageId(Digest(result.digest), result.tag)),
        "status": "FAILED" if result.failure_code else "COMPLETE",
    }
    if result.failure_code:
        wire["failureCode"] = result.failure_code
    if result.child_failure_code is not None:
        child = result.child_failure_code
        wire["subImageFailureCodes"] = [child] if child else []
    return wire
