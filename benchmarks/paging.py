"""`python -m benchmarks.paging`: what a page of 100 costs as the list behind it grows.

For each size a server of one worker, whose database is filled while it is stopped: that many
repositories, and one repository with that many images, tags and referrers, which lies behind
another just as large. The servers are asked in turn, so that noise meets all of them alike.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from tests.support.server import ACCOUNT, REGION, Server, start_server
from tests.support.signing import sign
from tests.support.wire import basic

SIZES = (100, 10_000, 100_000)
FLAT = 2.0
PAGE = 100
SUBJECT = "sha256:" + "f" * 64
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT = "application/vnd.example.sbom.v1"

Request = tuple[str, str, bytes, dict[str, str]]


def fill(path: Path, size: int) -> None:
    """Give a stopped server's database its rows."""
    database = sqlite3.connect(path)
    with contextlib.closing(database), database:
        database.executemany(
            "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
            "tag_mutability_filters, scan_on_push, encryption_type) "
            "VALUES (?, ?, ?, 0, 'MUTABLE', '[]', 0, 'AES256')",
            ((ACCOUNT, REGION, name_of(number)) for number in range(size)),
        )
        for number in (0, 1):
            (repository,) = database.execute(
                "SELECT id FROM repositories WHERE name = ?", (name_of(number),)
            ).fetchone()
            fill_repository(database, repository, size)


def fill_repository(database: sqlite3.Connection, repository: int, size: int) -> None:
    (last,) = database.execute("SELECT coalesce(max(id), 0) FROM images").fetchone()
    images = range(last + 1, last + 1 + 2 * size)
    database.executemany(
        "INSERT INTO images (id, repository_id, digest, media_type, artifact_media_type, size, "
        "pushed_at, subject, annotations, manifest_size, tag_count) "
        "VALUES (?, ?, ?, ?, ?, 1000, 0, ?, ?, 500, ?)",
        (
            (one, repository, digest_of(one), MANIFEST, ARTIFACT)
            # The tagged ones and the referrers come by turns.
            + ((None, None, 1) if one % 2 else (SUBJECT, '{"note": "some"}', 0))
            for one in images
        ),
    )
    database.executemany(
        "INSERT INTO tags (repository_id, tag, image_id) VALUES (?, ?, ?)",
        ((repository, f"v{one:08}", one) for one in images if one % 2),
    )
    database.execute("UPDATE repositories SET image_count = ? WHERE id = ?", (2 * size, repository))


def name_of(number: int) -> str:
    return f"bench/r{number:07}"


def digest_of(number: int) -> str:
    return f"sha256:{number:064x}"


@dataclass
class Subject:
    """A server with lists of one size, and what has been measured of it."""

    size: int
    server: Server
    connection: http.client.HTTPConnection
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    def ask(self, request: Request) -> bytes:
        """Send and give the body."""
        method, path, body, headers = request
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {content[:300]!r}")
        return content

    def door(self, path: str) -> Request:
        login = basic(self.server.key_id, self.server.secret)
        return "GET", path, b"", {"Authorization": login}

    def call(self, operation: str, **parameters: Any) -> Request:
        """Give a signed call, good for five minutes."""
        body = json.dumps(parameters).encode()
        return "POST", "/", body, sign(self.server, operation, body)

    def measure(self, name: str, request: Request, count: int) -> None:
        worker = psutil.Process(self.server.process.pid).children()[0]
        self.ask(request)
        before = worker.cpu_times()
        for _ in range(count):
            began = time.perf_counter()
            self.ask(request)
            self.seconds.setdefault(name, []).append(time.perf_counter() - began)
        after = worker.cpu_times()
        spent = after.user + after.system - before.user - before.system
        self.cpu[name] = self.cpu.get(name, 0.0) + spent


@contextlib.contextmanager
def subject(folder: Path, size: int) -> Iterator[Subject]:
    data = folder / str(size)
    start_server(data, "--workers", "1").stop()
    fill(data / "ecrate.db", size)
    server = start_server(data, "--workers", "1")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with contextlib.closing(connection):
            yield Subject(size, server, connection)
    finally:
        server.stop()


