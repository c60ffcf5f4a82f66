"""Referrers of a manifest. Source: distribution-spec 1.1, "Listing Referrers"."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import msgspec
from aiohttp.web import Response, StreamResponse

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.images import OCI_INDEX, Referrer
from ecrate.domain.names import Digest
from ecrate.oci.errors import RegistryError
from ecrate.oci.request import RegistryRequest, next_link
from ecrate.operations.images import Position
from ecrate.operations.pull_through import referrers as cached
from ecrate.operations.pull_through.fetches import Waiting
from ecrate.web.fetches import wait_and_repeat

_POSITION: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


async def get_referrers(request: RegistryRequest) -> StreamResponse:
    """List what names the digest as its subject, as an image index."""
    try:
        subject = Digest.parse(request.reference).text
    except InvalidParameter as error:
        raise RegistryError(400, "DIGEST_INVALID", str(error)) from None
    wanted = request.query.get("artifactType") or ""
    list_referrers = functools.partial(
        cached.list_image_referrers,
        artifact_types=[wanted] if wanted else [],
        after=_position(request.query.get("last")),
    )
    try:
        try:
            page, position = await request.run(list_referrers, subject)
        except Waiting as waiting:
            page, position = await wait_and_repeat(
                waiting,
                lambda waited: request.run(
                    functools.partial(list_referrers, waited=waited), subject
                ),
            )
    except InvalidParameter:
        raise _no_position() from None
    headers = {"Content-Type": OCI_INDEX}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    if position is not None:
        path = f"/v2/{request.ref.name}/referrers/{subject}"
        filters = {"artifactType": wanted} if wanted else {}
        headers |= next_link(path, last=f"{position.repository_id}-{position.image_id}", **filters)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_descriptor(referrer) for referrer in page],
    }
    return Response(body=msgspec.json.encode(index), headers=headers)


def _position(last: str | None) -> Position | None:
    if last is None:
        return None
    match = _POSITION.fullmatch(last)
    if match is None:
        raise _no_position()
    return Position(int(match[1]), int(match[2]))


def _no_position() -> RegistryError:
    text = "'last' must be what a Link header of this repository said"
    return RegistryError(400, "UNSUPPORTED", text)


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
