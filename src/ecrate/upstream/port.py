"""The upstream port: what a pull through cache needs of another registry."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ecrate.domain.names import Digest
from ecrate.domain.pull_through import UpstreamUrl
from ecrate.upstream.logins import Login


@dataclass(frozen=True, slots=True)
class Place:
    """A repository of an upstream, and who asks for it: None is nobody in particular."""

    url: UpstreamUrl
    login: Login | None
    repository: str


@dataclass(frozen=True, slots=True)
class UpstreamManifest:
    """A document as it came, with the type and the entity tag it was sent with."""

    content: bytes
    media_type: str
    etag: str


class BlobSource(Protocol):
    """Bytes of a blob from byte `start` on; `size` counts these, None where nobody tells."""

    start: int
    size: int | None

    def read(self, count: int) -> bytes:
        """Give up to `count` bytes, none at the end."""


class Upstreams(Protocol):
    """All registries that rules may name.

    Each method raises one of `domain.upstream_errors.UpstreamError` where it does not get what it
    is asked for, within the time that the operator gives an upstream. Nothing is verified that a
    digest can verify: that is the caller's.
    """

    def check_url(self, url: UpstreamUrl) -> str:
        """Tell why nothing is fetched from there, an empty text where it may be."""

    def get_manifest(
        self, place: Place, reference: str, *, etag: str = ""
    ) -> UpstreamManifest | None:
        """Give a manifest by tag or digest, None while it is still the one of that entity tag."""

    def open_blob(
        self, place: Place, digest: Digest, start: int = 0
    ) -> AbstractContextManager[BlobSource]:
        """Open a blob from `start` on, or, where the registry cannot do that, from its beginning.

        What breaks off later raises the same errors out of `read`.
        """

    def list_referrers(self, place: Place, subject: Digest) -> Sequence[Digest]:
        """Give the digests of the manifests that name this subject, up to a limit."""

    def check(self, place: Place) -> None:
        """Ask whether the registry is there and takes the login."""

    def close(self) -> None:
        """Break off what is under way; nothing can be had any more."""
