"""Worker processes: started, replaced when they die, renewed on HUP, ended on TERM.

The parent makes and keeps the listening sockets, one a slot, so that a connection queued for a
worker that goes is served by the one that comes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final

_SIGNALS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_TOO_SOON: Final = 2.0
_TOO_OFTEN: Final = 5
_PR_SET_PDEATHSIG: Final = 1

RunWorker = Callable[[int, socket.socket], None]


def listen(host: str, port: int, slots: int) -> list[socket.socket]:
    """Make one listening socket a slot, all on one port; raises `OSError` if it is taken.

    With port 0 the kernel chooses one for all.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # SO_REUSEPORT would let two servers of one user share the port unnoticed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        port = probe.getsockname()[1]
    listeners = []
    for _ in range(slots):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)  # noqa: FBT003 - its only parameter
        listeners.append(listener)
    return listeners


class Supervisor:
    """Runs `run_worker(slot, listener)` in one child process a listener."""

    def __init__(self, listeners: Sequence[socket.socket], run_worker: RunWorker) -> None:
        self._listeners = listeners
        self._run_worker = run_worker
        self._slots: dict[int, tuple[int, float]] = {}
        self._quick_deaths = 0

    def run(self, on_started: Callable[[], None]) -> int:
        """Supervise until TERM or INT; give the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for slot in range(len(self._listeners)):
            self._start(slot)
        on_started()
        while True:
            match signal.sigwait(_SIGNALS):
                case signal.SIGCHLD:
                    for slot in self._reap():
                        self._start(slot)
                    if self._quick_deaths >= _TOO_OFTEN:
                        print("ecrate: workers keep dying as they start", file=sys.stderr)  # noqa: T201 - the operator's terminal
                        self._end()
                        return 1
                case signal.SIGHUP:
                    old = list(self._slots)
                    for slot in range(len(self._listeners)):
                        self._start(slot)
                    self._signal(old)
                case _:
                    return self._end()

    def _start(self, slot: int) -> None:
        parent = os.getpid()
        child = os.fork()
        if child:
            self._slots[child] = (slot, time.monotonic())
            return
        code = 1
        try:
            # A parent that is killed takes its workers along, so that nobody serves unwatched.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if os.getppid() == parent:
                self._run_worker(slot, self._listeners[slot])
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run in the child
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> list[int]:
        """Collect ended children; give the slots that have no worker now."""
        empty = []
        while self._slots:
            child, _ = os.waitpid(-1, os.WNOHANG)
            if not child:
                break
            slot, started = self._slots.pop(child, (None, 0.0))
            if slot is None or any(other == slot for other, _ in self._slots.values()):
                continue
            soon = time.monotonic() - started < _TOO_SOON
            self._quick_deaths = self._quick_deaths + 1 if soon else 0
            empty.append(slot)
        return empty

    def _signal(self, children: Sequence[int]) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    def _end(self) -> int:
        self._signal(list(self._slots))
        code = 0
        while self._slots:
            child, status = os.waitpid(-1, 0)
            if self._slots.pop(child, None) is not None and status:
                code = 1
        for listener in self._listeners:
            listener.close()
        return code
