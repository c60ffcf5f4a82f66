"""What every operation works with, built once by `app.py`."""

from __future__ import annotations

import contextlib
import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ecrate.blobs.port import BlobStore
from ecrate.domain.layers import MAX_LAYER_SIZE
from ecrate.domain.names import ALGORITHMS, RegistryRef
from ecrate.operations.pull_through.seam import PullThrough
from ecrate.operations.rates import RateLimits
from ecrate.operations.seals import Seals
from ecrate.store.audit import AuditLog
from ecrate.store.database import Database


@dataclass(frozen=True, slots=True)
class Limits:
    """Quotas and periods; seconds, bytes, counts. AWS: the service quotas page."""

    repositories_per_registry: int = 100_000
    images_per_repository: int = 100_000
    tags_per_image: int = 1_000
    layer_size: int = MAX_LAYER_SIZE
    upload_idle: float = 24 * 3600.0
    completed_upload_kept: float = 3600.0
    layer_grace: float = 24 * 3600.0
    quarantine: float = 3600.0
    trash_kept: float = 7 * 24 * 3600.0
    activation: float = 1.0
    lifecycle_every: float = 3600.0
    lifecycle_preview_kept: float = 24 * 3600.0
    events_kept: float = 7 * 24 * 3600.0
    templates_per_registry: int = 100  # [A]
    pull_time_exclusions: int = 100
    pull_through_rules: int = 50
    scan_pause: float = 0.0


class ManifestCache:
    """Manifests by image id, the least recently used dropped first.

    An id never names another document, so an entry cannot be wrong; whether the image still
    exists is asked of the database each time.
    """

    def __init__(self, size: int) -> None:
        self._room = size
        self._largest = size // 64
        self._documents: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, image_id: int) -> bytes | None:
        document = self._documents.get(image_id)
        if document is not None:
            with contextlib.suppress(KeyError):  # another thread may just have dropped it
                self._documents.move_to_end(image_id)
        return document

    def put(self, image_id: int, document: bytes) -> None:
        if len(document) > self._largest:
            return
        # Two threads at once would count a document twice, and room lost so is lost for ever.
        with self._lock:
            if image_id in self._documents:
                return
            self._documents[image_id] = document
            self._room -= len(document)
            while self._room < 0:
                self._room += len(self._documents.popitem(last=False)[1])


@dataclass(frozen=True, slots=True)
class Core:
    """The seams and settings below the operations.

    `default_registry` is the one of the root key and of those whose host names none; with
    `is_open` any access key speaks for its account (development mode); with `parity` what ecrate
    does beyond ECR is off; with `anonymous_pull` the nameless may do what policies
    allow to everybody. Without `rates`, calls are not limited,
    and without `audit` none is recorded; without `pull_through` nothing is fetched from elsewhere.
    """

    database: Database
    blobs: BlobStore
    seals: Seals
    clock: Callable[[], float]
    default_registry: RegistryRef
    is_open: bool = False
    parity: bool = False
    sparse_manifests: bool = False
    anonymous_pull: bool = False
    limits: Limits = field(default_factory=Limits)
    rates: RateLimits | None = None
    audit: AuditLog | None = None
    pull_through: PullThrough | None = None
    manifests: ManifestCache = field(default_factory=lambda: ManifestCache(16 * 1024 * 1024))

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms of the digests under which something may be stored."""
        return ("sha256",) if self.parity else ALGORITHMS

    def new_id(self) -> str:
        """Give an unguessable UUID."""
        return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
