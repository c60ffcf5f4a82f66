"""Blobs and their uploads. Source: distribution-spec 1.1, "Pulling blobs", "Pushing Blobs"."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from typing import Final

from aiohttp.web import Response, StreamResponse

from ecrate.domain.errors import (
    BodyTruncated,
    InvalidLayerPart,
    InvalidParameter,
    LayerAlreadyExists,
    LayerNotFound,
    UploadBusy,
)
from ecrate.domain.layers import Layer
from ecrate.domain.names import Digest
from ecrate.oci.errors import RegistryError
from ecrate.oci.request import RegistryRequest
from ecrate.operations import layers, uploads
from ecrate.operations.pull_through import layers as cached
from ecrate.web.body import stream_body
from ecrate.web.downloads import send_layer
from ecrate.web.fetches import GrowingLayer, send_growing
from ecrate.web.files import matches

_RANGE: Final = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?")

_REDIRECT_LIFETIME: Final = 1200  # seconds
_TRIES: Final = 5
_PAUSE: Final = 0.5


async def head_blob(request: RegistryRequest) -> StreamResponse:
    """Tell whether the repository has the blob; one said to be there stays a while."""
    digest = _digest(request, request.reference)
    try:
        layer = await _check(request, digest)
    except LayerNotFound:
        action = "BatchCheckLayerAvailability"
        with contextlib.closing(await _growing(request, digest, action)) as growing:
            if await growing.has_begun():
                size = str(growing.fetch.size)
                return Response(headers={**_blob_headers(request, digest), "Content-Length": size})
        layer = await _check(request, digest)
    headers = _blob_headers(request, digest)
    if matches(request.http.headers.get("If-None-Match"), headers["ETag"]):
        return Response(status=304, headers=headers)
    return Response(headers={**headers, "Content-Length": str(layer.size)})


async def _check(request: RegistryRequest, digest: str) -> Layer:
    layer = await request.read(layers.check_layer, digest)
    if layers.is_fading(request.core, layer):
        await request.write(layers.renew_layers, [digest])
        layer = await request.read(layers.check_layer, digest)
    return layer


async def get_blob(request: RegistryRequest) -> StreamResponse:
    """Send the blob, or the part of it that was asked for."""
    digest = _digest(request, request.reference)
    headers = _blob_headers(request, digest)
    try:
        layer = await request.read(layers.find_layer, digest)
    except LayerNotFound:
        action = "GetDownloadUrlForLayer"
        with contextlib.closing(await _growing(request, digest, action)) as growing:
            if await growing.has_begun():
                return await send_growing(request.http, growing, digest, headers)
        layer = await request.read(layers.find_layer, digest)
    if matches(request.http.headers.get("If-None-Match"), headers["ETag"]):
        return Response(status=304, headers=headers)
    # AWS: ECR sends all of them on to its object store.
    url = layers.find_url(request.core, layer, _REDIRECT_LIFETIME)
    if url is not None:
        return Response(status=307, headers={**headers, "Location": url})
    return await send_layer(request.http, request.core, layer, headers, request.threads)


async def _growing(request: RegistryRequest, digest: str, action: str) -> GrowingLayer:
    """Give the layer as it comes from upstream; raises `LayerNotFound` where it has none."""
    return GrowingLayer(await request.read(cached.fetch_layer, digest, action))


def _blob_headers(request: RegistryRequest, digest: str) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Docker-Distribution-Api-Version": "registry/2.0",
        **({"OCI-Namespace": request.namespace} if request.namespace else {}),
    }


def _digest(request: RegistryRequest, text: str) -> str:
    try:
        return Digest.parse(text, algorithms=request.core.algorithms).text
    except InvalidParameter as error:
        if request.http.method in {"GET", "HEAD"}:
            raise LayerNotFound(text, request.ref.name, request.ref.registry.id) from None
        raise RegistryError(400, "DIGEST_INVALID", str(error)) from None


async def delete_blob(request: RegistryRequest) -> StreamResponse:
    """Take the blob out of this repository."""
    if request.core.parity:
        raise RegistryError(405, "UNSUPPORTED", "The operation is unsupported.")
    await request.write(layers.delete_layer, _digest(request, request.reference))
    return Response(status=202)


async def post_upload(request: RegistryRequest) -> StreamResponse:
    """Begin an upload; with `?digest=` the body is the whole blob, with `?mount=` another
    repository may have it.
    """
    mount = request.query.get("mount")
    if mount is not None:
        wanted = _digest(request, mount)
        try_mount = functools.partial(layers.mount_layer, opened_by=request.opens_for_push)
        if await request.run(try_mount, wanted, request.query.get("from")):
            return _created(request, wanted)
    given = request.query.get("digest")
    digest = None if given is None or request.core.parity else _digest(request, given)
    algorithm = request.query.get("digest-algorithm") or (digest or "sha256").partition(":")[0]
    accepted = request.core.algorithms
    if algorithm not in accepted:
        raise RegistryError(
            400, "DIGEST_INVALID", f"'digest-algorithm' must be one of {', '.join(accepted)}"
        )
    start = functools.partial(
        uploads.initiate_layer_upload, algorithm=algorithm, opened_by=request.opens_for_push
    )
    upload_id = await request.write(start)
    if digest is None:
        return _upload_answer(request, upload_id, 0, status=202)
    await _append(request, upload_id)
    return await _complete(request, upload_id, digest)


async def patch_upload(request: RegistryRequest) -> StreamResponse:
    """Append the body. What arrived before the client was cut off counts."""
    size = await _append(request, request.reference)
    return _upload_answer(request, request.reference, size, status=202)


async def put_upload(request: RegistryRequest) -> StreamResponse:
    """Append the body, if any, and make the upload a blob."""
    given = request.query.get("digest")
    if given is None:
        raise RegistryError(400, "DIGEST_INVALID", "The query parameter 'digest' is missing")
    digest = _digest(request, given)
    upload = await request.read(uploads.find_upload, request.reference, "UploadLayerPart")
    if upload.completed_digest is None and request.http.body_exists:
        await _append(request, request.reference)
    return await _complete(request, request.reference, digest)


async def get_upload(request: RegistryRequest) -> StreamResponse:
    """Tell how far the upload is."""
    upload = await request.read(uploads.find_open_upload, request.reference)
    return _upload_answer(request, upload.id, upload.size, status=204)


async def delete_upload(request: RegistryRequest) -> StreamResponse:
    """End the upload."""
    await request.run(uploads.cancel_layer_upload, request.reference)
    return Response(status=204)


async def _append(request: RegistryRequest, upload_id: str) -> int:
    """Append the request's body to the upload and give the upload's size."""
    writer = await _writer(request, upload_id)
    try:
        size = _expected_size(request, writer)
        room = request.core.limits.layer_size - writer.size
        try:
            await stream_body(request.http, writer.write, request.threads, limit=room)
        except BodyTruncated:
            await request.threads.run(writer.commit)
            raise
        if size is not None and writer.size != size:
            raise RegistryError(400, "SIZE_INVALID", "The body is not as long as its Content-Range")
        return await request.threads.run(writer.commit)
    finally:
        if request.core.blobs.is_local:
            writer.close()
        else:
            await request.threads.run(writer.close)


async def _writer(request: RegistryRequest, upload_id: str) -> uploads.LayerWriter:
    """Wait for another request that writes to the upload, but not with a thread."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(UploadBusy):
            return await request.threads.run(
                uploads.LayerWriter, request.core, request.caller, request.ref, upload_id
            )
        await asyncio.sleep(_PAUSE)
    return await request.threads.run(
        uploads.LayerWriter, request.core, request.caller, request.ref, upload_id
    )


