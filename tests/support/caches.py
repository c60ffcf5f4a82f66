"""A server that caches an upstream, for tests that pull through it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, running_server
from tests.support.upstream import Upstream, running_upstream, settings_for


@dataclasses.dataclass(frozen=True)
class Cache:
    """A server with a rule `up` for an upstream; `http` is logged in at the server."""

    server: Server
    upstream: Upstream
    http: httpx.Client

    def manifest(self, name: str, reference: str) -> httpx.Response:
        return self.http.get(f"/v2/up/{name}/manifests/{reference}")

    def blob(self, name: str, digest: str, **headers: str) -> httpx.Response:
        return self.http.get(f"/v2/up/{name}/blobs/{digest}", headers=headers)

    def has(self, name: str, digest: str) -> bool:
        """Tell whether a layer is here, without asking for it."""
        answer = self.server.ecr().batch_check_layer_availability(
            repositoryName=f"up/{name}", layerDigests=[digest]
        )
        return answer["layers"][0]["layerAvailability"] == "AVAILABLE"

    def received(self, name: str, digest: str, refusal: int = 502) -> int:
        """Pull a layer that does not come whole, or at all; give how many of its bytes did."""
        pieces: list[bytes] = []
        with self.http.stream("GET", f"/v2/up/{name}/blobs/{digest}") as answer:
            if answer.status_code != refusal:
                with pytest.raises(httpx.RemoteProtocolError):
                    pieces.extend(answer.iter_raw())
        return len(b"".join(pieces))


@contextlib.contextmanager
def running_cache(folder: Path, *, imports_all: bool = False) -> Iterator[Cache]:
    """Run a server for a block that has no patience with upstreams and compares tags each time."""
    with contextlib.ExitStack() as opened:
        upstream = opened.enter_context(running_upstream())
        env = settings_for(
            upstream.url, timeout="1", recheck="0", imports_all=str(imports_all).lower()
        )
        server = opened.enter_context(running_server(folder, "--workers", "2", env=env))
        server.ecr().create_pull_through_cache_rule(
            ecrRepositoryPrefix="up", upstreamRegistryUrl=upstream.url
        )
        yield Cache(server, upstream, opened.enter_context(server.http()))
