"""Clients that push through both doors while the server is killed again and again.

A pusher repeats a call until some server answers it, as a patient client would, and goes on with
an upload where the server says it is. Whatever was answered is noted in its `Ledger`; an answer
that no kill can excuse ends the pusher with a line among the ledger's violations.
"""

from __future__ import annotations

import random
import subprocess
import threading
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from tests.support.images import OCI_MANIFEST, Blob, MadeImage, make_image
from tests.support.server import REGION, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ImageIdentifierTypeDef

T = TypeVar("T")

MIB = 1024 * 1024
_PART = 5 * MIB
_PATIENCE = 60.0
_DELETES = 0.2
_DEATH_SECONDS = 10.0
_LOST = (httpx.TransportError, BotoCoreError)


class ViolationError(Exception):
    """The server broke a promise."""


class OverError(Exception):
    """The pushers are to end."""


@dataclass(frozen=True)
class Kept:
    """What has to be there of an acknowledged image."""

    manifest: str
    digest: str
    blobs: tuple[str, ...]


@dataclass
class Ledger:
    """What the server acknowledged to one pusher, and what that one asked for without an answer.

    `images` by repository and tag and `layers` by repository and digest have to be there; of the
    layers in `begun` any may be. The tag `latest` has to be at one of its digests. `deleted`
    images, by repository and digest, and `gone` repositories must not be there.
    """

    images: dict[tuple[str, str], Kept] = field(default_factory=dict)
    layers: set[tuple[str, str]] = field(default_factory=set)
    begun: set[tuple[str, str]] = field(default_factory=set)
    latest: dict[str, set[str]] = field(default_factory=dict)
    deleted: set[tuple[str, str]] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Place:
    """Where the server is right now."""

    def __init__(self, server: Server) -> None:
        self._server: Server | None = server
        self._moved = threading.Condition()
        self.is_over = False

    def move(self, server: Server | None) -> None:
        """Send the pushers to another server, or home if there will be none."""
        with self._moved:
            self._server = server
            self._moved.notify_all()

    def end(self) -> None:
        """Make each pusher end with the work it is at."""
        self.is_over = True

    def after(self, lost: Server | None) -> Server:
        """Give the server that came after the one that was lost."""
        with self._moved:
            self._moved.wait_for(lambda: self._server is not lost)
            if self._server is None:
                raise OverError
            return self._server


