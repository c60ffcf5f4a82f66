"""A server's workers addressed one by one, each over a connection of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from tests.support.registry import forever, workers_of
from tests.support.server import Server
from tests.support.wire import Answer, Wire


@contextlib.contextmanager
def a_wire_to_each_worker(server: Server) -> Iterator[list[Wire]]:
    """Give fresh connections, one to each worker; the kernel deals them out at random."""
    with contextlib.ExitStack() as opened:
        found: dict[int, Wire] = {}
        for _ in forever(step=0.001):
            wire = opened.enter_context(Wire(server))
            assert wire.ask("GET", "/healthz").status == 200
            found.setdefault(_worker_of(server, wire), wire)
            if len(found) == len(workers_of(server)):
                break
        else:
            raise AssertionError("a worker got no connection within a minute")
        yield list(found.values())


def _worker_of(server: Server, wire: Wire) -> int:
    """Give the process id of the worker at the other end."""
    port = wire.socket.getsockname()[1]
    return next(
        worker.pid
        for worker in workers_of(server)
        if any(one.raddr and one.raddr.port == port for one in worker.net_connections("tcp"))
    )


def ask_each_worker(
    server: Server, method: str, path: str, headers: Mapping[str, str | int] | None = None
) -> list[Answer]:
    """Ask the same of each worker, over a fresh connection."""
    with a_wire_to_each_worker(server) as wires:
        return [wire.ask(method, path, headers) for wire in wires]


def ask_afresh(server: Server, times: int, method: str, path: str) -> list[Answer]:
    """Ask the same again and again, each time over a fresh connection."""
    answers = []
    for _ in range(times):
        with Wire(server) as wire:
            answers.append(wire.ask(method, path))
    return answers


def send(
    wire: Wire, method: str, path: str, body: bytes, headers: Mapping[str, str | int] | None = None
) -> Answer:
    """Send a request with a body and wait for its response."""
    wire.head(method, path, {"Content-Length": len(body), **(headers or {})})
    wire.send(body)
    return wire.answer()
