"""A server built by hand, top to bottom: data directory, core, doors, workers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import gc
import importlib.util
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from ecrate.aws.events import PATH as EVENTS
from ecrate.aws.events import EventStreams
from ecrate.aws.front import AwsFront
from ecrate.aws.model import service_model
from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.port import BlobStore
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.presigning import Credentials
from ecrate.blobs.watched import WatchedBlobs
from ecrate.domain.errors import AuditUnavailable, EcrateError, StoreUnavailable
from ecrate.domain.names import RegistryRef
from ecrate.domain.rates import parse_rates
from ecrate.domain.watching import Watch
from ecrate.jobs.all_jobs import all_jobs
from ecrate.jobs.background import Background
from ecrate.oci.front import OciFront
from ecrate.operations.audit import settle_audit
from ecrate.operations.core import Core, Limits
from ecrate.operations.identities import NewAccessKey, arn_of, new_key_id
from ecrate.operations.pull_through.seam import PullThrough
from ecrate.operations.rates import RateLimits
from ecrate.operations.seals import Seals
from ecrate.operations.tokens import SECRET, fingerprint_of
from ecrate.scanning.external import check_command
from ecrate.seed import sow
from ecrate.settings import SettingError, Settings
from ecrate.signers.profiles import Profiles
from ecrate.store import engines, identities, installation, scans
from ecrate.store.audit import AuditLog
from ecrate.store.database import Database, DataTooNewError, UnusableError
from ecrate.store.leases import delete_leases
from ecrate.store.tokens import find_fingerprint, put_fingerprint
from ecrate.store.watched import WatchedDatabase
from ecrate.upstream.addresses import parse_networks
from ecrate.upstream.destinations import read_destinations
from ecrate.upstream.opening import check_bundle, open_secrets, open_upstreams
from ecrate.web.body import Bodies
from ecrate.web.downloads import Downloads
from ecrate.web.faults import PATH as FAULTS
from ecrate.web.faults import Faults
from ecrate.web.health import Readiness, answer_health
from ecrate.web.hosts import Hosts
from ecrate.web.logs import log_request
from ecrate.web.metrics import Metrics
from ecrate.web.proxies import Proxies
from ecrate.web.scrape import Scrape
from ecrate.web.server import Doors, Handler, Observer, serve
from ecrate.web.supervisor import Supervisor, listen
from ecrate.web.threads import Threads
from ecrate.web.tls import Certificate
from ecrate.web.writes import Writes

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


@dataclass(frozen=True, slots=True)
class Started:
    """What the operator is told once the server answers."""

    endpoint: str
    credentials: Path
    new_key: NewAccessKey | None


def run_server(settings: Settings, on_started: Callable[[Started], None]) -> int:
    """Serve until told to stop; give the exit code. Raises `SettingError` before the start."""
    layout = Layout.of(settings)
    certificate = load_certificate(settings)
    if settings.traces and importlib.util.find_spec("opentelemetry") is None:
        raise SettingError("setting 'traces' needs the extra 'otel': pip install 'ecrate[otel]'")
    lock = lock_data(layout.data)
    try:
        if layout.restoring.exists():
            raise SettingError(
                f"a restore into {layout.data} has not ended; run `ecrate restore` again"
            )
        workers = settings.workers or len(os.sched_getaffinity(0))
        listeners = _listen(settings, workers)
        _clear(layout.fetches)
        new_key = _prepare(settings, layout)
        # Read before the fork, so that the workers share its pages.
        service_model()
        gc.collect()
        gc.freeze()

        rates = make_rates(settings)
        metrics = None if settings.metrics == "off" else Metrics(layout.data / "metrics")

        def run_worker(_: int, listener: socket.socket) -> None:
            core = build_core(settings, layout, rates=rates, audit=open_audit(settings, layout))
            if metrics is not None:
                metrics.begin(core.new_id())
                core = watched(core, metrics.watch_database, metrics.watch_blobs)
            asyncio.run(_work(settings, core, certificate, listener, metrics))

        endpoint = _endpoint(settings, listeners[0].getsockname()[1])
        layout.endpoint.write_text(f"{endpoint}\n", encoding="utf-8")
        supervisor = Supervisor(listeners, run_worker)
        return supervisor.run(lambda: on_started(Started(endpoint, layout.credentials, new_key)))
    finally:
        os.close(lock)


def _clear(folder: Path) -> None:
    """Delete what fetches that were killed have left."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for file in folder.iterdir():
        file.unlink()


