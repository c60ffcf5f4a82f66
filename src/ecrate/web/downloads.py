"""How a layer's bytes reach a client, and `/layers/<seal>`: where GetDownloadUrlForLayer's URLs
lead when the blob store has none of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import (
    EcrateError,
    ExpiredToken,
    InternalFault,
    RateExceeded,
    StoreUnavailable,
)
from ecrate.domain.layers import Layer
from ecrate.operations.core import Core
from ecrate.operations.layers import find_layer_to_download, open_layer, registry_of_download
from ecrate.web.faults import DOWNLOAD, Faults, is_cut, send_half
from ecrate.web.files import send_file, send_stream
from ecrate.web.threads import Threads


async def send_layer(
    request: BaseRequest, core: Core, layer: Layer, headers: Mapping[str, str], threads: Threads
) -> StreamResponse:
    """Answer a GET or HEAD with the layer's bytes: 200, 206, 304 or 416."""
    digest = layer.digest.text
    if is_cut(request):
        return await send_half(request, open_layer(core, layer), layer.size, headers)
    if core.blobs.is_local:
        return await send_file(request, open_layer(core, layer), layer.size, digest, headers)
    open_at = functools.partial(open_layer, core, layer)
    return await send_stream(request, open_at, layer.size, digest, headers, threads=threads)


class Downloads:
    """Serves the one layer that a seal names, to whoever has the seal."""

    def __init__(self, core: Core, threads: Threads, faults: Faults | None = None) -> None:
        self._core = core
        self._threads = threads
        self._faults = faults

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        if request.method not in {"GET", "HEAD"}:
            return Response(status=405, headers={"Allow": "GET, HEAD"})
        seal = request.raw_path.partition("?")[0].removeprefix("/layers/")
        try:
            layer = await self._threads.read(find_layer_to_download, self._core, seal)
        except ExpiredToken:
            return Response(status=403, text="This download URL has expired.\n")
        except StoreUnavailable as error:
            return Response(status=503, text=f"{error}\n")
        except EcrateError:
            return Response(status=404, text="There is no such download.\n")
        headers = {"Content-Type": "application/octet-stream"}
        try:
            if self._faults is None:
                return await send_layer(request, self._core, layer, headers, self._threads)
            registry = registry_of_download(self._core, seal)
            async with self._faults.around(request, registry, DOWNLOAD):
                return await send_layer(request, self._core, layer, headers, self._threads)
        except RateExceeded as error:
            return Response(status=429, text=f"{error}\n", headers={"Retry-After": "1"})
        except (ExpiredToken, InternalFault) as error:
            status = 403 if isinstance(error, ExpiredToken) else 500
            return Response(status=status, text=f"{error}\n")
        except StoreUnavailable as error:
            return Response(status=503, text=f"{error}\n", headers={"Retry-After": "1"})
