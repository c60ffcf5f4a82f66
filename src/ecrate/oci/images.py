"""Manifests: get, put, delete. Source: distribution-spec 1.1, "Pulling" and "Pushing"."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Final

from aiohttp.web import Response, StreamResponse

from ecrate.domain.errors import (
    ImageAlreadyExists,
    ImageDigestDoesNotMatch,
    ImageNotFound,
    InvalidParameter,
)
from ecrate.domain.images import MAX_MANIFEST_SIZE, parse_manifest
from ecrate.domain.names import ALGORITHMS, Digest, ImageId, is_tag
from ecrate.oci.errors import RegistryError
from ecrate.oci.request import RegistryRequest
from ecrate.operations import deletions, images
from ecrate.operations.pull_through import images as cached
from ecrate.operations.pull_through.fetches import Waiting
from ecrate.operations.templates import check_push
from ecrate.web.body import SMALL_BODY
from ecrate.web.fetches import wait_and_repeat
from ecrate.web.files import matches
from ecrate.web.purpose import is_inspection

_FEW_TAGS: Final = 10
_TAG_GRAMMAR: Final = "A tag has 1 to 128 of a-z, A-Z, 0-9, _ . - and begins with none of . -"


async def get_manifest(request: RegistryRequest) -> StreamResponse:
    """Answer GET and HEAD: the document exactly as it was pushed."""
    try:
        image_id = _image_id(request.reference)
    except RegistryError:
        # What cannot be a reference certainly names nothing.
        raise ImageNotFound(
            "null", request.reference, request.ref.name, request.ref.registry.id
        ) from None
    try:
        image, content = await request.read(cached.get_image, image_id)
    except Waiting as waiting:
        image, content = await wait_and_repeat(
            waiting, lambda waited: request.read(cached.get_image, image_id, waited)
        )
    headers = {
        "Content-Type": image.media_type,
        "Docker-Content-Digest": image.digest.text,
        "ETag": f'"{image.digest.text}"',
    }
    if matches(request.http.headers.get("If-None-Match"), headers["ETag"]):
        return Response(status=304, headers=headers)
    is_pull = request.http.method == "GET" and not is_inspection(request.http.headers)
    if is_pull and images.is_pull_due(request.core, image):
        await request.run(images.record_pull, image)
    return Response(body=content, headers=headers)


async def put_manifest(request: RegistryRequest) -> StreamResponse:
    """Store a manifest under a tag or its digest; the same again is as good as the first time."""
    image_id = _image_id(request.reference, request.core.algorithms)
    media_type = request.http.headers.get("Content-Type", "").partition(";")[0].strip()
    algorithm = "sha256" if image_id.digest is None else image_id.digest.algorithm
    await request.read(check_push, "PutImage")
    async with request.bodies.read(request.http, MAX_MANIFEST_SIZE) as (body, _):
        content = bytes(body)
    parse = functools.partial(parse_manifest, content, media_type or None, algorithm=algorithm)
    # A large one may take half a second, which nobody else has to wait for.
    manifest = parse() if len(content) <= SMALL_BODY else await request.threads.run(parse)
    if image_id.digest is not None and image_id.digest != manifest.digest:
        raise ImageDigestDoesNotMatch(image_id.digest.text, manifest.digest.text)
    tags = _tags(request, image_id)
    # AWS: the proxy turns this into success, so that a push can be repeated.
    with contextlib.suppress(ImageAlreadyExists):
        put = functools.partial(images.put_image, opened_by=request.opens_for_push)
        is_short = len(content) <= SMALL_BODY and len(tags) <= _FEW_TAGS
        await (request.write if is_short else request.run)(put, manifest, tags)
    location = f"/v2/{request.ref.name}/manifests/{manifest.digest.text}"
    headers = {"Location": location, "Docker-Content-Digest": manifest.digest.text}
    if image_id.tag is None and tags:
        headers["OCI-Tag"] = ", ".join(tags)
    if manifest.subject is not None:
        headers["OCI-Subject"] = manifest.subject.text
    return Response(status=201, headers=headers)


def _tags(request: RegistryRequest, image_id: ImageId) -> list[str]:
    """Give the tags to set: the one in the path, or with a digest there those of the query."""
    wanted = [] if request.core.parity else request.query.all("tag")
    if image_id.tag is not None:
        if wanted:
            raise RegistryError(400, "TAG_INVALID", "'tag' goes with a digest in the path only")
        return [image_id.tag]
    for tag in wanted:
        if not is_tag(tag):
            raise RegistryError(400, "TAG_INVALID", _TAG_GRAMMAR)
    return list(dict.fromkeys(wanted))


async def delete_manifest(request: RegistryRequest) -> StreamResponse:
    """Delete an image by digest, or only the tag by tag; under parity as BatchDeleteImage does."""
    image_id = _image_id(request.reference)
    if image_id.tag is not None and not request.core.parity:
        await request.write(deletions.delete_tag, image_id.tag)
    else:
        (answer,) = await request.write(deletions.batch_delete_image, [image_id])
        if isinstance(answer, Exception):
            raise answer
    return Response(status=202)


def _image_id(reference: str, algorithms: Sequence[str] = ALGORITHMS) -> ImageId:
    if ":" in reference:
        try:
            return ImageId(digest=Digest.parse(reference, algorithms=algorithms))
        except InvalidParameter as error:
            raise RegistryError(400, "DIGEST_INVALID", str(error)) from None
    if not is_tag(reference):
        raise RegistryError(400, "TAG_INVALID", _TAG_GRAMMAR)
    return ImageId(tag=reference)
