"""The servers under measurement: started on free ports, watched, stopped by their ids."""

from __future__ import annotations

import base64
import configparser
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.signing import Key, call

REGISTRY = "docker-registry"
ECRATE = "ecrate"
POLL = 0.005
_PATIENCE = 60.0
_BAD_LINES = (" WARNING ", " ERROR ", " CRITICAL ", "Traceback", "level=error", "level=fatal")
_EXPECTED = 'err.code="blob unknown"'  # what docker-registry writes of each HEAD that misses
# As /etc/docker/registry/config.yml of the Debian package, but for auth and logs; in favour of
# docker-registry, which then checks no password and writes no line for each request.
_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}, fields: {{service: registry}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
  redirect: {{disable: true}}
http:
  addr: 127.0.0.1:{port}
  headers: {{X-Content-Type-Options: [nosniff]}}
health:
  storagedriver: {{enabled: true, interval: 10s, threshold: 3}}
"""


@dataclass
class Server:
    """A running server. `authorization` is the header its registry door wants to see."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    data: Path
    log: Path
    start_seconds: float = 0.0
    authorization: bytes = b""
    key: Key = field(default_factory=lambda: Key("", ""))

    def tree(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            raise RuntimeError(
                f"{self.name} is gone; its last words: {self.complaints()}"
            ) from None

    def cpu(self) -> float:
        """Give user plus system seconds of the whole tree so far, dead children included.

        The kernel's clocks of the processes, since /proc counts in hundredths only.
        """
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                total += time.clock_gettime((~process.pid << 3) | 2)  # clock_getcpuclockid(3)
                times = process.cpu_times()
                total += times.children_user + times.children_system
        return total

    def memory(self) -> tuple[int, int]:
        """Give the tree's RSS and PSS in bytes; PSS counts shared pages once."""
        rss = pss = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
                rss += int(lines.partition("\nRss:")[2].split()[0]) * 1024
                pss += int(lines.partition("\nPss:")[2].split()[0]) * 1024
        return rss, pss

    def forget_layers(self) -> None:
        """Delete the bytes of large layers behind the server's back, so that disks suffice."""
        for path in self.data.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_size > 16 << 20:
                    path.unlink()

    def complaints(self) -> list[str]:
        """Give the lines of its log that tell of trouble."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [
            line
            for line in lines
            if any(bad in line for bad in _BAD_LINES) and _EXPECTED not in line
        ]

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        tree = self.tree()
        self.process.terminate()
        try:
            self.process.wait(timeout=35)
        except subprocess.TimeoutExpired:
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(name: str, folder: Path, command: list[str], port: int, path: str) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("ECRATE_", "REGISTRY_"))
    }
    with log.open("ab") as file:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,  # Ctrl-C ends the benchmark, which ends the server
        )
    server = Server(name, process, port, folder / name, log)
    try:
        server.start_seconds = _wait(server, path, started)
    except BaseException:
        server.stop()
        raise
    return server


def _wait(server: Server, path: str, started: float) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    while (waited := time.perf_counter() - started) < _PATIENCE:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} did not start: {server.log.read_text()[-2000:]}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=1) as one,
        ):
            one.sendall(request)
            if b" 200 " in one.recv(100):
                return time.perf_counter() - started
        time.sleep(POLL)
    raise TimeoutError(f"{server.name} does not answer after {waited:.0f} s")


def start_ecrate(folder: Path, *arguments: str) -> Server:
    """Start ecrate on two workers."""
    port, data = free_port(), folder / ECRATE
    command = [str(Path(sys.executable).with_name("ecrate")), "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--data", str(data), "--workers", "2", *arguments]
    return start(ECRATE, folder, command, port, "/healthz")


def start_registry(folder: Path) -> Server:
    """Start Debian's docker-registry."""
    port, config = free_port(), folder / "registry.yml"
    folder.mkdir(parents=True, exist_ok=True)
    config.write_text(_CONFIG.format(root=folder / REGISTRY, port=port), encoding="utf-8")
    return start(REGISTRY, folder, ["docker-registry", "serve", str(config)], port, "/v2/")


STARTERS = {ECRATE: start_ecrate, REGISTRY: start_registry}


def open_repository(server: Server, *, has_repository: bool) -> None:
    """Log in as docker does and create the repository; docker-registry needs neither."""
    file = configparser.ConfigParser()
    file.read(server.data / "credentials")
    section = file["default"]
    server.key = Key(section["aws_access_key_id"], section["aws_secret_access_key"])
    if has_repository:
        call(server.port, server.key, "CreateRepository", {"repositoryName": "bench"})
    answer = call(server.port, server.key, "GetAuthorizationToken", {})
    token = answer["authorizationData"][0]["authorizationToken"]
    assert base64.b64decode(token).startswith(b"AWS:")
    server.authorization = f"Authorization: Basic {token}\r\n".encode()


@contextlib.contextmanager
def running(
    folder: Path, *names: str, told: list[str] | None = None, has_repository: bool = True
) -> Iterator[list[Server]]:
    """Run servers on empty data for a block; what they complained of is added to `told`."""
    servers: list[Server] = []
    try:
        for name in names:
            server = STARTERS[name](folder)
            servers.append(server)
            if name == ECRATE:
                open_repository(server, has_repository=has_repository)
        yield servers
    finally:
        for server in servers:
            server.stop()
            if told is not None:
                told.extend(f"{server.name}: {line}" for line in server.complaints())
