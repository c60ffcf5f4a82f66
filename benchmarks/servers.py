"""The servers under measurement: started on free ports, watched, stopped by their ids."""

from __future__ import annotations

import configparser
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import boto3
import psutil

REGISTRY = "docker-registry"
ECRATE = "ecrate"


@dataclass
class Server:
    """A running server. `authorization` is what its registry door wants to see."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    authorization: bytes = b""
    start_seconds: float = 0.0
    key: tuple[str, str] = ("", "")

    def tree(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu(self) -> float:
        """Give user plus system seconds of the whole tree so far."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> tuple[int, int]:
        """Give the tree's RSS and PSS in bytes; PSS counts shared pages once."""
        rss = pss = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                rss += process.memory_info().rss
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
                pss += int(text.partition("\nPss:")[2].split()[0]) * 1024
        return rss, pss

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, path: str, started: float) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    while time.perf_counter() - started < 30:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(request)
            if b" 200 " in one.recv(100):
                return time.perf_counter() - started
        time.sleep(0.003)
    raise TimeoutError(f"nothing answers on port {port}")


def start_ecrate(folder: Path, workers: int = 2) -> Server:
    port, data = free_port(), folder / "ecrate"
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ecrate", "serve", "--workers", str(workers)],
        env={**os.environ, "ECRATE_PORT": str(port), "ECRATE_DATA": str(data)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    seconds = _wait(port, "/healthz", started)
    file = configparser.ConfigParser()
    file.read(data / "credentials")
    key = (file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"])
    server = Server(ECRATE, process, port, start_seconds=seconds, key=key)
    ecr = client_of(server)
    ecr.create_repository(repositoryName="bench")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    server.authorization = f"Authorization: Basic {token}\r\n".encode()
    return server


def client_of(server: Server):  # type: ignore[no-untyped-def] # noqa: ANN201 - made at run time
    """Give a boto3 client for ecrate's AWS door."""
    return boto3.session.Session().client(
        "ecr",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        aws_access_key_id=server.key[0],
        aws_secret_access_key=server.key[1],
    )


_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def start_registry(folder: Path) -> Server:
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(_CONFIG.format(root=folder / "registry", port=port), encoding="utf-8")
    started = time.perf_counter()
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Server(REGISTRY, process, port, start_seconds=_wait(port, "/v2/", started))


@contextlib.contextmanager
def both(folder: Path) -> Iterator[tuple[Server, Server]]:
    """Run both servers on empty data for a block."""
    servers: list[Server] = []
    try:
        servers.append(start_ecrate(folder))
        servers.append(start_registry(folder))
        yield servers[0], servers[1]
    finally:
        for server in servers:
            server.stop()


class PeakMemory:
    """Samples a server's memory while a block runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self.rss = self.pss = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            rss, pss = self._server.memory()
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
