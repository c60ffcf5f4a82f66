"""What every operation works with, built once by `app.py`."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from ecrate.blobs.port import BlobStore
from ecrate.domain.names import RegistryRef
from ecrate.operations.seals import Seals
from ecrate.store.database import Database


@dataclass(frozen=True, slots=True)
class Limits:
    """Quotas and periods; seconds, bytes, counts. AWS: the service quotas page."""

    repositories_per_registry: int = 100_000
    images_per_repository: int = 100_000
    tags_per_image: int = 1_000
    layer_size: int = 52_000 * 1024 * 1024
    upload_idle: float = 24 * 3600.0
    completed_upload_kept: float = 3600.0
    layer_grace: float = 24 * 3600.0
    quarantine: float = 3600.0


@dataclass(frozen=True, slots=True)
class Core:
    """The seams and settings below the operations.

    `default_registry` is the one of the root key and of those whose host names none; with
    `is_open` any access key speaks for its account (development mode).
    """

    database: Database
    blobs: BlobStore
    seals: Seals
    clock: Callable[[], float]
    default_registry: RegistryRef
    is_open: bool = False
    parity: bool = False
    limits: Limits = field(default_factory=Limits)

    def new_id(self) -> str:
        """Give an unguessable UUID."""
        return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
