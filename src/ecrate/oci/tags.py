"""The base, the catalog and the tags of a repository."""

from __future__ import annotations

import functools

import msgspec
from aiohttp.web import Response, StreamResponse

from ecrate.oci.request import RegistryRequest, next_link
from ecrate.oci.routes import page_size
from ecrate.operations import images, repositories


async def get_base(_: RegistryRequest) -> StreamResponse:
    """Tell that this is a registry and the credentials are good."""
    return Response(body=b"{}", content_type="application/json")


async def get_catalog(request: RegistryRequest) -> StreamResponse:
    """List repositories in lexical order. Source: Docker Registry HTTP API V2, "Catalog"."""
    count = page_size(request.query, parity=request.core.parity)
    if not count:
        return _json({"repositories": []}, {})
    page = await request.threads.run(
        functools.partial(
            repositories.list_repositories,
            request.core,
            request.caller,
            request.ref.registry,
            after=request.query.get("last") or "",
            limit=count,
        )
    )
    headers = {}
    if page.next_name is not None:
        headers = next_link("/v2/_catalog", n=count, last=page.next_name)
    return _json({"repositories": [one.ref.name for one in page.repositories]}, headers)


async def get_tags(request: RegistryRequest) -> StreamResponse:
    """List tags in lexical order. Source: distribution-spec, "Listing Tags"."""
    count = page_size(request.query, parity=request.core.parity)
    last = request.query.get("last") or ""
    tags, has_more = await request.read(
        functools.partial(images.list_tags, after=last, limit=max(count, 1))
    )
    tags = tags[:count]
    headers = {}
    if has_more and tags:
        headers = next_link(f"/v2/{request.ref.name}/tags/list", n=count, last=tags[-1])
    return _json({"name": request.ref.name, "tags": tags}, headers)


def _json(document: dict[str, object], headers: dict[str, str]) -> StreamResponse:
    return Response(
        body=msgspec.json.encode(document), content_type="application/json", headers=headers
    )
