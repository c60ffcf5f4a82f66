"""Clients of the tags of a repository, one for each door, that write down what they do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from botocore.exceptions import ClientError, HTTPClientError
from typing_extensions import override

from tests.support.histories import Kind, Lost, Recorder, Refused, Value
from tests.support.images import MadeImage

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ImageFailureTypeDef

T = TypeVar("T")


@dataclass
class RecordedTags(ABC):
    """Each call is one request. `Refused` and `Lost` are what the recorder makes of an answer that
    says nothing; all other answers are right ones, or fail.
    """

    recorder: Recorder
    name: str
    repository: str

    def put(self, tag: str, image: MadeImage) -> None:
        """Put an image, whose layers are there, under a tag."""
        self._record(Kind.PUT, lambda: self._put(tag, image), tag=tag, digest=image.digest)

    def get(self, tag: str) -> Value:
        """Give the digest under a tag."""
        return self._record(Kind.GET, lambda: self._get(tag), tag=tag)

    def delete(self, tag: str) -> Value:
        """Take a tag away, and tell whether it was there."""
        return self._record(Kind.DELETE, lambda: self._delete(tag), tag=tag)

    def list(self) -> Value:
        """Give all tags there are; more than a page of them is more than one moment."""
        return self._record(Kind.LIST, self._list)

    def _record(
        self, kind: Kind, attempt: Callable[[], Value], *, tag: str = "", digest: str | None = None
    ) -> Value:
        return self.recorder.record(self.name, kind, attempt, tag=tag, digest=digest)

    @abstractmethod
    def _put(self, tag: str, image: MadeImage) -> Value: ...

    @abstractmethod
    def _get(self, tag: str) -> Value: ...

    @abstractmethod
    def _delete(self, tag: str) -> Value: ...

    @abstractmethod
    def _list(self) -> Value: ...


@dataclass
class RegistryTags(RecordedTags):
    """The registry door."""

    http: httpx.Client

    @override
    def _put(self, tag: str, image: MadeImage) -> None:
        self._send("PUT", f"manifests/{tag}", 201, content=image.manifest)

    @override
    def _get(self, tag: str) -> Value:
        answer = self._send("GET", f"manifests/{tag}", 200, 404)
        return answer.headers["Docker-Content-Digest"] if answer.status_code == 200 else None

    @override
    def _delete(self, tag: str) -> Value:
        return self._send("DELETE", f"manifests/{tag}", 202, 404).status_code == 202

    @override
    def _list(self) -> Value:
        answer = self._send("GET", "tags/list", 200)
        assert "Link" not in answer.headers
        return frozenset(answer.json()["tags"] or ())

    def _send(
        self, method: str, path: str, *good: int, content: str | None = None
    ) -> httpx.Response:
        try:
            answer = self.http.request(method, f"/v2/{self.repository}/{path}", content=content)
        except httpx.TransportError as error:
            raise Lost from error
        if answer.status_code >= 500:
            raise Lost(answer.text)
        if answer.status_code == 429:
            raise Refused(answer.text)
        assert answer.status_code in good, f"{answer.status_code} {answer.text}"
        return answer


@dataclass
class ApiTags(RecordedTags):
    """The AWS door; the client must not try again by itself. Who deletes the last tag of an image
    deletes the image.
    """

    ecr: ECRClient

    @override
    def _put(self, tag: str, image: MadeImage) -> Value:
        try:
            self._call(
                lambda: self.ecr.put_image(
                    repositoryName=self.repository, imageManifest=image.manifest, imageTag=tag
                )
            )
        except self.ecr.exceptions.ImageAlreadyExistsException:
            return image.digest
        return None

    @override
    def _get(self, tag: str) -> Value:
        answer = self._call(
            lambda: self.ecr.batch_get_image(
                repositoryName=self.repository, imageIds=[{"imageTag": tag}]
            )
        )
        return _found(answer["images"], answer["failures"], lambda one: one["imageId"])

    @override
    def _delete(self, tag: str) -> Value:
        answer = self._call(
            lambda: self.ecr.batch_delete_image(
                repositoryName=self.repository, imageIds=[{"imageTag": tag}]
            )
        )
        found = _found(answer["imageIds"], answer["failures"], lambda one: one)
        return found is not None

    @override
    def _list(self) -> Value:
        answer = self._call(
            lambda: self.ecr.list_images(
                repositoryName=self.repository, maxResults=1000, filter={"tagStatus": "TAGGED"}
            )
        )
        assert "nextToken" not in answer
        return frozenset(one["imageTag"] for one in answer["imageIds"])

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except HTTPClientError as error:
            raise Lost from error
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status >= 500:
                raise Lost from error
            if status == 429 or error.response["Error"]["Code"] == "ThrottlingException":
                raise Refused from error
            raise


def _found(
    found: Sequence[T], failures: Sequence[ImageFailureTypeDef], image_id: Callable[[T], Any]
) -> str | None:
    """Give the digest of the one image that was asked for, if there is one."""
    if found:
        return str(image_id(found[0])["imageDigest"])
    assert [one.get("failureCode") for one in failures] == ["ImageNotFound"], failures
    return None