class Pusher(threading.Thread, ABC):
    """Pushes images into a repository of its own."""

    def __init__(self, place: Place, repository: str, seed: int, shared: Sequence[Blob]) -> None:
        super().__init__(name=repository, daemon=True)
        self.place = place
        self.ledger = Ledger()
        self.repository = repository
        self.random = random.Random(f"{seed}/{repository}")  # noqa: S311 - no secrets here
        self.shared = shared
        self.number = 0
        self._session = boto3.session.Session()
        self._server = place.after(None)
        self._http: httpx.Client | None = None
        self._ecr: ECRClient | None = None

    @property
    def http(self) -> httpx.Client:
        """The client of the registry door, made when it is needed: half of all have no use."""
        if self._http is None:
            self._http = self._server.http()
        return self._http

    @property
    def ecr(self) -> ECRClient:
        """The client of the AWS door."""
        if self._ecr is None:
            self._ecr = self._session.client(
                "ecr",
                region_name=REGION,
                endpoint_url=self._server.endpoint,
                aws_access_key_id=self._server.key_id,
                aws_secret_access_key=self._server.secret,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=_PATIENCE),
            )
        return self._ecr

    def _disconnect(self) -> None:
        for client in (self._http, self._ecr):
            if client is not None:
                client.close()
        self._http = self._ecr = None

    @override
    def run(self) -> None:
        try:
            while not self.place.is_over:
                self.number += 1
                self.work()
        except OverError:
            pass
        except ViolationError as violation:
            self.ledger.violations.append(f"{self.name}: {violation}")
        except Exception:  # noqa: BLE001 - told where all violations are
            self.ledger.violations.append(f"{self.name}: {traceback.format_exc()}")
        finally:
            self._disconnect()

    @abstractmethod
    def work(self) -> None:
        """Push one image."""

    def once(self, name: str, call: Callable[[], T]) -> T | None:
        """Give the call's answer, or None once the server was killed and another one is there."""
        try:
            answer = call()
        except _LOST as error:
            self.ledger.counts[f"killed in {name}"] += 1
            self._move(name, error)
            return None
        self.ledger.counts[name] += 1
        return answer

    def again(self, name: str, call: Callable[[], T]) -> T:
        """Call until a server answers."""
        while (answer := self.once(name, call)) is None:
            pass
        return answer

    def accept(self, code: str, name: str, call: Callable[[], T]) -> T | None:
        """Call until a server answers, if with this error."""
        try:
            return self.again(name, call)
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
            return None

    def accept_if_killed(self, code: str, name: str, call: Callable[[], T]) -> T | None:
        """The same, where the error can only mean that a call without answer was successful."""
        before = self.ledger.counts[f"killed in {name}"]
        try:
            return self.again(name, call)
        except ClientError as error:
            killed = self.ledger.counts[f"killed in {name}"] > before
            if error.response["Error"]["Code"] != code or not killed:
                raise
            return None

    def _move(self, name: str, error: Exception) -> None:
        try:
            self._server.process.wait(_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            raise ViolationError(f"a running server gave no answer to {name}: {error!r}") from None
        self._disconnect()
        self._server = self.place.after(self._server)

    def push(self, image: MadeImage, tag: str) -> None:
        """Push an image with a tag of its own."""
        for blob in image.blobs:
            self.ledger.begun.add((self.repository, blob.digest))
            self.push_blob(blob)
            self.ledger.layers.add((self.repository, blob.digest))
        self.put_manifest(image, tag)
        kept = Kept(image.manifest, image.digest, tuple(blob.digest for blob in image.blobs))
        self.ledger.images[self.repository, tag] = kept

    def move_latest(self, image: MadeImage) -> None:
        """Move a tag; until that is acknowledged, either image may have it."""
        latest = self.ledger.latest.setdefault(self.repository, set())
        latest.add(image.digest)
        self.put_manifest(image, "latest")
        self.ledger.latest[self.repository] = {image.digest}

    def delete(self, tag: str) -> None:
        """Delete an image, all its tags with it."""
        kept = self.forget(tag)
        image_ids: list[ImageIdentifierTypeDef] = [{"imageDigest": kept.digest}]
        self.again(
            "BatchDeleteImage",
            lambda: self.ecr.batch_delete_image(repositoryName=self.repository, imageIds=image_ids),
        )
        self.ledger.deleted.add((self.repository, kept.digest))

    def forget(self, tag: str) -> Kept:
        """Expect an image and its layers no longer."""
        kept = self.ledger.images.pop((self.repository, tag))
        self.ledger.layers -= {(self.repository, digest) for digest in kept.blobs}
        return kept

    @abstractmethod
    def push_blob(self, blob: Blob) -> None:
        """Push one of an image's blobs."""

    @abstractmethod
    def put_manifest(self, image: MadeImage, tag: str) -> None:
        """Put the manifest of an image whose blobs are there."""


class ImagePusher(Pusher):
    """Pushes image after image, moves `latest` along, and deletes some of the older ones."""

    @override
    def work(self) -> None:
        # Half of them take two parts.
        size = self.random.choice((self.random.randint(MIB, _PART), _PART + MIB))
        made = make_image(size, self.random.randint(2, MIB // 4))
        image = MadeImage(made.config, (self.random.choice(self.shared), *made.layers))
        self.push(image, f"v{self.number}")
        self.move_latest(image)
        older = [tag for _, tag in self.ledger.images if tag != f"v{self.number}"]
        if older and self.random.random() < _DELETES:
            self.delete(self.random.choice(older))


class RegistryPusher(ImagePusher):
    """Pushes at the registry door, each blob in one of the ways a client may take."""

    @override
    def push_blob(self, blob: Blob) -> None:
        path = f"/v2/{self.repository}/blobs/uploads/"
        started = self.again("POST upload", lambda: self.http.post(path))
        location = _expect(started, 202).headers["Location"]
        way = self.random.choice((self._push_whole, self._push_in_pieces, self._push_streamed))
        way(location, blob)

    def _push_whole(self, location: str, blob: Blob) -> None:
        done = self.once("PUT upload", lambda: self._put(location, blob, blob.content))
        if done is not None:
            _expect(done, 201)
        else:
            self._go_on(location, blob, 0)

    def _push_in_pieces(self, location: str, blob: Blob) -> None:
        self._append(location, blob, 0, self.random.randint(MIB // 4, MIB))

    def _push_streamed(self, location: str, blob: Blob) -> None:
        def pieces() -> Iterator[bytes]:
            for first in range(0, len(blob.content), 64 * 1024):
                yield blob.content[first : first + 64 * 1024]

        done = self.once("PATCH upload", lambda: self.http.patch(location, content=pieces()))
        if done is None:
            self._go_on(location, blob, 0)
        else:
            _expect(done, 202)
            self._finish(location, blob)

    def _append(self, location: str, blob: Blob, offset: int, size: int) -> None:
        while offset < len(blob.content):
            piece = blob.content[offset : offset + size]
            done = self.once("PATCH upload", partial(self._patch, location, offset, piece))
            if done is None:
                self._go_on(location, blob, offset)
                return
            offset += len(piece)
            if _expect(done, 202).headers["Range"] != f"0-{offset - 1}":
                raise ViolationError(f"Range is {done.headers['Range']}, {offset} bytes were sent")
        self._finish(location, blob)

    def _patch(self, location: str, offset: int, piece: bytes) -> httpx.Response:
        span = f"{offset}-{offset + len(piece) - 1}"
        return self.http.patch(location, content=piece, headers={"Content-Range": span})

    def _go_on(self, location: str, blob: Blob, acknowledged: int) -> None:
        """Go on where the new server says the upload is, which has everything acknowledged."""
        status = self.again("GET upload", lambda: self.http.get(location))
        if status.status_code != 404:
            received = int(_expect(status, 204).headers["Range"].partition("-")[2]) + 1
            received = 0 if received == 1 else received
            if not acknowledged <= received <= len(blob.content):
                raise ViolationError(f"of {acknowledged} acknowledged bytes {received} are there")
            self.ledger.counts["uploads resumed" if received else "uploads begun again"] += 1
            self._append(location, blob, received, len(blob.content))
        else:
            # Completed before the server could say so: it has to say it now.
            self._finish(location, blob)

    def _finish(self, location: str, blob: Blob) -> None:
        _expect(self.again("PUT upload", lambda: self._put(location, blob, b"")), 201)

    def _put(self, location: str, blob: Blob, content: bytes) -> httpx.Response:
        return self.http.put(location, params={"digest": blob.digest}, content=content)

    @override
    def put_manifest(self, image: MadeImage, tag: str) -> None:
        path, headers = f"/v2/{self.repository}/manifests/{tag}", {"Content-Type": OCI_MANIFEST}
        done = self.again(
            "PUT manifest", lambda: self.http.put(path, content=image.manifest, headers=headers)
        )
        _expect(done, 201)


def _expect(response: httpx.Response, status: int) -> httpx.Response:
    if response.status_code != status:
        asked = f"{response.request.method} {response.request.url}"
        raise ViolationError(f"{asked} answered {response.status_code}: {response.text[:500]}")
    return response


class ApiPusher(ImagePusher):
    """Pushes at the AWS door."""

    @override
    def push_blob(self, blob: Blob) -> None:
        name, digests = self.repository, [blob.digest]
        started = self.again(
            "InitiateLayerUpload", lambda: self.ecr.initiate_layer_upload(repositoryName=name)
        )
        upload_id = started["uploadId"]
        for first in range(0, len(blob.content), _PART):
            self._put_part(upload_id, first, blob.content[first : first + _PART])

        def complete() -> str:
            answer = self.ecr.complete_layer_upload(
                repositoryName=name, uploadId=upload_id, layerDigests=digests
            )
            return answer["layerDigest"]

        if blob in self.shared:
            self.accept("LayerAlreadyExistsException", "CompleteLayerUpload", complete)
        elif (digest := self.again("CompleteLayerUpload", complete)) != blob.digest:
            raise ViolationError(f"{blob.digest} was stored as {digest}")

    def _put_part(self, upload_id: str, first: int, piece: bytes) -> None:
        last = first + len(piece) - 1
        before = self.ledger.counts["killed in UploadLayerPart"]
        done = self.again(
            "UploadLayerPart",
            lambda: self.ecr.upload_layer_part(
                repositoryName=self.repository,
                uploadId=upload_id,
                partFirstByte=first,
                partLastByte=last,
                layerPartBlob=piece,
            ),
        )
        if done["lastByteReceived"] != last:
            raise ViolationError(f"lastByteReceived is {done['lastByteReceived']}, sent was {last}")
        if first and self.ledger.counts["killed in UploadLayerPart"] > before:
            self.ledger.counts["uploads resumed"] += 1

    @override
    def put_manifest(self, image: MadeImage, tag: str) -> None:
        self.accept_if_killed(
            "ImageAlreadyExistsException",
            "PutImage",
            lambda: self.ecr.put_image(
                repositoryName=self.repository, imageManifest=image.manifest, imageTag=tag
            ),
        )


class Churner(ApiPusher):
    """Makes a repository, pushes an image of shared and own layers, and deletes it all."""

    @override
    def work(self) -> None:
        self.repository = f"{self.name}/{self.number}"
        self.accept_if_killed(
            "RepositoryAlreadyExistsException",
            "CreateRepository",
            lambda: self.ecr.create_repository(repositoryName=self.repository),
        )
        made = make_image(self.random.randint(2, MIB))
        self.push(MadeImage(made.config, (*self.shared, *made.layers)), "v1")
        self.forget("v1")
        self.accept_if_killed(
            "RepositoryNotFoundException",
            "DeleteRepository",
            lambda: self.ecr.delete_repository(repositoryName=self.repository, force=True),
        )
        self.ledger.gone.add(self.repository)
