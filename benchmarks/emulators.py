"""`python -m benchmarks.emulators`: CPU of each operation beside moto's server and MiniStack.

The three are asked in turns, the same calls each. ecrate checks signatures and policies and makes
each write durable; the others keep all in memory and check neither. An operation that one of them
does not know, or knows otherwise, has no figure there.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path

from benchmarks import calls
from benchmarks.bench import measured
from benchmarks.report import machine, number
from benchmarks.servers import ECRATE, Server, free_port, running, start
from benchmarks.signing import Key, Request, call, signed_parts

PEERS = Path(".venv-peers/bin")
MOTO, MINISTACK = "moto", "MiniStack"
_KEY = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_SIZES = {1: 60, 32: 192}


@dataclass
class Subject:
    """A server under measurement; `costs` are microseconds of CPU a call by (title, size)."""

    server: Server
    arn: str = ""
    costs: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


@contextmanager
def peers(folder: Path) -> Iterator[list[Server]]:
    """Run moto's server and MiniStack for a block."""
    servers = []
    try:
        port = free_port()
        command = [str(PEERS / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        servers.append(start(MOTO, folder, command, port, "/moto-api/"))
        port = free_port()
        os.environ |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR"}
        os.environ |= {"SERVICES": "ecr", "TMPDIR": str(folder)}
        command = [str(PEERS / "ministack")]
        servers.append(start(MINISTACK, folder, command, port, "/_ministack/health"))
        for server in servers:
            server.key = _KEY
        yield servers
    finally:
        for server in servers:
            server.stop()


def ask_all(port: int, requests: Sequence[Request], connections: int) -> float:
    """Send the requests over some connections at once; the emulators close theirs at times, which
    `load.drive` does not forgive.
    """
    waiting, turn = iter(requests), threading.Lock()

    def run(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with turn:
                request = next(waiting, None)
            if request is None:
                break
            headers, body = request
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != HTTPStatus.OK:
                raise RuntimeError(f"answered {answer.status}: {text[:300]!r}")
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        list(threads.map(run, range(connections)))
    return time.perf_counter() - began


def measure(
    subject: Subject, title: str, make: calls.Make, ground: calls.Ground, size: int
) -> None:
    """Measure one step at one number of connections."""
    server, operation = subject.server, title.partition(",")[0].partition(" ")[0]
    if title in subject.unknown:
        return
    try:
        wanted = make(ground)
        first, rest = wanted[0], wanted[1:]
        call(server.port, server.key, operation, first)
        requests = [signed_parts(server.port, server.key, operation, one) for one in rest]
        _, cpu = measured(server, partial(ask_all, server.port, requests, size))
    except (RuntimeError, KeyError, OSError) as error:
        subject.unknown[title] = str(error)
    else:
        subject.costs.setdefault((title, size), []).append(cpu / len(rest) * 1e6)


def cell(subject: Subject, title: str, size: int) -> float | None:
    found = subject.costs.get((title, size))
    return None if not found or title in subject.unknown else statistics.median(found)


def report(subjects: Sequence[Subject]) -> Iterator[str]:
    """Give the table, and a last line that counts where ecrate is the cheapest."""
    names = [subject.server.name for subject in subjects]
    heads = "".join(f"{name:>12}" for name in names) * len(_SIZES)
    yield f"{'CPU us/call at':36}" + "".join(f"{size:>3} connections{'':>21}" for size in _SIZES)
    yield f"{'':36}{heads}"
    behind = []
    for title, _ in calls.STEPS:
        line = f"{title:36}"
        for size in _SIZES:
            mine, *others = (cell(subject, title, size) for subject in subjects)
            line += "".join(f"{number(one):>12}" for one in (mine, *others))
            if mine is not None and any(one is not None and one < mine for one in others):
                behind.append(f"{title} at {size}")
        yield line
    compared = len(calls.STEPS) * len(_SIZES)
    yield f"ecrate is the cheapest in {compared - len(behind)} of {compared} rows"
    yield from (f"  not in: {one}" for one in behind)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emulators", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--why", action="store_true", help="tell why a figure is missing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ecrate-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        print(f"{machine(folder)}, medians of {options.rounds} rounds\n", flush=True)
        (ours,) = stack.enter_context(running(folder, ECRATE, has_repository=False))
        subjects = [Subject(server) for server in (ours, *stack.enter_context(peers(folder)))]
        for subject in subjects:
            subject.arn = calls.prepare(partial(call, subject.server.port, subject.server.key))
        for turn in range(options.rounds):
            for size, count in _SIZES.items():
                grounds = [
                    calls.Ground(
                        partial(call, one.server.port, one.server.key),
                        f"r{turn}-{size}",
                        count,
                        one.arn,
                    )
                    for one in subjects
                ]
                for title, make in calls.STEPS:
                    for subject, ground in zip(subjects, grounds, strict=True):
                        measure(subject, title, make, ground, size)
        print(*report(subjects), sep="\n")
        if options.why:
            for subject in subjects:
                for title, why in subject.unknown.items():
                    print(f"{subject.server.name}, {title}: {why[:200]}")
    return 1 if subjects[0].unknown else 0


if __name__ == "__main__":
    sys.exit(main())
