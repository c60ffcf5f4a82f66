"""One call of the AWS door, as its handlers see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final, Generic, TypeVar

from ecrate.domain.errors import (
    EcrateError,
    InvalidImageDigest,
    InvalidImageTag,
    InvalidParameter,
    InvalidToken,
    MissingDigestAndTag,
)
from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef, is_tag
from ecrate.domain.principals import Caller
from ecrate.domain.values import value
from ecrate.operations.core import Core
from ecrate.operations.pull_through.fetches import Waited
from ecrate.web.hosts import Hosts

P = TypeVar("P")
Q = TypeVar("Q")

DEFAULT_PAGE: Final = 100
_PAGE: Final = "page"


@value
class Call(Generic[P]):
    """`parameters` passed validation; `host` is the request's Host header. `waited`: what was
    fetched from upstream since the call was made first.
    """

    core: Core
    caller: Caller
    parameters: P
    host: str
    hosts: Hosts
    session_token: str | None = None
    is_inspection: bool = False
    waited: Waited = field(default_factory=dict)

    def asking(self, parameters: Q) -> Call[Q]:
        """Give the call with its parameters, once they are read."""
        return Call(
            self.core,
            self.caller,
            parameters,
            self.host,
            self.hosts,
            self.session_token,
            self.is_inspection,
        )

    def repeated(self, waited: Waited) -> Call[P]:
        """Give the same call, made again after these fetches."""
        return replace(self, waited=waited)

    def registry(self, registry_id: str | None = None) -> RegistryRef:
        """Give the registry asked about: the caller's, unless an id names another account's."""
        own = self.caller.registry
        return own if registry_id is None else RegistryRef(registry_id, own.region)

    def repository(self, name: str, registry_id: str | None = None) -> RepositoryRef:
        return RepositoryRef.parse(self.registry(registry_id), name)

    def registry_host(self, registry: RegistryRef) -> str:
        return self.hosts.host(self.host, self.caller.registry, registry)

    def page_token(self, scope: str, position: object) -> str:
        """Give a token for the page at `position`; it serves the same list and caller only."""
        return self.core.seals.seal(_PAGE, {"for": self._scope(scope), "at": position})

    def page_position(self, scope: str, token: str) -> Any:
        """Give back the position; raises `InvalidParameter` for any other token."""
        try:
            payload = self.core.seals.open(_PAGE, token, self.core.clock())
        except InvalidToken:
            payload = {}
        if payload.get("for") != self._scope(scope):
            raise InvalidParameter("nextToken", "Invalid token")  # [A]
        return payload["at"]

    def _scope(self, scope: str) -> str:
        return f"{self.caller.arn} {self.caller.registry.region} {scope}"


def parse_image_id(given: Mapping[str, Any]) -> ImageId | EcrateError:
    """Give the image id, or what the batch operations answer for a malformed one."""
    digest, tag = given.get("imageDigest"), given.get("imageTag")
    if digest is None and tag is None:
        return MissingDigestAndTag()
    if tag is not None and not is_tag(tag):
        return InvalidImageTag()
    try:
        return ImageId(None if digest is None else Digest.parse(digest), tag)
    except InvalidParameter:
        return InvalidImageDigest()


def render_image_id(image_id: ImageId) -> dict[str, str]:
    wire = {}
    if image_id.digest is not None:
        wire["imageDigest"] = image_id.digest.text
    if image_id.tag is not None:
        wire["imageTag"] = image_id.tag
    return wire
