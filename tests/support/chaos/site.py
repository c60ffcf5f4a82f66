"""What is broken and looked at: nodes that come back at the same address, and what they share."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import psutil

from ecrate.drivers import Layout, build_core
from ecrate.operations.core import Core
from ecrate.settings import load_settings
from tests.support.chaos.doors import Doors
from tests.support.chaos.network import STORES, Cable, inside, laid_cable, relaying
from tests.support.clients import miss
from tests.support.postgres import Postgres
from tests.support.registry import forever, workers_of
from tests.support.s3 import url_of
from tests.support.seaweed import KEY, S3Server
from tests.support.server import Server, start_server

GRACE: Final = 8.0
MIB: Final = 1024 * 1024
DISK: Final = 96 * MIB
_FAKETIME: Final = "/usr/lib/*/faketime/libfaketime.so.1"
_SETTINGS: Final = {
    "ECRATE_COLLECT_EVERY": "0.2",
    "ECRATE_LAYER_GRACE": str(GRACE),
    "ECRATE_QUARANTINE": "0",
    "ECRATE_TRASH_KEPT": "0",
}


@dataclass
class Node:
    """A server that comes back with the same data at the same port."""

    data: Path
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    key: tuple[str, str] | None = None
    within: tuple[str, ...] = ()
    port: int = 0
    server: Server = field(init=False)
    doors: Doors = field(init=False)

    def __post_init__(self) -> None:
        self.arguments += ("--port", str(self.port or _free_port()))
        self.start()
        self.doors = Doors(self.server)

    def start(self) -> None:
        self.server = start_server(
            self.data, *self.arguments, env=dict(self.env), key=self.key, within=self.within
        )

    def kill(self) -> None:
        """End all of its processes at once, and return when they are gone."""
        workers = [] if self.has_ended() else self.workers()
        self.server.kill()
        psutil.wait_procs(workers, timeout=10)
        # What libfaketime leaves behind.
        for name in ("faketime_shm_{}", "sem.faketime_sem_{}"):
            Path("/dev/shm", name.format(self.server.process.pid)).unlink(missing_ok=True)  # noqa: S108

    def workers(self) -> list[psutil.Process]:
        return workers_of(self.server)

    def has_ended(self) -> bool:
        return self.server.process.poll() is not None

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.doors.http.get("/readyz").status_code == httpx.codes.OK
        return False


@dataclass
class Clock:
    """The wall clock of the nodes."""

    file: Path

    def step(self, seconds: float) -> None:
        """Have it differ from this machine's by so much, from now on."""
        temporary = self.file.with_suffix(".new")
        temporary.write_text(f"{seconds:+f}\n")
        temporary.rename(self.file)


@dataclass
class Site:
    """Nodes, and of what they share what there is."""

    folder: Path
    nodes: list[Node]
    disk: Path | None = None
    clock: Clock | None = None
    postgres: Postgres | None = None
    store: S3Server | None = None
    cable: Cable | None = None
    runs: int = 0

    @property
    def sound(self) -> Node:
        """The node to which nothing is done but to its own processes."""
        return self.nodes[-1]

    def wait_ready(self) -> Node | None:
        """Return once all nodes can serve; give one that cannot within a minute, if any."""
        for node in self.nodes:
            for _ in forever():
                if node.has_ended() or node.is_ready():
                    break
            if node.has_ended() or not node.is_ready():
                return node
        return None

    def expire_leases(self) -> None:
        """Let as much time pass as a killed collector's successor waits for."""
        statement = "DELETE FROM leases"
        if self.postgres is None:
            path = self.sound.data / "ecrate.db"
            with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
                database.execute(statement)
        else:
            url = self.sound.arguments[1 + self.sound.arguments.index("--database")]
            with self.postgres.connect(urlsplit(url).path.strip("/")) as connection:
                connection.execute(statement)

    @contextlib.contextmanager
    def core(self) -> Iterator[Core]:
        """Open the data beside the nodes."""
        node = self.sound
        words = dict(zip(*(iter(node.arguments),) * 2, strict=True))
        given = {name.strip("-"): word for name, word in words.items() if name != "--port"}
        settings = load_settings({**given, "data": node.data}, node.env, None)
        core = build_core(settings, Layout.of(settings))
        with contextlib.closing(core.database):
            yield core

    def keys(self, core: Core) -> set[str]:
        """Give the keys of all bytes that are stored."""
        return {key for key, _ in core.blobs.list_keys(math.inf)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def embedded_site() -> Iterator[Site]:
    """Run one node on SQLite and files, on a small disk, with a clock that can be stepped."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="ecrate-chaos-")))
        disk = opened.enter_context(small_disk(folder / "disk"))
        clock = Clock(folder / "clock")
        clock.step(0)
        libraries = [str(path) for path in Path("/").glob(_FAKETIME.lstrip("/"))]
        if not libraries:
            miss("libfaketime is not installed")
        env = {
            **_SETTINGS,
            "ECRATE_WORKERS": "2",
            "LD_PRELOAD": libraries[0],
            "FAKETIME_TIMESTAMP_FILE": str(clock.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        node = Node(disk / "data", (), env)
        opened.callback(node.kill)
        opened.callback(node.doors.close)
        yield Site(folder, [node], disk=disk, clock=clock)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a filesystem of `DISK` bytes for a block."""
    folder.mkdir()
    if os.geteuid() != 0:
        miss("mounting a small disk needs root")
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "ecrate-chaos", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode:
        miss(f"a small disk cannot be mounted: {mounted.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def shared_site(postgres: Postgres, store: S3Server) -> Iterator[Site]:
    """Run two nodes on PostgreSQL and S3, the first one at the far end of a cable."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="ecrate-chaos-")))
        url = opened.enter_context(postgres.empty())
        cable = opened.enter_context(laid_cable())
        near = opened.enter_context(inside(cable.node))
        far = opened.enter_context(inside(cable.stores))
        address = store.make_address()
        env = {
            **_SETTINGS,
            "ECRATE_WORKERS": "1",
            "ECRATE_SECRET_FILE": str(folder / "secret"),
            "ECRATE_S3_ACCESS_KEY_ID": KEY.key_id,
            "ECRATE_S3_SECRET_ACCESS_KEY": KEY.secret,
        }
        arguments = ("--database", url, "--blobs", url_of(address))
        second = Node(folder / "second", arguments, env)
        opened.callback(second.kill)

        ports = []
        for connect in (
            lambda: _to_postgres(postgres),
            lambda: socket.create_connection(("127.0.0.1", store.port)),
        ):
            listener = far(lambda: socket.create_server((STORES, 0)))
            opened.enter_context(relaying(listener, connect))
            ports.append(listener.getsockname()[1])
        over = dataclasses.replace(
            address, endpoint=f"http://{STORES}:{ports[1]}", public_endpoint=store.endpoint
        )
        database = f"postgresql://ecrate@{STORES}:{ports[0]}{urlsplit(url).path}?sslmode=disable"
        key = (second.server.key_id, second.server.secret)
        # Its clients are on this machine's loopback, at the same port.
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        opened.enter_context(
            relaying(listener, lambda: near(lambda: socket.create_connection(("127.0.0.1", port))))
        )
        first = Node(
            folder / "first",
            ("--database", database, "--blobs", url_of(over)),
            env,
            key,
            cable.node,
            port,
        )
        opened.callback(first.kill)
        for node in (first, second):
            opened.callback(node.doors.close)
        yield Site(folder, [first, second], postgres=postgres, store=store, cable=cable)


def _to_postgres(postgres: Postgres) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(postgres.socket))
    except OSError:
        connection.close()
        raise
    return connection
