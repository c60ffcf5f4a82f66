"""ListImageReferrers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecrate.aws.call import Call
from ecrate.domain.images import Referrer
from ecrate.domain.names import Digest
from ecrate.operations.images import Position
from ecrate.operations.pull_through import referrers as cached

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

_DEFAULT_PAGE: Final = 20  # AWS: API reference of ListImageReferrers.


def list_image_referrers(call: Call[t.ListImageReferrersRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    subject = Digest.parse(given["subjectId"]["imageDigest"]).text
    wanted = given.get("filter", {})
    types = list(wanted.get("artifactTypes", ()))
    status = wanted.get("artifactStatus", "ACTIVE")
    scope = f"ListImageReferrers {ref.arn} {subject} {status} {types}"
    token = given.get("nextToken")
    page, position = cached.list_image_referrers(
        call.core,
        call.caller,
        ref,
        subject,
        artifact_types=types,
        storage=status,
        after=None if token is None else Position(**call.page_position(scope, token)),
        limit=given.get("maxResults", _DEFAULT_PAGE),
        waited=call.waited,
    )
    now = call.core.clock()
    answer: dict[str, Any] = {"referrers": [_render(referrer, now) for referrer in page]}
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer


def _render(referrer: Referrer, now: float) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "digest": referrer.digest.text,
        "mediaType": referrer.media_type,
        "size": referrer.size,
        "artifactStatus": referrer.storage.status_at(now),
    }
    if referrer.artifact_type is not None:
        wire["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        wire["annotations"] = referrer.annotations
    return wire
