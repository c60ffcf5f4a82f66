"""A node in a network of its own, and a cable to where the database and the store are.

              this machine's loopback
         .----------- relays -----------.
         |                              |
    [ node  10.77.0.1 ]== cable ==[ 10.77.0.2  stores ]

Relays pass connections on between the networks, so that what goes over the cable is TCP of the
node's own, and packets on a cable that is cut are lost without a word.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tests.support.clients import find_program, miss
from tests.support.namespaces import network

NODE: Final = "10.77.0.1"
STORES: Final = "10.77.0.2"
_CLONE_NEWNET: Final = 0x40000000
_PIECE: Final = 256 * 1024

Connect = Callable[[], socket.socket]


@dataclass(frozen=True)
class Cable:
    """The networks at its two ends: what to put before a command to run it there."""

    node: tuple[str, ...]
    stores: tuple[str, ...]

    def cut(self) -> None:
        self._set("down")

    def mend(self) -> None:
        self._set("up")

    def _set(self, state: str) -> None:
        command = [*self.stores, find_program("ip"), "link", "set", "stores", state]
        subprocess.run(command, check=True)


@contextlib.contextmanager
def laid_cable() -> Iterator[Cable]:
    """Lay a cable between two new networks for a block."""
    ip = find_program("ip")
    with network({}) as node, network({}) as stores:
        cable = Cable(node, stores)
        for command in (
            [*node, ip, "link", "add", "node", "type", "veth", "peer", "stores", "netns"],
            [*node, ip, "address", "add", f"{NODE}/30", "dev", "node"],
            [*stores, ip, "address", "add", f"{STORES}/30", "dev", "stores"],
            [*node, ip, "link", "set", "node", "up"],
            [*stores, ip, "link", "set", "stores", "up"],
        ):
            words = [*command, str(_holder(stores))] if command[-1] == "netns" else command
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                miss(f"a cable cannot be laid: {done.stderr}")
        yield cable


def _holder(entrance: Sequence[str]) -> int:
    return int(next(word for word in entrance if word.startswith("--target=")).partition("=")[2])


@contextlib.contextmanager
def inside(entrance: Sequence[str]) -> Iterator[Callable[[Connect], socket.socket]]:
    """Give what makes sockets in a network; they are of use in this one as well."""

    def enter() -> None:
        descriptor = os.open(f"/proc/{_holder(entrance)}/ns/net", os.O_RDONLY)
        failed = ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET)
        os.close(descriptor)
        assert not failed, os.strerror(ctypes.get_errno())

    # A thread is in a network, not only a process.
    with ThreadPoolExecutor(1, initializer=enter) as threads:
        yield lambda make: threads.submit(make).result()


@contextlib.contextmanager
def relaying(listener: socket.socket, connect: Connect) -> Iterator[None]:
    """Pass connections on for a block."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = connect()
                except OSError:
                    client.close()
                    continue
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()

    with listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    # The end of one direction ends both: nobody here half-closes.
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    source.close()
