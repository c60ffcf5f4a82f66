"""Commands of `ecrate` that start fast, from a process that has imported what they need.

For servers and identities by the hundred. What a test says of the start itself, of memory or of the
program's name is shown by `python -m ecrate`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_PROGRAM: Final = Path(__file__).with_name("warm_program.py")


class Process:
    """A command in a session of its own, with what `subprocess.Popen` has and tests use."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], out: int, err: int) -> None:
        self._status, theirs = os.pipe()
        given = {"words": list(words), "env": dict(env), "folder": str(Path.cwd())}
        socket.send_fds(_channel(), [json.dumps(given).encode()], [out, err, theirs])
        os.close(theirs)
        # Several threads may wait, so it is kept to the end.
        weakref.finalize(self, os.close, self._status)
        self._reading = threading.Lock()
        self.args = ["ecrate", *words]
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._told = b""
        self.pid = self._next_number()

    def poll(self) -> int | None:
        """Give the exit code, None while there is none."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Give the exit code once there is one."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Read what is left of the output, and wait."""
        text = ""
        if self.stdout is not None and not self.stdout.closed:
            self.wait(timeout)
            text = self.stdout.read()
            self.stdout.close()
        self.wait(timeout)
        return text, None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            with self._reading:
                if self.returncode is None:
                    self.returncode = self._next_number()
        return self.returncode

    def _next_number(self) -> int:
        while b"\n" not in self._told:
            piece = os.read(self._status, 100)
            assert piece, "the process that starts commands has ended"
            self._told += piece
        line, _, self._told = self._told.partition(b"\n")
        return int(line)


def start(words: Sequence[str], env: Mapping[str, str]) -> Process:
    """Start a command whose output can be read; its errors go where ours go."""
    ours, theirs = os.pipe()
    process = Process(words, env, theirs, 2)
    os.close(theirs)
    process.stdout = os.fdopen(ours, encoding="utf-8")
    return process


def run(words: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it prints."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Process(words, env, out.fileno(), err.fileno())
        code = process.wait(60)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(process.args, code, *texts)


@functools.cache
def _channel() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([sys.executable, str(_PROGRAM)], stdin=theirs.fileno())
    theirs.close()
    atexit.register(_end, ours, process)
    return ours


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait(60)
