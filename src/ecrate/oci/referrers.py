"""Referrers of a manifest. Source: distribution-spec 1.1, "Listing Referrers"."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from aiohttp.web import Response, StreamResponse

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.images import OCI_INDEX, Referrer
from ecrate.domain.names import Digest
from ecrate.oci.errors import RegistryError
from ecrate.oci.request import RegistryRequest, next_link
from ecrate.operations import images


async def get_referrers(request: RegistryRequest) -> StreamResponse:
    """List what names the digest as its subject, as an image index."""
    try:
        subject = Digest.parse(request.reference).text
    except InvalidParameter as error:
        raise RegistryError(400, "DIGEST_INVALID", str(error)) from None
    wanted = request.query.get("artifactType") or ""
    after = _position(request.query.get("last"))
    page, position = await request.run(
        functools.partial(
            images.list_image_referrers, artifact_types=[wanted] if wanted else [], after=after
        ),
        subject,
    )
    headers = {"Content-Type": OCI_INDEX}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    if position is not None:
        path = f"/v2/{request.ref.name}/referrers/{subject}"
        filters = {"artifactType": wanted} if wanted else {}
        headers |= next_link(path, last=position, **filters)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_descriptor(referrer) for referrer in page],
    }
    return Response(body=msgspec.json.encode(index), headers=headers)


def _position(last: str | None) -> int:
    if last is None:
        return 0
    if not last.isascii() or not last.isdigit() or len(last) > len(str(2**63)) - 1:
        raise RegistryError(400, "UNSUPPORTED", "'last' must be what a Link header said")
    return int(last)


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "mediaType": referrer.media_type,
        "digest": referrer.digest.text,
        "size": referrer.size,
    }
    if referrer.artifact_type is not None:
        wire["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        wire["annotations"] = referrer.annotations
    return wire
