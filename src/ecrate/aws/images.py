"""The image operations: put, get, list, describe, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ecrate.aws.call import DEFAULT_PAGE, Call, parse_image_id, render_image_id
from ecrate.aws.scans import render_status, render_summary
from ecrate.domain import errors, upstream_errors
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.images import Image, parse_manifest
from ecrate.domain.names import Digest, ImageId, RepositoryRef, is_tag
from ecrate.operations import deletions, images
from ecrate.operations.pull_through import images as cached

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

# What the batch operations call a failure; the reason is the error's text, or the one given.
_FAILURES: Final[dict[type[EcrateError], tuple[str, str | None]]] = {
    errors.ImageNotFound: ("ImageNotFound", "Requested image not found"),
    errors.ImageInaccessible: ("ImageInaccessible", None),
    errors.ImageTagDoesNotMatchDigest: ("ImageTagDoesNotMatchDigest", None),
    errors.ImageReferencedByManifestList: ("ImageReferencedByManifestList", None),
    errors.MissingDigestAndTag: ("MissingDigestAndTag", None),
    errors.InvalidImageDigest: ("InvalidImageDigest", None),
    errors.InvalidImageTag: ("InvalidImageTag", None),
    upstream_errors.UpstreamAccessDenied: ("UpstreamAccessDenied", None),
    upstream_errors.UpstreamTooManyRequests: ("UpstreamTooManyRequests", None),
    upstream_errors.UpstreamUnavailable: ("UpstreamUnavailable", None),
}


def put_image(call: Call[t.PutImageRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    tag, expected = given.get("imageTag"), given.get("imageDigest")
    if tag is not None and not is_tag(tag):
        raise InvalidParameter("imageTag", str(errors.InvalidImageTag()))
    algorithm = "sha256"
    if expected is not None:
        algorithm = Digest.parse(expected, algorithms=call.core.algorithms).algorithm
    manifest = parse_manifest(
        given["imageManifest"].encode(), given.get("imageManifestMediaType"), algorithm=algorithm
    )
    if expected is not None and manifest.digest.text != expected:
        raise errors.ImageDigestDoesNotMatch(expected, manifest.digest.text)
    images.put_image(call.core, call.caller, ref, manifest, [] if tag is None else [tag])
    image_id = ImageId(manifest.digest, tag)
    return {
        "image": _image(ref, image_id, given["imageManifest"], manifest.media_type),
    }


def batch_get_image(call: Call[t.BatchGetImageRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    wire_ids, accepted = given["imageIds"], given.get("acceptedMediaTypes")
    answers = cached.find_images(
        call.core, call.caller, ref, [parse_image_id(wire_id) for wire_id in wire_ids], call.waited
    )
    found, failures = [], []
    for wire_id, answer in zip(wire_ids, answers, strict=True):
        try:
            found.append(_pull(call, ref, answer, wire_id.get("imageTag"), accepted))
        except EcrateError as error:
            if type(error) not in _FAILURES:
                raise
            failures.append(_failure(wire_id, error))
    return {"images": found, "failures": failures}


def _pull(
    call: Call[Any],
    ref: RepositoryRef,
    image: Image | EcrateError,
    tag: str | None,
    accepted: Sequence[str] | None,
) -> dict[str, Any]:
    if isinstance(image, EcrateError):
        raise image
    if accepted is not None and image.media_type not in accepted:
        raise errors.ImageNotFound(image.digest.text, "null", ref.name, ref.registry.id)
    content = images.read_manifest(call.core, image)
    if not call.is_inspection and images.is_pull_due(call.core, image):
        images.record_pull(call.core, call.caller, ref, image)
    return _image(ref, ImageId(image.digest, tag), content.decode(), image.media_type)


def _image(ref: RepositoryRef, image_id: ImageId, manifest: str, media_type: str) -> dict[str, Any]:
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "imageId": render_image_id(image_id),
        "imageManifest": manifest,
        "imageManifestMediaType": media_type,
    }


def _failure(wire_id: Any, error: EcrateError) -> dict[str, Any]:
    code, reason = _FAILURES[type(error)]
    return {"imageId": wire_id, "failureCode": code, "failureReason": reason or str(error)}


def list_images(call: Call[t.ListImagesRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    wanted = given.get("filter", {})
    status = wanted.get("tagStatus", "ANY")
    storage = wanted.get("imageStatus", "ACTIVE")
    scope = f"ListImages {ref.arn} {status} {storage}"
    token = given.get("nextToken")
    found, position = images.list_images(
        call.core,
        call.caller,
        ref,
        status=status,
        storage=storage,
        after=None if token is None else images.Position(**call.page_position(scope, token)),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer: dict[str, Any] = {"imageIds": [render_image_id(image_id) for image_id in found]}
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer


def describe_images(call: Call[t.DescribeImagesRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    wire_ids, wanted = given.get("imageIds"), given.get("filter", {})
    if wire_ids is not None:
        if given.keys() & {"nextToken", "maxResults", "filter"}:
            raise InvalidParameter(
                "imageIds", "nextToken, maxResults and filter cannot be used with imageIds"
            )  # [A]
        image_ids = [_named(wire_id) for wire_id in wire_ids]
        named = images.describe_images(call.core, call.caller, ref, image_ids)
        return {"imageDetails": [_detail(call, ref, detail) for detail in named]}
    status = wanted.get("tagStatus", "ANY")
    storage = wanted.get("imageStatus", "ACTIVE")
    scope = f"DescribeImages {ref.arn} {status} {storage}"
    token = given.get("nextToken")
    details, position = images.list_image_details(
        call.core,
        call.caller,
        ref,
        status=status,
        storage=storage,
        after=None if token is None else images.Position(**call.page_position(scope, token)),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer: dict[str, Any] = {"imageDetails": [_detail(call, ref, detail) for detail in details]}
    if position is not None:
        answer["nextToken"] = call.page_token(scope, position)
    return answer


def _named(wire_id: Any) -> ImageId:
    image_id = parse_image_id(wire_id)
    if isinstance(image_id, EcrateError):
        raise InvalidParameter("imageIds", str(image_id))
    return image_id


def _detail(call: Call[Any], ref: RepositoryRef, detail: images.ImageDetail) -> dict[str, Any]:
    image, storage = detail.image, detail.image.storage
    status = storage.status_at(call.core.clock())
    wire: dict[str, Any] = {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "imageDigest": image.digest.text,
        "imageSizeInBytes": image.size,
        "imagePushedAt": round(image.pushed_at, 3),
        "imageManifestMediaType": image.media_type,
        "imageStatus": status,
    }
    if storage.archived_at is not None:
        wire["lastArchivedAt"] = round(storage.archived_at, 3)
    if storage.activated_at is not None and status != "ACTIVATING":
        wire["lastActivatedAt"] = round(storage.activated_at, 3)
    if detail.tags:
        wire["imageTags"] = list(detail.tags)
    if image.artifact_media_type is not None:
        wire["artifactMediaType"] = image.artifact_media_type
    if image.last_pulled_at is not None:
        wire["lastRecordedPullTime"] = round(image.last_pulled_at, 3)
    if image.subject is not None:
        wire["subjectManifestDigest"] = image.subject
    if detail.scan is not None:
        wire["imageScanStatus"] = render_status(call, image, detail.scan)
        # AWS: the native basic scanner, the only one left, leaves the summary out.
        if detail.scan.status == "COMPLETE" and not call.core.parity:
            wire["imageScanFindingsSummary"] = render_summary(detail.scan)
    return wire


def update_image_storage_class(
    call: Call[t.UpdateImageStorageClassRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    image_id = parse_image_id(given["imageId"])
    if isinstance(image_id, EcrateError):
        raise InvalidParameter("imageId", str(image_id))
    updated = images.update_image_storage_class(
        call.core,
        call.caller,
        ref,
        image_id,
        is_archive=given["targetStorageClass"] == "ARCHIVE",
    )
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "imageId": render_image_id(ImageId(updated.image.digest, image_id.tag)),
        "imageStatus": updated.image.storage.status_at(call.core.clock()),
    }


def batch_delete_image(call: Call[t.BatchDeleteImageRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    wire_ids = given["imageIds"]
    entries = [parse_image_id(wire_id) for wire_id in wire_ids]
    deleted: list[dict[str, str]] = []
    failures: list[dict[str, Any]] = []
    answers = deletions.batch_delete_image(call.core, call.caller, ref, entries)
    for wire_id, answer in zip(wire_ids, answers, strict=True):
        if not isinstance(answer, EcrateError):
            deleted.extend(render_image_id(image_id) for image_id in answer)
        elif type(answer) in _FAILURES:
            failures.append(_failure(wire_id, answer))
        else:
            raise answer
    return {"imageIds": deleted, "failures": failures}