def requests_of(one: Subject) -> dict[str, Request]:
    """Give the requests by name: of each list the first page, and the last 100 entries."""
    name = name_of(1)
    tags, names = f"v{4 * one.size - 2 * PAGE:08}", quote(name_of(one.size - PAGE - 1), safe="")
    referrers = f"/v2/{name}/referrers/{SUBJECT}"
    found = {
        "/v2/ tags/list": one.door(f"/v2/{name}/tags/list?n={PAGE}"),
        "/v2/ tags/list, end": one.door(f"/v2/{name}/tags/list?n={PAGE}&last={tags}"),
        "/v2/ _catalog": one.door(f"/v2/_catalog?n={PAGE}"),
        "/v2/ _catalog, end": one.door(
            f"/v2/_catalog?n={PAGE}" + (f"&last={names}" if one.size > PAGE else "")
        ),
        "/v2/ referrers": one.door(referrers),
        "/v2/ referrers, filtered, end": one.door(
            f"{referrers}?artifactType={ARTIFACT}&last=2-{4 * one.size - 2 * PAGE}"
        ),
    }
    of_images: dict[str, Any] = {"repositoryName": name}
    tagged = {**of_images, "filter": {"tagStatus": "TAGGED"}}
    untagged = {**of_images, "filter": {"tagStatus": "UNTAGGED"}}
    for operation, label, parameters, total in (
        ("DescribeRepositories", "", {}, one.size),
        ("DescribeImages", "", of_images, 2 * one.size),
        ("DescribeImages", " TAGGED", tagged, one.size),
        ("ListImages", "", of_images, 2 * one.size),
        ("ListImages", " UNTAGGED", untagged, one.size),
    ):
        first = {**parameters, "maxResults": PAGE}
        token = walk(one, operation, parameters, total - PAGE)
        found[f"{operation}{label}"] = one.call(operation, **first)
        found[f"{operation}{label}, end"] = one.call(operation, **first, **token)
    return found


def walk(one: Subject, operation: str, parameters: dict[str, Any], count: int) -> dict[str, str]:
    """Go past `count` entries of a list; give the parameter that goes on behind them."""
    token: dict[str, str] = {}
    while count:
        step = min(count, 1000)
        request = one.call(operation, **parameters, maxResults=step, **token)
        token = {"nextToken": json.loads(one.ask(request))["nextToken"]}
        count -= step
    return token


def at_percent(samples: Sequence[float], percent: int) -> float:
    """Give a percentile in milliseconds."""
    return statistics.quantiles(samples, n=100)[percent - 1] * 1000


def report(subjects: Sequence[Subject]) -> Iterator[str]:
    yield f"{'':34}" + "".join(f"{one.size:>24,}" for one in subjects) + f"{'largest : least':>24}"
    columns = f"{'p50 ms':>8}{'p99 ms':>8}{'CPU ms':>8}"
    yield f"{'':34}" + columns * len(subjects) + f"{'p50':>8}{'p99':>8}{'CPU':>8}"
    for name in subjects[0].seconds:
        line = f"{name:34}"
        figures: list[tuple[float, float, float]] = []
        for one in subjects:
            samples = one.seconds[name]
            cpu = one.cpu[name] / len(samples) * 1000
            figures.append((at_percent(samples, 50), at_percent(samples, 99), cpu))
            line += "".join(f"{figure:8.2f}" for figure in figures[-1])
        ratios = [last / first for first, last in zip(figures[0], figures[-1], strict=True)]
        verdict = "flat" if max(ratios) <= FLAT else "NOT FLAT"
        yield line + "".join(f"{ratio:8.2f}" for ratio in ratios) + f"  {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paging", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=20, help="requests a round")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        subjects = [running.enter_context(subject(Path(folder), size)) for size in options.sizes]
        requests: list[dict[str, Request]] = [requests_of(one) for one in subjects]
        for _, name in itertools.product(range(options.rounds), requests[0]):
            for one, named in zip(subjects, requests, strict=True):
                one.measure(name, named[name], options.count)
        print(*report(subjects), sep="\n")


if __name__ == "__main__":
    main()
