"""One request to the console, as its handlers see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp.web import BaseRequest, Response

from ecrate.console.pages import Pages
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.sessions import Session
from ecrate.domain.values import value
from ecrate.operations.core import Core
from ecrate.operations.permissions import list_permitted, list_permitted_in_registry
from ecrate.web.hosts import Hosts

PATH: Final = "/console/"
PAGE: Final = 50


@value
class ConsoleRequest:
    """`name` and `digest` are those in the path, empty where there are none; `query` and `form`
    have each member once.
    """

    http: BaseRequest
    core: Core
    hosts: Hosts
    pages: Pages
    session: Session
    name: str
    digest: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    request_id: str

    @property
    def caller(self) -> Caller:
        return self.session.caller

    @property
    def ref(self) -> RepositoryRef:
        return RepositoryRef.parse(self.caller.registry, self.name)

    @property
    def image_digest(self) -> Digest:
        return Digest.parse(self.digest)

    @property
    def is_fragment(self) -> bool:
        """Whether part of a page is asked for, to go into one that is there."""
        return self.http.headers.get("HX-Request") == "true"

    @property
    def registry_host(self) -> str:
        """The host that docker is told."""
        own = self.caller.registry
        return self.hosts.host(self.http.headers.get("Host", ""), own, own)

    def may(self, *actions: str) -> frozenset[str]:
        """Give those of the actions that may be done on the repository."""
        return list_permitted(self.core, self.caller, self.ref, actions)

    def may_in_registry(self, actions: Iterable[str]) -> frozenset[str]:
        return list_permitted_in_registry(self.core, self.caller, self.caller.registry, actions)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Give a page, or the fragment of one."""
        shows_trash = not self.is_fragment and self.may_in_registry(("RestoreRepository",))
        text = self.pages.render(
            template,
            shows_trash=shows_trash,
            session=self.session,
            caller=self.caller,
            registry=self.caller.registry,
            now=self.core.clock(),
            **values,
        )
        return Response(status=status, text=text, content_type="text/html", charset="utf-8")

    def part(self, template: str, heading: str, **values: Any) -> Response:
        """Give the fragment of a page, to a browser without scripts as a page of its own."""
        if self.is_fragment:
            return self.page(template, **values)
        return self.page("whole.html", part=template, heading=heading, **values)

    def go(self, path: str, *, told: str = "", **query: str) -> Response:
        """Send the browser on to another page; `told`, a key of `TOLD`, says what was done."""
        if told:
            query["told"] = told
        where = f"{PATH}{path}{f'?{urlencode(query)}' if query else ''}"
        return Response(status=303, headers={"Location": where})


def repository_path(name: str, *rest: str) -> str:
    """Give the path of a repository's page below `/console/`; `-` is no component of a name."""
    base = f"r/{quote(name)}"
    return base if not rest else f"{base}/-/{'/'.join(rest)}"
