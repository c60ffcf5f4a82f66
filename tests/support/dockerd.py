"""A dockerd of our own, in a folder of its own, that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.clients import Program, find_program, miss

_DRIVERS = ("overlay2", "vfs")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@contextlib.contextmanager
def running_dockerd() -> Iterator[Program]:
    """Run a daemon for a block and give the `docker` command that talks to it."""
    docker = find_program("docker")
    if os.geteuid() != 0:
        miss("dockerd needs root")
    # Not below pytest's own folder: a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="ecrate-docker-") as name:
        folder = Path(name)
        process = _start(folder)
        try:
            env = {"DOCKER_CONFIG": str(folder / "config"), "DOCKER_BUILDKIT": "0"}
            host = f"unix://{folder}/docker.sock"
            yield Program((docker, "--host", host), folder, env)
        finally:
            _stop(process, folder)


def _start(folder: Path) -> psutil.Popen:
    for driver in _DRIVERS:
        process = _launch(folder, driver)
        if _is_ready(process, folder / "docker.sock"):
            return process
        _stop(process, folder)
    log = (folder / "log").read_text(errors="replace")
    return miss(f"dockerd does not start: {log[-2000:]}")


def _launch(folder: Path, driver: str) -> psutil.Popen:
    command = [find_program("dockerd"), "--iptables=false", "--ip6tables=false", "--bridge=none"]
    command += [f"--storage-driver={driver}", f"--data-root={folder}/data-{driver}"]
    command += [f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    command += [f"--host=unix://{folder}/docker.sock"]
    with (folder / "log").open("a") as log:
        return psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _is_ready(process: psutil.Popen, socket: Path) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    ask = [find_program("docker"), "--host", f"unix://{socket}", "version"]
    while process.poll() is None and time.monotonic() < deadline:
        if (
            socket.exists()
            and subprocess.run(ask, capture_output=True, check=False).returncode == 0
        ):
            return True
        time.sleep(0.1)
    return False


def _stop(process: psutil.Popen, folder: Path) -> None:
    """End the daemon, what it started and what it mounted; its folder can go then."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for one in alive:
            one.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)
    process.wait()
    for target in reversed(_mounts_below(folder)):
        subprocess.run(["umount", "--lazy", target], check=True)
    for driver in _DRIVERS:
        shutil.rmtree(folder / f"data-{driver}", ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    targets = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [target for target in targets if target.startswith(f"{folder}/")]
