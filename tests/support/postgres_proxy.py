"""A proxy before PostgreSQL that loses the connection where a test says so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PIECE: Final = 65536


@dataclass
class Proxy:
    """Passes connections on to a server's socket. While `loses_commits`, a COMMIT reaches the
    server and is carried out there, and its answer goes nowhere.
    """

    target: Path
    listener: socket.socket
    loses_commits: bool = False
    lost: int = 0
    _doomed: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)

    def url(self, url: str) -> str:
        """Give the URL of a database of the server by this way."""
        port = self.listener.getsockname()[1]
        return f"{url.partition('?')[0].replace('@/', f'@127.0.0.1:{port}/')}?sslmode=disable"

    def accept(self) -> None:
        """Serve until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.target))
                self._start(self._ask, client, server)

    def _start(self, relay: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=relay, args=sockets)
        self._threads.append(thread)
        thread.start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        self._start(self._answer, server, client)
        with client, server, contextlib.suppress(OSError):
            while piece := client.recv(_PIECE):
                if self.loses_commits and b"COMMIT\0" in piece:
                    self._doomed.add(server)
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE):
                if server in self._doomed:
                    self.lost += 1
                    break
                client.sendall(piece)
            client.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def running_proxy(target: Path) -> Iterator[Proxy]:
    """Run a proxy to the socket at `target` for a block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(target, listener)
        acceptor = threading.Thread(target=proxy.accept)
        acceptor.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            proxy.join()
