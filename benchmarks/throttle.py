"""`python -m benchmarks.throttle`: whether pushes notice that the collector is at work.

A server on SQLite has a backlog of layers that nothing needs, each a file of 1 KiB. Clients push
small images through the registry door; in every other second somebody else has the collector's
lease, so that it rests. The pushes of both kinds of seconds are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from benchmarks.children import Child
from benchmarks.collection import fill
from tests.support.core import Bench
from tests.support.images import OCI_CONFIG, OCI_MANIFEST, Blob, MadeImage
from tests.support.server import Server, running_server

CLIENTS = 2
MOST = 0.20
SPAN = 1.0
# What a change of hands takes; pushes of that time count for neither.
CHANGE = 0.25
SETTINGS = {"ECRATE_COLLECT_EVERY": "0.1", "ECRATE_QUARANTINE": "0", "ECRATE_WORKERS": "2"}

# When a push began, and the seconds it took.
Taken = tuple[float, float]


def push(server: Server, client: int, end: float) -> list[Taken]:
    """Push one image after another."""
    taken = []
    with server.http() as http:
        while (began := time.monotonic()) < end:
            note = f"{client}-{len(taken)}"
            config = Blob(json.dumps({"note": note}).encode(), OCI_CONFIG)
            image = MadeImage(config, (Blob(os.urandom(1024)),))
            for blob in image.blobs:
                location = http.post("/v2/pushed/blobs/uploads/").headers["Location"]
                _expect(http.put(location, params={"digest": blob.digest}, content=blob.content))
            headers = {"Content-Type": OCI_MANIFEST}
            path = f"/v2/pushed/manifests/{note}"
            _expect(http.put(path, content=image.manifest, headers=headers))
            taken.append((began, time.monotonic() - began))
    return taken


def _expect(answer: httpx.Response) -> None:
    if answer.status_code != httpx.codes.CREATED:
        raise RuntimeError(answer.text)


def take_turns(data: Path, end: float) -> Iterator[tuple[float, float, bool]]:
    """Let the collector rest and work in turns; give from when to when, and whether it works."""
    works = False
    with contextlib.closing(sqlite3.connect(data / "ecrate.db", timeout=30)) as database:
        while time.monotonic() < end:
            with database:
                database.execute(
                    "UPDATE leases SET holder = ?, expires_at = ? WHERE name = 'collector'",
                    ("benchmark", 0 if works else time.time() + 60),
                )
            began = time.monotonic() + CHANGE
            time.sleep(SPAN + CHANGE)
            yield began, time.monotonic(), works
            works = not works


def told(taken: Sequence[float]) -> tuple[float, float]:
    """Give median and 99th percentile."""
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def waiting(data: Path) -> int:
    with contextlib.closing(sqlite3.connect(data / "ecrate.db", timeout=30)) as database:
        count: int = database.execute(
            "SELECT count(*) FROM layers WHERE touched_at = 0"
        ).fetchone()[0]
        return count


def main() -> int:
    """Measure; 1 if pushes notice more than they should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throttle", description=__doc__)
    parser.add_argument("--blobs", type=int, default=60_000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        with contextlib.closing(Bench(data)) as bench:
            fill(bench, options.blobs)
        with running_server(data, env=SETTINGS) as server:
            server.ecr().create_repository(repositoryName="pushed")
            end = time.monotonic() + options.seconds
            with contextlib.ExitStack() as opened:
                children = [
                    opened.enter_context(Child(lambda one=one: push(server, one, end)))
                    for one in range(CLIENTS)
                ]
                before = waiting(data)
                turns = list(take_turns(data, end))
                after = waiting(data)
                pushes = [taken for child in children for taken in child.result()]
    kinds: dict[bool, list[float]] = {False: [], True: []}
    for began, seconds in pushes:
        for start, stop, works in turns:
            if start <= began < stop:
                kinds[works].append(seconds)
    if not after:
        print("the backlog was too small: give more --blobs")
        return 2
    rest, work = told(kinds[False]), told(kinds[True])
    worked = sum(SPAN + CHANGE for _, _, works in turns if works)
    rate = (before - after) / worked * 3600
    change = work[1] / rest[1] - 1
    for name, (median, last), kind in (("rests", rest, False), ("works", work, True)):
        print(
            f"collector {name}: {len(kinds[kind]):5,} pushes, p50 {1000 * median:.1f} ms, "
            f"p99 {1000 * last:.1f} ms"
        )
    is_good = change < MOST
    print(f"p99 moves by {change:+.0%}; target below {MOST:.0%}: {'ok' if is_good else 'missed'}")
    print(f"it collects {rate:,.0f} blobs an hour beside the pushes")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
