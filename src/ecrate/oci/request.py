"""One request at the registry door, as its handlers see it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp.web import BaseRequest

from ecrate.domain.names import RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.values import value
from ecrate.oci.routes import Query
from ecrate.operations.authorization import Opener
from ecrate.operations.core import Core
from ecrate.operations.templates import open_or_create_repository
from ecrate.web.body import Bodies
from ecrate.web.threads import Threads

T = TypeVar("T")


@value
class RegistryRequest:
    """`ref` is the repository the path names, `reference` the tag, digest or upload id.

    `namespace` is the registry that the client means, where it takes this one for a mirror.
    """

    http: BaseRequest
    core: Core
    caller: Caller
    ref: RepositoryRef
    reference: str
    query: Query
    bodies: Bodies
    threads: Threads
    namespace: str = ""

    @property
    def opens_for_push(self) -> Opener:
        """What opens a repository for a push, and makes it where a template says so."""
        return functools.partial(open_or_create_repository, self.core)

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Run an operation of a few indexed reads where it takes the least time."""
        return await self.threads.read(function, self.core, self.caller, self.ref, *arguments)

    async def write(self, function: Callable[..., T], *arguments: object) -> T:
        """Run an operation that is a short write where it takes the least time."""
        return await self.threads.write(function, self.core, self.caller, self.ref, *arguments)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run an operation in a thread."""
        return await self.threads.run(function, self.core, self.caller, self.ref, *arguments)


def next_link(path: str, **parameters: object) -> dict[str, str]:
    """Give the Link header that leads to the next page."""
    return {"Link": f'<{path}?{urlencode(parameters)}>; rel="next"'}
