"""A server built by hand, top to bottom: data directory, core, doors, workers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import importlib.util
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from ecrate.aws.events import PATH as EVENTS
from ecrate.aws.events import EventStreams
from ecrate.aws.front import AwsFront
from ecrate.aws.model import service_model
from ecrate.blobs.port import BlobStore
from ecrate.console.front import Console
from ecrate.console.request import PATH as CONSOLE
from ecrate.domain.errors import AuditUnavailable, EcrateError
from ecrate.drivers import (
    Layout,
    build_core,
    is_s3,
    make_rates,
    open_audit,
    open_blobs,
    read_secret,
    usable,
    usable_database,
    watched,
    write_private,
)
from ecrate.jobs.all_jobs import all_jobs
from ecrate.jobs.background import Background
from ecrate.oci.front import OciFront
from ecrate.operations.audit import settle_audit
from ecrate.operations.core import Core
from ecrate.operations.identities import NewAccessKey, arn_of, new_key_id
from ecrate.operations.seals import Seals
from ecrate.operations.tokens import SECRET, fingerprint_of
from ecrate.scanning.external import check_command
from ecrate.seed import sow
from ecrate.settings import SettingError, Settings
from ecrate.store import engines, identities, installation
from ecrate.store.database import Database
from ecrate.store.leases import delete_leases
from ecrate.store.tokens import find_fingerprint, put_fingerprint
from ecrate.upstream.addresses import parse_networks
from ecrate.upstream.destinations import read_destinations
from ecrate.upstream.opening import check_bundle
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
    with usable("blobs", settings.blobs if is_s3(settings.blobs) else layout.blobs):
        blobs = open_blobs(settings, layout)
        blobs.check()
    with usable("replication_destinations", settings.replication_destinations):
        read_destinations(settings.replication_destinations)
    for name in ("upstream_ca_bundle", "webhook_ca_bundle", "replication_ca_bundle"):
        with usable(name, bundle := getattr(settings, name)):
            check_bundle(bundle)
    with usable("scan_command", settings.scan_command):
        check_command(settings.scan_command)
    audit = open_audit(settings, layout)
    if audit is not None:
        with usable("audit_log", Path(settings.audit_log)):
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
        with usable("secret_file", layout.secret):
            if not layout.secret.exists() and not is_given:
                write_private(layout.secret, secrets.token_hex(_SECRET_SIZE))
            seals = Seals(read_secret(layout.secret))
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


def _plainly(handler: Handler) -> Handler:
    return handler


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
    console = Console(
        core,
        hosts,
        bodies,
        threads,
        lifetime=settings.console_session,
        streams=settings.event_streams,
    )
    doors = Doors(
        [
            *([] if faults is None else [(FAULTS, faults)]),
            ("/v2/", answer(OciFront(core, hosts, bodies, threads, faults=faults))),
            ("/layers/", answer(Downloads(core, threads, faults))),
            ("/healthz", answer_health),
            ("/readyz", Readiness(core, threads)),
            *scrape,
            (EVENTS, streams),
            *([(CONSOLE.rstrip("/"), console)] if settings.console else []),
            (
                "/",
                answer(AwsFront(core, service_model(), hosts, bodies, threads, faults=faults)),
            ),
        ],
        observers,
        on_stop=[streams.stop, console.stop],
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
