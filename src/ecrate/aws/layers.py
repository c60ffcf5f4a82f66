"""The layer operations: upload, availability, download URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pybase64

from ecrate.aws.call import Call
from ecrate.aws.errors import FrontDoorError
from ecrate.domain.errors import InvalidParameter
from ecrate.domain.layers import MAX_PART_SIZE, PART_SIZE, Part
from ecrate.domain.names import Digest
from ecrate.operations import layers, uploads
from ecrate.operations.pull_through import layers as cached

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

_PIECE: Final = 4 * 256 * 1024  # base64 characters decoded at a time; a multiple of four


def initiate_layer_upload(call: Call[t.InitiateLayerUploadRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    upload_id = uploads.initiate_layer_upload(call.core, call.caller, ref)
    return {"uploadId": upload_id, "partSize": PART_SIZE}


def upload_layer_part(call: Call[dict[str, Any]]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    upload_id = given["uploadId"].lower()
    part = Part(given["partFirstByte"], given["partLastByte"])
    if part.size < 1:
        raise InvalidParameter(
            "partLastByte", f"Member must have value greater than or equal to {part.first_byte}"
        )
    if part.size > MAX_PART_SIZE:
        raise InvalidParameter(
            "layerPartBlob", f"Member must have length less than or equal to {MAX_PART_SIZE}"
        )
    pieces = _decoded(given["layerPartBlob"], part)
    last = uploads.upload_layer_part(call.core, call.caller, ref, upload_id, part, pieces=pieces)
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "uploadId": upload_id,
        "lastByteReceived": last,
    }


def _decoded(raw: msgspec.Raw, part: Part) -> Iterator[bytes]:
    """Decode the JSON string of base64 piece by piece, so that the part is never there twice."""
    encoded: memoryview | bytes = memoryview(raw)[1:-1]
    try:
        if len(encoded) != (part.size + 2) // 3 * 4:
            # Another size than the range's, or an encoder that writes `\/` for `/`.
            encoded = msgspec.json.decode(raw, type=str).encode()
        for start in range(0, len(encoded), _PIECE):
            yield pybase64.b64decode(encoded[start : start + _PIECE], validate=True)
    except (ValueError, msgspec.DecodeError):
        raise FrontDoorError(
            "SerializationException", "layerPartBlob is not valid base64"
        ) from None


def complete_layer_upload(call: Call[t.CompleteLayerUploadRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    upload_id = given["uploadId"].lower()
    digest = uploads.complete_layer_upload(
        call.core, call.caller, ref, upload_id, given["layerDigests"]
    )
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "uploadId": upload_id,
        "layerDigest": digest.text,
    }


def batch_check_layer_availability(
    call: Call[t.BatchCheckLayerAvailabilityRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    failures, digests = [], []
    for digest in given["layerDigests"]:
        failure = _digest_failure(digest)
        if failure is None:
            digests.append(digest)
        else:
            failures.append({"layerDigest": digest, **failure})
    answers = layers.batch_check_layer_availability(call.core, call.caller, ref, digests)
    return {"layers": [_availability(answer) for answer in answers], "failures": failures}


def _digest_failure(digest: str) -> dict[str, str] | None:
    if not digest:
        reason = "Invalid request parameters: layer digest cannot be null"  # [A]
        return {"failureCode": "MissingLayerDigest", "failureReason": reason}
    try:
        Digest.parse(digest)
    except InvalidParameter:
        reason = (
            "Invalid request parameters: layer digest should satisfy the regex "
            "'[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"  # [A]
        )
        return {"failureCode": "InvalidLayerDigest", "failureReason": reason}
    return None


def _availability(answer: layers.LayerAvailability) -> dict[str, Any]:
    if answer.layer is None:
        return {"layerDigest": answer.digest, "layerAvailability": "UNAVAILABLE"}
    wire = {
        "layerDigest": answer.digest,
        "layerAvailability": "ARCHIVED" if answer.is_archived else "AVAILABLE",
        "layerSize": answer.layer.size,
    }
    if answer.media_type is not None:
        wire["mediaType"] = answer.media_type
    return wire


def get_download_url_for_layer(
    call: Call[t.GetDownloadUrlForLayerRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    digest = given["layerDigest"]
    download = cached.get_download_url_for_layer(call.core, call.caller, ref, digest, call.waited)
    url = download.url or f"{call.hosts.base(call.host)}/layers/{download.seal}"
    return {"downloadUrl": url, "layerDigest": digest}