def _expected_size(request: RegistryRequest, writer: uploads.LayerWriter) -> int | None:
    """Give the size the upload is going to have by the Content-Range, None without one."""
    header = request.http.headers.get("Content-Range")
    if header is None:
        return None
    first, last = parse_content_range(header)
    if first != writer.size:
        raise InvalidLayerPart(
            detail=f"First byte of the layer part is {first} instead of {writer.size}",
            registry_id=request.ref.registry.id,
            repository_name=request.ref.name,
            upload_id=writer.upload.id,
            last_valid_byte_received=max(writer.size - 1, 0),
        )
    length = request.http.content_length
    if length is not None and length != last - first + 1:
        raise RegistryError(
            400, "SIZE_INVALID", f"Content-Range is {last - first + 1} bytes, the body {length}"
        )
    return last + 1


def parse_content_range(header: str) -> tuple[int, int]:
    """Give the first and the last byte; raises `RegistryError`."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise RegistryError(400, "BLOB_UPLOAD_INVALID", "Content-Range must be '<first>-<last>'")
    return int(match[1]), int(match[2])


async def _complete(request: RegistryRequest, upload_id: str, digest: str) -> StreamResponse:
    # AWS: the proxy turns this into success, so that a push can be repeated.
    with contextlib.suppress(LayerAlreadyExists):
        complete = functools.partial(
            uploads.complete_layer_upload, may_be_empty=not request.core.parity
        )
        await request.run(complete, upload_id, [digest])
    return _created(request, digest)


def _created(request: RegistryRequest, digest: str) -> StreamResponse:
    headers = {
        "Location": f"/v2/{request.ref.name}/blobs/{digest}",
        "Docker-Content-Digest": digest,
    }
    return Response(status=201, headers=headers)


def _upload_answer(
    request: RegistryRequest, upload_id: str, size: int, *, status: int
) -> StreamResponse:
    headers = {
        "Location": f"/v2/{request.ref.name}/blobs/uploads/{upload_id}",
        "Docker-Upload-UUID": upload_id,
        "Range": f"0-{max(size - 1, 0)}",
    }
    return Response(status=status, headers=headers)