def lock_data(data: Path) -> int:
    """Keep other servers off the data directory until what this gives is closed."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingError(f"cannot use 'data' {data}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingError(f"another ecrate is running on 'data' {data}") from None
    return lock


def _listen(settings: Settings, workers: int) -> list[socket.socket]:
    try:
        return listen(settings.host, settings.port, workers)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(
            f"cannot listen on 'host' {settings.host}, 'port' {settings.port}: {reason.lower()}"
        ) from None


def _endpoint(settings: Settings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{port}"


def _prepare(settings: Settings, layout: Layout) -> NewAccessKey | None:
    """Make what a first start needs: secret, schema, root key. Give the key if it is new.

    Raises `SettingError` for what the workers could not use either.
    """
    with _usable("blobs", settings.blobs if _is_s3(settings.blobs) else layout.blobs):
        blobs = open_blobs(settings, layout)
        blobs.check()
    with _usable("replication_destinations", settings.replication_destinations):
        read_destinations(settings.replication_destinations)
    for name in ("upstream_ca_bundle", "webhook_ca_bundle", "replication_ca_bundle"):
        with _usable(name, bundle := getattr(settings, name)):
            check_bundle(bundle)
    with _usable("scan_command", settings.scan_command):
        check_command(settings.scan_command)
    audit = open_audit(settings, layout)
    if audit is not None:
        with _usable("audit_log", Path(settings.audit_log)):
            audit.check()
    with usable_database(layout.database), engines.preparing(layout.database) as database:
        take_place(database, blobs, settings.blobs)
        if not settings.database:
            # The lock on the data directory is ours: a server that was killed has left them.
            with database.write() as tx:
                delete_leases(tx)
        seals = _prepare_secret(settings, layout, database)
        new_key = _make_root_key(settings.account_id, layout, database, seals)
    if settings.seed:
        sow(settings, build_core(settings, layout))
    return new_key


def _prepare_secret(settings: Settings, layout: Layout, database: Database) -> Seals:
    """Make the secret if there was none yet, and see to it that it is the database's."""
    with database.write() as tx:
        known = find_fingerprint(tx)
        is_given = known is not None and not settings.new_secret
        with _usable("secret_file", layout.secret):
            if not layout.secret.exists() and not is_given:
                write_private(layout.secret, secrets.token_hex(_SECRET_SIZE))
            seals = Seals(_read_secret(layout.secret))
        fingerprint = fingerprint_of(seals)
        if is_given and fingerprint != known:
            raise SettingError(
                f"the secret in {layout.secret} is not that of the database: 'secret_file' has to "
                "hold the one of its first start, on every node; 'new_secret' accepts another "
                "one and ends all access keys"
            )
        if fingerprint != known:
            put_fingerprint(tx, fingerprint)
    return seals


def _make_root_key(
    account: str, layout: Layout, database: Database, seals: Seals
) -> NewAccessKey | None:
    with database.write() as tx:
        if identities.has_principals(tx):
            return None
        now = time.time()
        root = identities.insert_principal(
            tx,
            account,
            "root",
            "root",
            arn=arn_of(account, "root", ""),
            trust_policy=None,
            now=now,
        )
        key_id = new_key_id("AKIA")
        key = NewAccessKey(key_id, seals.derive(SECRET, key_id))
        # The file comes first: a key that nobody can read would be of no use.
        write_private(
            layout.credentials,
            f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n",
        )
        identities.insert_access_key(tx, key.id, root.id, now)
        return key


@contextlib.contextmanager
def _usable(setting: str, path: Path | str) -> Iterator[None]:
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


def _read_secret(path: Path) -> bytes:
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


