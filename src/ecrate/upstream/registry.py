"""Upstream registries over HTTP. Source: OCI distribution-spec 1.1."""

from __future__ import annotations

import contextlib
import http
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.images import MANIFEST_TYPES, MAX_MANIFEST_SIZE, OCI_INDEX
from ecrate.domain.names import Digest
from ecrate.domain.pull_through import UpstreamUrl
from ecrate.domain.upstream_errors import (
    UpstreamAccessDenied,
    UpstreamContentRefused,
    UpstreamError,
    UpstreamNotFound,
    UpstreamTooManyRequests,
    UpstreamUnavailable,
)
from ecrate.upstream.answers import read_error, read_pause
from ecrate.upstream.authorization import Authorizations
from ecrate.upstream.endpoints import BROKEN
from ecrate.upstream.http import BadAnswerError, Http, Reply
from ecrate.upstream.port import BlobSource, Place, UpstreamManifest

_MOST_CHALLENGES: Final = 2  # one for a token, one more where that has just expired
_LARGEST_ERROR: Final = 64 * 1024
_LONGEST_TAG: Final = 512
_MOST_PAGES: Final = 20
_MOST_REFERRERS: Final = 1000
_ACCEPT: Final = {"Accept": ", ".join(sorted(MANIFEST_TYPES))}
_ACCEPT_INDEX: Final = {"Accept": OCI_INDEX}


