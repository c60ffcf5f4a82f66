"""`/layers/<seal>`: what GetDownloadUrlForLayer's URLs lead to on the filesystem store."""

from __future__ import annotations

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import EcrateError, ExpiredToken, StoreUnavailable
from ecrate.operations.core import Core
from ecrate.operations.layers import find_layer_to_download, open_layer
from ecrate.web.files import send_file
from ecrate.web.threads import Threads


class Downloads:
    """Serves the one layer that a seal names, to whoever has the seal."""

    def __init__(self, core: Core, threads: Threads) -> None:
        self._core = core
        self._threads = threads

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
        file = open_layer(self._core, layer)
        return await send_file(request, file, layer.size, layer.digest.text, headers)