def take_place(database: Database, blobs: BlobStore, url: str) -> None:
    """Raise `SettingError` if the blobs there are those of another database."""
    with database.write() as tx:
        own = installation.find_or_make_id(tx, str(uuid4()))
    try:
        owner = blobs.take_place(own)
    except EcrateError as error:
        raise SettingError(f"cannot use 'blobs' {url}: {error}") from None
    if owner != own:
        raise SettingError(
            f"cannot use 'blobs' {url}: they are those of another database ({owner}, not {own})"
        )


def _is_s3(url: str) -> bool:
    return url.startswith("s3://")


def open_blobs(settings: Settings, layout: Layout) -> BlobStore:
    """Give the blob store that the settings name; raises `SettingError` for a bad address."""
    if not _is_s3(settings.blobs):
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
        seals=Seals(_read_secret(layout.secret)),
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


def _plainly(handler: Handler) -> Handler:
    return handler


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


def load_certificate(settings: Settings) -> Certificate | None:
    """Give the certificate to serve with, None where TLS is off; raises `SettingError`."""
    names = (settings.tls_certificate, settings.tls_key)
    if not any(names):
        return None
    if not all(names):
        raise SettingError("settings 'tls_certificate' and 'tls_key' go together")
    try:
        return Certificate(Path(names[0]), Path(names[1]))
    except OSError as error:
        raise SettingError(
            f"cannot use 'tls_certificate' {names[0]} with 'tls_key' {names[1]}: {error}"
        ) from None


async def _work(
    settings: Settings,
    core: Core,
    certificate: Certificate | None,
    listener: socket.socket,
    metrics: Metrics | None,
) -> None:
    """Be one worker until told to stop."""
    tracing = None
    if settings.traces:
        from ecrate.tracing import Tracing

        tracing = Tracing(settings.traces)
        core = watched(core, tracing.watch_database, tracing.watch_blobs, everything=True)
    gathering = core.database.gathering
    writes = None
    if gathering is not None:
        writes = Writes(gathering, is_alone=lambda: len(doors.busy) <= 1)
    threads = Threads(
        reads_here=core.database.is_local, writes=writes, keeps_context=tracing is not None
    )
    bodies = Bodies(threads, buffers=_PART_BUFFERS, size=_PART_BUFFER)
    hosts = Hosts(settings.registry_host, settings.public_url, has_tls=certificate is not None)
    faults = Faults(Layout.of(settings).data / "faults.json") if settings.dev else None
    observers: list[Observer] = [log_request] if settings.log_requests else []
    scrape = []
    if metrics is not None:
        observers.append(metrics.count_request)
        is_open, by_repository = settings.metrics == "anyone", settings.metrics_repositories
        scrape = [
            (
                "/metrics",
                Scrape(core, metrics, threads, is_open=is_open, by_repository=by_repository),
            )
        ]
    streams = EventStreams(core, threads, every=settings.events_every, most=settings.event_streams)
    answer = tracing.around if tracing is not None else _plainly
    doors = Doors(
        [
            *([] if faults is None else [(FAULTS, faults)]),
            ("/v2/", answer(OciFront(core, hosts, bodies, threads, faults=faults))),
            ("/layers/", answer(Downloads(core, threads, faults))),
            ("/healthz", answer_health),
            ("/readyz", Readiness(core, threads)),
            *scrape,
            (EVENTS, streams),
            (
                "/",
                answer(AwsFront(core, service_model(), hosts, bodies, threads, faults=faults)),
            ),
        ],
        observers,
        on_stop=streams.stop,
        proxies=Proxies(trusted) if (trusted := parse_networks(settings.trusted_proxies)) else None,
    )
    watch = None if metrics is None else metrics.watch_job
    background = Background(core, all_jobs(core, settings), watch)
    background.start()
    flushing = None if metrics is None else asyncio.create_task(metrics.keep_flushing())
    renewal = None if certificate is None else asyncio.create_task(certificate.watch())
    tls = None if certificate is None else certificate.context
    try:
        await serve(doors, listener, settings.shutdown_grace, tls)
    finally:
        if core.pull_through is not None:
            core.pull_through.stop()
        for task in (flushing, renewal):
            if task is not None:
                task.cancel()
        threads.stop()
        background.stop()
        with contextlib.suppress(AuditUnavailable):
            settle_audit(core)
        core.database.close()
        if tracing is not None:
            tracing.stop()
