"""A containerd of our own, in a folder of its own, for `ctr` to talk to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.clients import Program, find_program, miss

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
# Without what reaches beyond the folder: networks, devices, /opt.
_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = "{folder}/socket"
[ttrpc]
address = "{folder}/ttrpc"
"""


@contextlib.contextmanager
def running_containerd() -> Iterator[Program]:
    """Run a daemon for a block and give the `ctr` command that talks to it."""
    ctr = find_program("ctr")
    if os.geteuid() != 0:
        miss("containerd needs root")
    # Not below pytest's own folder: a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="ecrate-containerd-") as name:
        folder = Path(name)
        program = Program((ctr, f"--address={folder}/socket", "--namespace=ecrate"), folder)
        process = _start(folder)
        try:
            _wait(process, program)
            yield program
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()
            process.wait()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    # Its own mounts, which go when it goes.
    inside = [find_program("unshare"), "--mount"]
    (folder / "config.toml").write_text(_CONFIG.format(folder=folder))
    command = [*inside, find_program("containerd"), "--config", str(folder / "config.toml")]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _wait(process: subprocess.Popen[bytes], program: Program) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if program.run("version").returncode == 0:
            return
        time.sleep(0.1)
    log = (program.home / "log").read_text(errors="replace")
    miss(f"containerd does not start: {log[-2000:]}")
