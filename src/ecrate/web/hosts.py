"""Host names: which registry one names, and which one leads a client to a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from aiohttp.web import BaseRequest

from ecrate.domain.names import RegistryRef

_REGISTRY_HOST: Final = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]{2,25})\.(.+)")


def registry_of(host: str) -> RegistryRef | None:
    """Give the registry that `<account>.dkr.ecr.<region>.<anything>` names, else None."""
    match = _REGISTRY_HOST.fullmatch(host.lower())
    return None if match is None else RegistryRef(match[1], match[2])


@dataclass(frozen=True, slots=True)
class Hosts:
    """How registries are reached from outside.

    `template` is the setting registry_host, with `{account}` and `{region}`; `public_url` the
    address behind a proxy; both empty when unset. `has_tls`: the client speaks TLS.
    """

    template: str = ""
    public_url: str = ""
    has_tls: bool = False

    def seen_by(self, request: BaseRequest) -> Hosts:
        """Give the same for a request's client, which may speak TLS to a proxy only."""
        has_tls = request.scheme == "https"
        return self if has_tls == self.has_tls else replace(self, has_tls=has_tls)

    def scheme(self) -> str:
        """Give the scheme clients use."""
        own = "https" if self.has_tls else "http"
        return self.public_url.partition("://")[0] or own

    def base(self, request_host: str) -> str:
        """Give the URL under which the client that sent this Host header reaches the server."""
        return self.public_url.rstrip("/") or f"{self.scheme()}://{request_host}"

    def host(self, request_host: str, caller: RegistryRef, registry: RegistryRef) -> str:
        """Give the host under which the caller finds `registry`.

        That is the one it is talking to, unless that would lead it to another registry.
        """
        if self.template:
            return self.template.format(account=registry.id, region=registry.region)
        host = self.public_url.partition("://")[2].rstrip("/") or request_host
        named = _REGISTRY_HOST.fullmatch(host.lower())
        if named is not None:
            return f"{registry.id}.dkr.ecr.{registry.region}.{named[3]}"
        if registry == caller:
            return host
        _, colon, port = host.rpartition(":")
        return f"{registry.id}.dkr.ecr.{registry.region}.localhost{colon and ':' + port}"
