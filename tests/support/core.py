"""A core of the real drivers on a folder, a clock that stands still, and ways to come between.

`Interrupted*` are the real drivers with a place at which a test may do something else: what
two requests do to each other is then the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from ecrate.blobs.filesystem import FilesystemBlobs, FileUpload
from ecrate.blobs.port import BlobStore, Stored, UploadRow
from ecrate.domain.images import parse_manifest
from ecrate.domain.layers import Part
from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import RepositorySettings
from ecrate.operations import images, layers, repositories, uploads
from ecrate.operations.core import Core
from ecrate.operations.seals import Seals
from ecrate.store.database import Database, Transaction
from ecrate.store.engines import open_database
from ecrate.store.sqlite import migrate
from tests.support.images import MadeImage, digest_of

REGISTRY = RegistryRef("123456789012", "us-east-1")
CALLER = Caller(
    "arn:aws:iam::123456789012:root", "AKIDEXAMPLE", REGISTRY, principal_id=1, is_root=True
)
START = 1_700_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR

Deed = Callable[[], object]


def nothing() -> None:
    """Do nothing in between."""


@dataclass
class Clock:
    """Time as a test wants it, in seconds since the epoch."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class InterruptedDatabase:
    """A database of either engine that does `before_write` once, right before the next write
    transaction begins.
    """

    before_write: Deed = staticmethod(nothing)

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.is_local = inner.is_local
        self.gathering = inner.gathering
        self.check_may_wait = inner.check_may_wait
        self.find_sequence = inner.find_sequence
        self.set_sequence = inner.set_sequence
        self.find_problems = inner.find_problems

    def read(self) -> AbstractContextManager[Transaction]:
        return self.inner.read()

    def look(self) -> AbstractContextManager[Transaction]:
        return self.inner.look()

    def write(self) -> AbstractContextManager[Transaction]:
        deed, self.before_write = self.before_write, nothing
        deed()
        return self.inner.write()

    def close(self) -> None:
        self.inner.close()


class InterruptedBlobs(FilesystemBlobs):
    """Does `before_open` once, right before an upload's file is opened for writing, and
    `after_commit` once, right behind a commit. Another writer is waited for `patience` seconds.
    No upload is kept in its row, unless `row_room` is set.
    """

    before_open: Deed = staticmethod(nothing)
    after_commit: Deed = staticmethod(nothing)
    patience = 0.0
    row_room = 0

    @override
    def commit(self, key: str, state: bytes) -> Stored:
        stored = super().commit(key, state)
        deed, self.after_commit = self.after_commit, nothing
        deed()
        return stored

    @override
    def open_upload(self, key: str, row: UploadRow, *, is_new: bool, wait: float) -> FileUpload:
        deed, self.before_open = self.before_open, nothing
        deed()
        return super().open_upload(key, row, is_new=is_new, wait=self.patience)


@dataclass
class Bench:
    """A core, its folder, its clock, and a caller who works with it. `url` names a database that
    is prepared; without one it is a file in the folder.

    Its blobs are files, which can be interrupted, unless a `blob_store` is given.
    """

    folder: Path
    url: str = ""
    clock: Clock = field(default_factory=Clock)
    caller: Caller = CALLER
    options: dict[str, Any] = field(default_factory=dict)
    engine: type[InterruptedDatabase] = InterruptedDatabase
    blob_store: BlobStore | None = None

    def __post_init__(self) -> None:
        if not self.url:
            migrate(self.folder / "ecrate.db")
            self.url = f"sqlite://{self.folder / 'ecrate.db'}"
        self.database = self.engine(open_database(self.url, connections=4))
        blobs = self.blob_store
        if blobs is None:
            blobs = self.blobs = InterruptedBlobs(self.folder)
        self.core = Core(
            self.database, blobs, Seals(bytes(32)), self.clock, REGISTRY, **self.options
        )

    def close(self) -> None:
        self.database.close()

    def ref(self, name: str) -> RepositoryRef:
        return RepositoryRef(self.caller.registry, name)

    def create(self, name: str = "one", **settings: Any) -> RepositoryRef:
        ref = self.ref(name)
        repositories.create_repository(
            self.core, self.caller, ref, replace(RepositorySettings(), **settings)
        )
        return ref

    def begin(self, ref: RepositoryRef, *parts: bytes) -> str:
        """Begin an upload and send these parts of it."""
        upload_id = uploads.initiate_layer_upload(self.core, self.caller, ref)
        first = 0
        for part in parts:
            self.send(ref, upload_id, first, part)
            first += len(part)
        return upload_id

    def send(self, ref: RepositoryRef, upload_id: str, first: int, content: bytes) -> int:
        part = Part(first, first + len(content) - 1)
        return uploads.upload_layer_part(
            self.core, self.caller, ref, upload_id, part, pieces=[content]
        )

    def complete(self, ref: RepositoryRef, upload_id: str, *digests: str) -> str:
        return uploads.complete_layer_upload(
            self.core, self.caller, ref, upload_id, digests or ["none:00"]
        ).text

    def store(self, ref: RepositoryRef, content: bytes) -> str:
        """Upload a layer; give its digest."""
        return self.complete(ref, self.begin(ref, content), digest_of(content))

    def push(self, ref: RepositoryRef, image: MadeImage, *tags: str) -> Digest:
        """Upload what the image needs and is not there, then put it."""
        for blob in image.blobs:
            if not self.has(ref, blob.digest):
                self.store(ref, blob.content)
        return self.put(ref, image.manifest, tags)

    def put(self, ref: RepositoryRef, document: str, tags: Iterable[str] = ()) -> Digest:
        manifest = parse_manifest(document.encode())
        images.put_image(self.core, self.caller, ref, manifest, list(tags))
        return manifest.digest

    def images(self, ref: RepositoryRef) -> list[ImageId]:
        """List all images, an entry a tag."""
        page, _ = images.list_images(
            self.core, self.caller, ref, status="ANY", storage="ANY", after=None, limit=1000
        )
        return page

    def has(self, ref: RepositoryRef, digest: str) -> bool:
        (answer,) = layers.batch_check_layer_availability(self.core, self.caller, ref, [digest])
        return answer.layer is not None

    def read(self, ref: RepositoryRef, digest: str) -> bytes:
        """Download a layer."""
        layer = layers.find_layer(self.core, self.caller, ref, digest)
        with layers.open_layer(self.core, layer) as file:
            return file.read()

    def files(self) -> set[str]:
        """Give the keys of all bytes there are."""
        return {key for key, _ in self.blobs.list_keys(float("inf"))}

    def reading(self) -> AbstractContextManager[Transaction]:
        return self.database.read()

    def writing(self) -> AbstractContextManager[Transaction]:
        return self.database.inner.write()
