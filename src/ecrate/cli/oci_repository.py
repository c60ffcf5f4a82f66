"""A repository of any registry, through the API of the OCI distribution specification 1.1."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from ecrate.cli.connections import Answer
from ecrate.cli.download import remote_blob
from ecrate.cli.failures import SERVICE_ERROR, CommandError
from ecrate.cli.manifests import (
    MEDIA_TYPES,
    OCI_INDEX,
    Blob,
    Document,
    Manifest,
    check_descriptors,
    digest_of,
    is_digest,
    read_document,
)
from ecrate.cli.oci_upload import BlobUpload
from ecrate.cli.progress import Progress
from ecrate.cli.reference import is_tag
from ecrate.cli.registry_client import RegistryClient, RegistryError, next_page
from ecrate.cli.transfer import run_parallel

_PAGE: Final = 1000
# Source: distribution's token scopes; for a name, distribution-spec, "Pulling manifests".
_CATALOG: Final = frozenset({"registry:catalog:*"})
_NAME: Final = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_NO_TAGS: Final = (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.METHOD_NOT_ALLOWED)
_MOST_PAGES: Final = 10_000


class OciRepository:
    """One repository of a registry."""

    def __init__(self, client: RegistryClient, name: str, text: str, *, jobs: int) -> None:
        self.connections = client.connections
        self.text = text
        self.name = name
        self.registry = client.endpoint.url
        self._client = client
        self._jobs = jobs
        self._pull = frozenset({f"repository:{name}:pull"})
        self._push = frozenset({f"repository:{name}:pull,push"})
        self._remove = frozenset({f"repository:{name}:delete,pull,push"})

    def find(self, reference: str) -> Document:
        answer = self._get_manifest(reference)
        if answer.status == http.HTTPStatus.NOT_FOUND:
            raise CommandError(
                f"{self.text} has no image {reference}. `ecrate ls {self.text}` tells what is "
                "there.",
                SERVICE_ERROR,
            )
        if answer.status != http.HTTPStatus.OK:
            raise self._client.refuse(f"give {self.text}:{reference}", answer)
        return self._document(reference, answer)

    def _get_manifest(self, reference: str) -> Answer:
        target = self._target(f"manifests/{reference}")
        headers = {"Accept": ", ".join(MEDIA_TYPES)}
        return self._client.ask("GET", target, scopes=self._pull, headers=headers)

    def _document(self, reference: str, answer: Answer) -> Document:
        media_type = (answer.headers.get("Content-Type") or "").partition(";")[0].strip()
        digest = reference if is_digest(reference) else digest_of(answer.content)
        found = read_document(answer.content, media_type, digest, f"{self.text}:{reference}")
        if found.media_type not in MEDIA_TYPES:
            raise CommandError(
                f"{self.text}:{reference} is of the type {found.media_type}, which cannot be "
                "handled; push it again with a current client"
            )
        return found

    def find_all(self, digests: Sequence[str]) -> list[Document]:
        tasks = [partial(self.find, digest) for digest in digests]
        return run_parallel(tasks, jobs=self._jobs, connections=self.connections)

    def blob(self, digest: str, size: int) -> Blob:
        return remote_blob(digest, size, partial(self._fetch, digest), self.connections)

    @contextlib.contextmanager
    def _fetch(self, digest: str, offset: int) -> Iterator[http.client.HTTPResponse]:
        target = self._target(f"blobs/{digest}")
        with self._client.open(target, offset, scopes=self._pull) as response:
            yield response

    def present(self, digests: Sequence[str]) -> set[str]:
        tasks = [partial(self._is_present, digest) for digest in digests]
        found = run_parallel(tasks, jobs=self._jobs, connections=self.connections)
        return {digest for digest, is_there in zip(digests, found, strict=True) if is_there}

    def _is_present(self, digest: str) -> bool:
        answer = self._client.ask("HEAD", self._target(f"blobs/{digest}"), scopes=self._push)
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return False
        if answer.status != http.HTTPStatus.OK:
            raise self._client.refuse(f"look into {self.text}", answer)
        return True

    def mount(self, digest: str, source: str) -> bool:
        query = urlencode({"mount": digest, "from": source})
        scopes = self._push | {f"repository:{source}:pull"}
        answer = self._client.ask("POST", self._target(f"blobs/uploads/?{query}"), scopes=scopes)
        if answer.status == http.HTTPStatus.CREATED:
            return True
        begun = answer.headers.get("Location")
        if answer.status == http.HTTPStatus.ACCEPTED and begun:
            # Not mounted, but an upload was begun, which nobody is going to use.
            self._client.ask("DELETE", begun, scopes=self._push)
        return False

    def upload(self, blob: Blob, progress: Progress) -> str:
        target = self._target("blobs/")
        return BlobUpload(self._client, target, self._push, blob, progress).run()

    def put(self, manifest: Manifest | Document, tag: str | None) -> None:
        answer = self._put(manifest.content, manifest.media_type, tag or manifest.digest)
        document = read_document(
            manifest.content, manifest.media_type, manifest.digest, manifest.digest
        )
        if document.subject is not None and answer.headers.get("OCI-Subject") is None:
            self._add_referrer(document.subject, document)

    def _put(self, content: bytes, media_type: str, reference: str) -> Answer:
        target = self._target(f"manifests/{reference}")
        headers = {"Content-Type": media_type}
        answer = self._client.ask("PUT", target, scopes=self._push, headers=headers, body=content)
        if answer.status not in (http.HTTPStatus.CREATED, http.HTTPStatus.OK):
            raise self._client.refuse(f"take {self.text}:{reference}", answer)
        return answer

    def _add_referrer(self, subject: str, document: Document) -> None:
        """Note a referrer in the index under the fallback tag, for a registry without referrers.

        Source: distribution-spec, "Pushing Manifests with Subject".
        """
        known = self._fallback_referrers(subject)
        if any(each["digest"] == document.digest for each in known):
            return
        descriptor = document.descriptor
        if document.artifact_type:
            descriptor["artifactType"] = document.artifact_type
        if document.body.get("annotations"):
            descriptor["annotations"] = document.body["annotations"]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*known, descriptor]}
        self._put(json.dumps(index).encode(), OCI_INDEX, _fallback_tag(subject))

    def _fallback_referrers(self, subject: str) -> list[dict[str, Any]]:
        answer = self._get_manifest(_fallback_tag(subject))
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return []
        if answer.status != http.HTTPStatus.OK:
            raise self._client.refuse(f"list what refers to {subject}", answer)
        return self._document(_fallback_tag(subject), answer).children

    def create(self) -> None:
        """Do nothing: most registries make a repository at the first push."""

    def tags(self) -> list[str]:
        found: list[str] = []
        for answer in self._pages(self._target(f"tags/list?n={_PAGE}")):
            if answer.status != http.HTTPStatus.OK:
                raise self._client.refuse(f"list the tags of {self.text}", answer)
            listed = _json_of(answer).get("tags") or []
            found += [tag for tag in listed if isinstance(tag, str) and is_tag(tag)]
        return sorted(set(found))

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for answer in self._pages(self._target(f"referrers/{digest}")):
            if answer.status != http.HTTPStatus.OK:
                # Source: distribution-spec, "Unavailable Referrers API".
                return self._fallback_referrers(digest)
            listed = _json_of(answer).get("manifests") or []
            found += check_descriptors(listed, f"the referrers of {self.text}")
        return found

    def neighbours(self) -> list[str]:
        """Give the names of all repositories of the same registry."""
        found: list[str] = []
        for answer in self._pages(f"/v2/_catalog?n={_PAGE}", _CATALOG):
            if answer.status != http.HTTPStatus.OK:
                raise self._client.refuse("list its repositories", answer)
            listed = _json_of(answer).get("repositories") or []
            found += [name for name in listed if isinstance(name, str) and _NAME.fullmatch(name)]
        return sorted(set(found))

    def _pages(self, target: str, scopes: frozenset[str] = frozenset()) -> Iterator[Answer]:
        following: str | None = target
        for _ in range(_MOST_PAGES):
            if following is None:
                return
            answer = self._client.ask("GET", following, scopes=scopes or self._pull)
            yield answer
            following = next_page(answer)

    def delete(self, digests: Sequence[str]) -> None:
        for digest in digests:
            self._delete(digest)

    def untag(self, tag: str) -> None:
        try:
            self._delete(tag)
        except RegistryError as error:
            if error.status not in _NO_TAGS:
                raise
            # Source: distribution-spec, "Deleting tags": a registry may refuse.
            raise CommandError(
                f"{error}\nThis registry deletes by digest, with all tags of the image: "
                f"ecrate rm {self.text}@{self.find(tag).digest}",
                SERVICE_ERROR,
            ) from None

    def _delete(self, reference: str) -> None:
        target = self._target(f"manifests/{reference}")
        answer = self._client.ask("DELETE", target, scopes=self._remove)
        if answer.status not in (http.HTTPStatus.ACCEPTED, http.HTTPStatus.OK):
            raise self._client.refuse(f"delete {self.text}:{reference}", answer)

    def _target(self, path: str) -> str:
        return f"/v2/{quote(self.name)}/{path}"


def _fallback_tag(subject: str) -> str:
    """Give the tag that lists referrers. Source: distribution-spec, "Referrers Tag Schema"."""
    algorithm, _, value = subject.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def _json_of(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
