"""A repository through ECR's API and layer API. Mounts go through the registry's other door."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ecrate.cli.client import Client
from ecrate.cli.connections import make_endpoint
from ecrate.cli.download import open_url, remote_blob
from ecrate.cli.failures import SERVICE_ERROR, CommandError, ServiceError
from ecrate.cli.logins import read_token
from ecrate.cli.manifests import (
    MEDIA_TYPES,
    Blob,
    Document,
    Manifest,
    is_digest,
    read_document,
)
from ecrate.cli.oci_repository import OciRepository
from ecrate.cli.options import CommonValues
from ecrate.cli.progress import Progress
from ecrate.cli.registry_client import RegistryClient
from ecrate.cli.transfer import patiently, run_parallel
from ecrate.cli.upload import LayerUpload
from ecrate.upstream.endpoints import BROKEN

_MOST: Final = 100  # layers or images in one call
_PAGE: Final = 1000
_REFERRERS_PAGE: Final = 50


class EcrRepository:
    """One repository of an ecrate or of ECR."""

    def __init__(
        self, client: Client, members: Mapping[str, str], text: str, options: CommonValues
    ) -> None:
        """`members` name the repository in a call: `repositoryName`, and perhaps `registryId`."""
        self.client = client
        self.connections = client.connections
        self.members = dict(members)
        self.name = members["repositoryName"]
        self.text = text
        registry_id = members.get("registryId", "")
        self.registry = f"{client.endpoint.url}{registry_id}/{client.region}"
        self._options = options
        self._lock = threading.Lock()
        self._door: OciRepository | None = None

    def find(self, reference: str) -> Document:
        kind = "imageDigest" if is_digest(reference) else "imageTag"
        answer = self._get([{kind: reference}])
        for document in self._documents(answer):
            return document
        raise self._missing(reference, answer)

    def find_all(self, digests: Sequence[str]) -> list[Document]:
        found = self.documents(digests)
        for digest in digests:
            if digest not in found:
                raise self._missing(digest, {})
        return [found[digest] for digest in digests]

    def documents(self, digests: Sequence[str], *, jobs: int = 1) -> dict[str, Document]:
        """Give those manifests that are there, by their digests."""
        wanted = list(dict.fromkeys(digests))
        batches = [wanted[start : start + _MOST] for start in range(0, len(wanted), _MOST)]
        tasks = [partial(self._get, [{"imageDigest": d} for d in batch]) for batch in batches]
        answers = run_parallel(tasks, jobs=jobs, connections=self.connections)
        return {each.digest: each for answer in answers for each in self._documents(answer)}

    def _get(self, image_ids: list[dict[str, str]]) -> dict[str, Any]:
        parameters = {
            **self.members,
            "imageIds": image_ids,
            "acceptedMediaTypes": list(MEDIA_TYPES),
        }
        return self._patiently("BatchGetImage", parameters)

    def _documents(self, answer: dict[str, Any]) -> list[Document]:
        place = f"the answer for {self.text}"
        return [
            read_document(
                image["imageManifest"].encode(),
                image.get("imageManifestMediaType"),
                image["imageId"]["imageDigest"],
                place,
            )
            for image in answer.get("images", ())
        ]

    def _missing(self, reference: str, answer: dict[str, Any]) -> CommandError:
        reasons = [each.get("failureReason") for each in answer.get("failures", ())]
        return CommandError(
            f"{self.name} has no image {reference}: {next(iter(reasons), 'none was given')}. "
            f"`ecrate ls {self.text}` tells what is there.",
            SERVICE_ERROR,
        )

    def blob(self, digest: str, size: int) -> Blob:
        return remote_blob(digest, size, partial(self._fetch, digest), self.connections)

    @contextlib.contextmanager
    def _fetch(self, digest: str, offset: int) -> Iterator[http.client.HTTPResponse]:
        answer = self._patiently("GetDownloadUrlForLayer", {**self.members, "layerDigest": digest})
        url = str(answer["downloadUrl"])
        with open_url(url, offset, {}, self.connections, options=self._options) as response:
            yield response

    def present(self, digests: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(digests), _MOST):
            parameters = {**self.members, "layerDigests": list(digests[start : start + _MOST])}
            answer = self.client.call("BatchCheckLayerAvailability", parameters)
            found |= {
                layer["layerDigest"]
                for layer in answer.get("layers", ())
                if layer.get("layerAvailability") == "AVAILABLE"
            }
        return found

    def mount(self, digest: str, source: str) -> bool:
        try:
            return self._registry_door().mount(digest, source)
        except (CommandError, *BROKEN) as error:
            # The API alone is enough to push: then the bytes are sent.
            self.connections.log(f"mount of {digest} from {source}: {error}")
            return False

    def _registry_door(self) -> OciRepository:
        """Give this repository as `/v2/` has it, where the API says that is."""
        with self._lock:
            if self._door is None:
                registry_id = self.members.get("registryId")
                parameters = {"registryIds": [registry_id]} if registry_id else {}
                data = self.client.call("GetAuthorizationToken", parameters)["authorizationData"][0]
                client = RegistryClient(
                    make_endpoint(data["proxyEndpoint"], self._options),
                    read_token(data["authorizationToken"]),
                    self.connections,
                    self._options,
                )
                self._door = OciRepository(client, self.name, self.text, jobs=1)
            return self._door

    def upload(self, blob: Blob, progress: Progress) -> str:
        return LayerUpload(self.client, self.members, blob, progress).run()

    def put(self, manifest: Manifest | Document, tag: str | None) -> None:
        parameters = {
            **self.members,
            **({} if tag is None else {"imageTag": tag}),
            "imageManifest": manifest.content.decode(),
            "imageManifestMediaType": manifest.media_type,
            "imageDigest": manifest.digest,
        }
        try:
            self._patiently("PutImage", parameters)
        except ServiceError as error:
            if error.code == "ImageTagAlreadyExistsException":
                raise CommandError(
                    f"{error}\nPush to another tag, or allow tags to move: ecrate ecr "
                    "put-image-tag-mutability --image-tag-mutability MUTABLE "
                    f"--repository-name {self.name}",
                    SERVICE_ERROR,
                ) from None
            if error.code != "ImageAlreadyExistsException":
                raise

    def create(self) -> None:
        try:
            self.client.call("CreateRepository", self.members)
        except ServiceError as error:
            # Somebody else may just have made it.
            if error.code != "RepositoryAlreadyExistsException":
                raise

    def tags(self) -> list[str]:
        parameters = {**self.members, "filter": {"tagStatus": "TAGGED"}, "maxResults": _PAGE}
        pages = pages_of(self.client, "ListImages", parameters)
        return sorted({each["imageTag"] for page in pages for each in page["imageIds"]})

    def details(self) -> list[dict[str, Any]]:
        """Give what DescribeImages tells of all images, archived ones too."""
        parameters = {**self.members, "filter": {"imageStatus": "ANY"}, "maxResults": _PAGE}
        pages = pages_of(self.client, "DescribeImages", parameters)
        return [each for page in pages for each in page["imageDetails"]]

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        parameters = {
            **self.members,
            "subjectId": {"imageDigest": digest},
            "maxResults": _REFERRERS_PAGE,
        }
        pages = pages_of(self.client, "ListImageReferrers", parameters)
        return [each for page in pages for each in page["referrers"]]

    def delete(self, digests: Sequence[str]) -> None:
        for start in range(0, len(digests), _MOST):
            self._delete([{"imageDigest": each} for each in digests[start : start + _MOST]])

    def untag(self, tag: str) -> None:
        self._delete([{"imageTag": tag}])

    def _delete(self, image_ids: list[dict[str, str]]) -> None:
        answer = self.client.call("BatchDeleteImage", {**self.members, "imageIds": image_ids})
        for failure in answer.get("failures", ()):
            named = failure["imageId"].get("imageTag") or failure["imageId"].get("imageDigest")
            raise CommandError(
                f"{self.name}: {named} is not deleted: {failure.get('failureReason')}",
                SERVICE_ERROR,
            )

    def _patiently(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return patiently(
            partial(self.client.call, operation, parameters),
            connections=self.connections,
            tell=self.connections.log,
        )


def repository_names(client: Client) -> list[str]:
    """Give the names of all repositories of the client's registry."""
    pages = pages_of(client, "DescribeRepositories", {"maxResults": _PAGE})
    return sorted(each["repositoryName"] for page in pages for each in page["repositories"])


def pages_of(
    client: Client, operation: str, parameters: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Give all pages of an operation's answer."""
    token: dict[str, str] = {}
    while True:
        page = client.call(operation, {**parameters, **token})
        yield page
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}