class HttpUpstreams:
    """The registries that are there, each at the host of its URL.

    `allows` tells which URLs that ECR does not know are an operator's choice.
    """

    def __init__(
        self,
        client: Http,
        *,
        allows: Callable[[UpstreamUrl], bool],
        realms: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`realms`: hosts beside its own that a registry's login may go to for a token."""
        self._http = client
        self._allows = allows
        self._authorizations = Authorizations(client, realms or {})

    def check_url(self, url: UpstreamUrl) -> str:
        if url.kind is not None or self._allows(url):
            return ""
        return "it is none of ECR's, and the setting 'upstream_hosts' does not allow it"

    def get_manifest(
        self, place: Place, reference: str, *, etag: str = ""
    ) -> UpstreamManifest | None:
        headers = {**_ACCEPT, **({"If-None-Match": etag} if etag else {})}
        path = f"/v2/{place.repository}/manifests/{reference}"
        with self._got(place, path, headers) as reply:
            if reply.status == http.HTTPStatus.NOT_MODIFIED and etag:
                return None
            _check_found(place, reply)
            content = reply.read_all(MAX_MANIFEST_SIZE)
            told = reply.headers.get("Docker-Content-Digest", "")
            if told and _is_other(told, content):
                raise UpstreamContentRefused(
                    place.url.host, f"the manifest is not that of its digest {told[:200]}"
                )
            media_type = reply.headers.get("Content-Type", "").partition(";")[0].strip()
            return UpstreamManifest(content, media_type, _etag(reply))

    @contextlib.contextmanager
    def open_blob(self, place: Place, digest: Digest, start: int = 0) -> Iterator[BlobSource]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        path = f"/v2/{place.repository}/blobs/{digest.text}"
        with self._got(place, path, headers) as reply:
            _check_found(place, reply)
            is_rest = reply.status == http.HTTPStatus.PARTIAL_CONTENT
            if is_rest and not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise BadAnswerError("it sent another range than was asked for")
            reply.relax()
            yield _Source(place, reply, start if is_rest else 0)

    def list_referrers(self, place: Place, subject: Digest) -> Sequence[Digest]:
        found: list[Digest] = []
        path: str | None = f"/v2/{place.repository}/referrers/{subject.text}"
        for _ in range(_MOST_PAGES):
            if path is None or len(found) > _MOST_REFERRERS:
                break
            with self._got(place, path, _ACCEPT_INDEX) as reply:
                if reply.status == http.HTTPStatus.NOT_FOUND:
                    return self._tagged_referrers(place, subject)
                _check_found(place, reply)
                found += _digests(place, reply.read_all(MAX_MANIFEST_SIZE))
                path = _next_page(place, path, reply)
        return found[:_MOST_REFERRERS]

    def _tagged_referrers(self, place: Place, subject: Digest) -> Sequence[Digest]:
        """Source: distribution-spec, "Referrers Tag Schema"."""
        algorithm, _, encoded = subject.text.partition(":")
        try:
            index = self.get_manifest(place, f"{algorithm}-{encoded[:64]}")
        except UpstreamNotFound:
            return ()
        return [] if index is None else _digests(place, index.content)[:_MOST_REFERRERS]

    def check(self, place: Place) -> None:
        with self._got(place, "/v2/", {}) as reply:
            _check_found(place, reply)

    def close(self) -> None:
        self._http.close()

    @contextlib.contextmanager
    def _got(self, place: Place, path: str, headers: Mapping[str, str]) -> Iterator[Reply]:
        """Give the answer to a GET, once what it challenges with was answered."""
        refusal = self.check_url(place.url)
        if refusal:
            raise UpstreamUnavailable(place.url.host, refusal)
        with _told(place):
            for round_ in range(_MOST_CHALLENGES + 1):
                used = self._authorizations.header(place)
                credentials = {"Authorization": used} if used else {}
                url = f"{place.url.text}{path}"
                with self._http.follow(url, headers, credentials) as reply:
                    asked = reply.headers.get_all("WWW-Authenticate") or []
                    is_challenged = (
                        reply.status == http.HTTPStatus.UNAUTHORIZED
                        and round_ < _MOST_CHALLENGES
                        and reply.is_first
                    )
                    if not is_challenged or not self._authorizations.answer(
                        place, reply.endpoint, used, asked
                    ):
                        yield reply
                        return


class _Source:
    """A blob's bytes, whose errors are the port's."""

    def __init__(self, place: Place, reply: Reply, start: int) -> None:
        self._place = place
        self._reply = reply
        self.start = start
        self.size = reply.size

    def read(self, count: int) -> bytes:
        with _told(self._place):
            return self._reply.read(count)


@contextlib.contextmanager
def _told(place: Place) -> Iterator[None]:
    try:
        yield
    except UpstreamError:
        raise
    except (*BROKEN, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise UpstreamUnavailable(place.url.host, reason) from None


def _check_found(place: Place, reply: Reply) -> None:
    """Raise unless the answer is what was asked for."""
    upstream, status = place.url.host, reply.status
    if status in {http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT}:
        encoding = reply.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise UpstreamContentRefused(upstream, f"it is encoded with {encoding[:50]}")
        return
    if status == http.HTTPStatus.NOT_FOUND:
        raise UpstreamNotFound(upstream)
    code, text = read_error(_error_body(reply))
    reason = ": ".join(part for part in (f"it answers {status}", code, text) if part)
    if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
        raise UpstreamAccessDenied(upstream, reason)
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        raise UpstreamTooManyRequests(upstream, reason, read_pause(reply.headers))
    raise UpstreamUnavailable(upstream, reason)


def _error_body(reply: Reply) -> bytes:
    try:
        return reply.read_all(_LARGEST_ERROR)
    except BROKEN:
        return b""


def _etag(reply: Reply) -> str:
    """Give the entity tag if it can be stored, and sent back as it came."""
    told: str = reply.headers.get("ETag", "")
    is_plain = told.isascii() and told.isprintable() and len(told) <= _LONGEST_TAG
    return told if is_plain else ""


def _is_other(told: str, content: bytes) -> bool:
    try:
        return not Digest.parse(told).fits(content)
    except InvalidParameter:
        return True


def _digests(place: Place, content: bytes) -> list[Digest]:
    try:
        document: Any = json.loads(content)
        return [Digest.parse(entry["digest"]) for entry in document["manifests"]]
    except (ValueError, LookupError, TypeError, RecursionError, AttributeError, InvalidParameter):
        raise UpstreamContentRefused(place.url.host, "the list of referrers is no index") from None


def _next_page(place: Place, path: str, reply: Reply) -> str | None:
    """Give where the following page is: whatever host a Link names, the same one is asked."""
    url, _, parameters = (reply.headers.get("Link") or "").partition(">")
    if not url.startswith("<") or "next" not in parameters:
        return None
    parts = urlsplit(urljoin(f"{place.url.text}{path}", url[1:]))
    return f"{parts.path}?{parts.query}"
