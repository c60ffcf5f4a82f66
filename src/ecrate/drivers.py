"""Drivers and settings put together, for the server and for the commands on its data."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.port import BlobStore
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.presigning import Credentials
from ecrate.blobs.watched import WatchedBlobs
from ecrate.domain.errors import StoreUnavailable
from ecrate.domain.names import RegistryRef
from ecrate.domain.rates import parse_rates
from ecrate.domain.watching import Watch
from ecrate.operations.core import Core, Limits
from ecrate.operations.pull_through.seam import PullThrough
from ecrate.operations.rates import RateLimits
from ecrate.operations.seals import Seals
from ecrate.settings import SettingError, Settings
from ecrate.signers.profiles import Profiles
from ecrate.store import engines, scans
from ecrate.store.audit import AuditLog
from ecrate.store.database import DataTooNewError, UnusableError
from ecrate.store.watched import WatchedDatabase
from ecrate.upstream.opening import open_secrets, open_upstreams

_LOG: Final = logging.getLogger("ecrate")
_PART_BUFFERS: Final = 2
_SECRET_SIZE: Final = 32
_PART_BUFFER: Final = 32 * 1024 * 1024
_CLAIM_BEYOND: Final = 15.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are: all below the data directory unless a setting says otherwise."""

    data: Path
    database: str
    blobs: Path
    secret: Path
    credentials: Path
    endpoint: Path
    restoring: Path
    fetches: Path
    signing: Path

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        data = settings.data.absolute()
        return cls(
            data=data,
            database=settings.database or f"sqlite://{data / 'ecrate.db'}",
            blobs=_path(settings.blobs, data),
            secret=_path(settings.secret_file, data / "secret"),
            credentials=data / "credentials",
            endpoint=data / "endpoint",
            restoring=data / "restoring",
            fetches=data / "fetches",
            signing=_path(settings.signing_profiles, data / "signing"),
        )


def _path(url: str, default: Path) -> Path:
    return Path(url.partition("://")[2] or url) if url else default


@contextlib.contextmanager
def usable(setting: str, path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(f"cannot use '{setting}' {path}: {reason}") from None


@contextlib.contextmanager
def usable_database(url: str) -> Iterator[None]:
    """Turn what keeps the database from being used into `SettingError`."""
    try:
        yield
    except DataTooNewError as error:
        raise SettingError(
            f"the data in 'database' {engines.shown(url)} was written by a newer ecrate "
            f"(schema {error}); run that version or restore a backup"
        ) from None
    except (UnusableError, StoreUnavailable) as error:
        raise SettingError(f"cannot use 'database' {engines.shown(url)}: {error}") from None


def read_secret(path: Path) -> bytes:
    text = path.read_bytes().strip()
    if re.fullmatch(rb"[0-9a-fA-F]{%d}" % (2 * _SECRET_SIZE), text) is None:
        raise ValueError(f"it must hold {2 * _SECRET_SIZE} hex digits")
    return bytes.fromhex(text.decode())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all, durably."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)


def is_s3(url: str) -> bool:
    return url.startswith("s3://")


def open_blobs(settings: Settings, layout: Layout) -> BlobStore:
    """Give the blob store that the settings name; raises `SettingError` for a bad address."""
    if not is_s3(settings.blobs):
        return FilesystemBlobs(layout.blobs)
    from ecrate.blobs.s3.store import S3Blobs

    key = (settings.s3_access_key_id, settings.s3_secret_access_key)
    if any(key) != all(key):
        raise SettingError("settings 's3_access_key_id' and 's3_secret_access_key' go together")
    try:
        address = S3Address.parse(settings.blobs)
    except ValueError as error:
        raise SettingError(f"cannot use 'blobs' {settings.blobs}: {error}") from None
    credentials = Credentials(*key) if all(key) else None
    return S3Blobs(address, credentials, redirects=settings.blob_redirects)


def build_core(
    settings: Settings,
    layout: Layout,
    *,
    rates: RateLimits | None = None,
    audit: AuditLog | None = None,
) -> Core:
    """Put drivers and settings together for the operations; `rates` are all workers'."""
    return Core(
        database=engines.open_database(layout.database, connections=settings.database_connections),
        blobs=open_blobs(settings, layout),
        seals=Seals(read_secret(layout.secret)),
        clock=time.time,
        default_registry=RegistryRef(settings.account_id, settings.region),
        is_open=settings.dev,
        parity=settings.parity == "ecr",
        sparse_manifests=settings.sparse_manifests,
        anonymous_pull=settings.anonymous_pull,
        rates=rates,
        audit=audit,
        pull_through=_pull_through(settings, layout),
        profiles=Profiles(layout.signing),
        findings=scans.find_counts,
        limits=Limits(
            repositories_per_registry=settings.repositories_per_registry,
            images_per_repository=settings.images_per_repository,
            upload_idle=settings.upload_idle,
            layer_grace=settings.layer_grace,
            quarantine=settings.quarantine,
            trash_kept=settings.trash_kept,
            activation=settings.activation_seconds,
            lifecycle_every=settings.lifecycle_every,
            # AWS: "Each container image may be scanned once per 24 hours", that on push included.
            scan_pause=24 * 3600.0 if settings.parity == "ecr" else 0.0,
            events_kept=settings.events_kept,
        ),
    )


def _pull_through(settings: Settings, layout: Layout) -> PullThrough:
    upstreams = open_upstreams(
        hosts=settings.upstream_hosts,
        networks=settings.upstream_networks,
        realms=settings.upstream_realms,
        bundle=settings.upstream_ca_bundle,
        timeout=settings.upstream_timeout,
    )
    return PullThrough(
        upstreams,
        open_secrets(settings.upstream_secrets, layout.data / "secrets", os.environ),
        layout.fetches,
        recheck=settings.upstream_recheck,
        claim=settings.upstream_timeout + _CLAIM_BEYOND,
        imports_all=settings.upstream_imports_all,
    )


def watched(core: Core, database: Watch, blobs: Watch, *, everything: bool = False) -> Core:
    """Give a core whose seams are watched, `everything` or as far as that costs little."""
    return dataclasses.replace(
        core,
        database=WatchedDatabase(
            core.database, database, only_writes=core.database.is_local and not everything
        ),
        blobs=WatchedBlobs(core.blobs, blobs),
    )


def make_rates(settings: Settings) -> RateLimits | None:
    """Give the rate limits that the workers are going to share, None where there are none."""
    # ECR's rates go with the rest of its ways.
    rates = parse_rates(settings.rate_limits or settings.parity)
    return RateLimits(rates) if rates else None


def open_audit(settings: Settings, layout: Layout, *, is_server: bool = True) -> AuditLog | None:
    """Give the audit log, None where there is none.

    Only the server has it on standard output, and sets files aside: whoever works beside it may be
    another user, whose new file the server could not write to.
    """
    if not settings.audit_log:
        return None
    stream = 1 if is_server else 2
    return AuditLog(
        stream if settings.audit_log == "-" else Path(settings.audit_log).absolute(),
        layout.data / "audit.lock",
        max_size=settings.audit_log_size if is_server else None,
        kept=settings.audit_log_kept,
    )
