"""A TCP balancer before several nodes: one after the other gets the next connection."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

Address = tuple[str, int]
_PIECE: Final = 256 * 1024
_END_OF_HEAD: Final = b"\r\n\r\n"
_CLOSE: Final = b"\r\nConnection: close"


@dataclass
class Balancer:
    """`taken` has the first line of each request that a connection began with, and the number of
    the node it went to.
    """

    address: Address
    nodes: Sequence[Address]
    is_per_request: bool
    taken: list[tuple[str, int]] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=itertools.count)

    @property
    def port(self) -> int:
        return self.address[1]

    def forget(self) -> None:
        """Begin to note anew."""
        self.taken.clear()

    def serve(self, client: socket.socket, node: int) -> None:
        """Pass on one connection."""
        with client, contextlib.suppress(OSError):
            head = b""
            while _END_OF_HEAD not in head:
                piece = client.recv(_PIECE)
                if not piece:
                    return
                head += piece
            self.taken.append((head.partition(b"\r\n")[0].decode("latin-1"), node))
            if self.is_per_request:
                first, _, rest = head.partition(_END_OF_HEAD)
                head = first + _CLOSE + _END_OF_HEAD + rest
            with socket.create_connection(self.nodes[node]) as server:
                server.sendall(head)
                back = threading.Thread(target=_relay, args=(server, client), daemon=True)
                back.start()
                _relay(client, server)
                back.join()

    def accept(self, listener: socket.socket) -> None:
        """Serve until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                node = next(self._turns) % len(self.nodes)
                threading.Thread(target=self.serve, args=(client, node), daemon=True).start()


def _relay(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and then that nothing more comes."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running_balancer(
    nodes: Sequence[Address],
    *,
    is_per_request: bool = False,
    listener: socket.socket | None = None,
) -> Iterator[Balancer]:
    """Run a balancer for a block, on a free port unless it is given a listener. One that is
    `is_per_request` has each connection closed after its first answer, so that a client's next
    request goes to the next node.
    """
    with listener or socket.create_server(("127.0.0.1", 0)) as door:
        balancer = Balancer(door.getsockname()[:2], nodes, is_per_request)
        thread = threading.Thread(target=balancer.accept, args=(door,), daemon=True)
        thread.start()
        try:
            yield balancer
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()
