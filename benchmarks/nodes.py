"""`python -m benchmarks.nodes`: two nodes on PostgreSQL and SeaweedFS, both of the benchmark's own.

Half of the work comes to each node. CPU is that of the nodes' processes, and in a column of its
own PostgreSQL's; the S3 store's does not count, and as it has the same cores, seconds say nothing.
With `--profile` each step is done once more by nodes that are profiled, to name what dominates.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.bench import SETTLE
from benchmarks.children import in_child
from benchmarks.layers import MIB, Layer, Pool
from benchmarks.load import drive, push_all
from benchmarks.scenarios import manifest_of, push_image, request_for
from benchmarks.servers import Server, free_port, open_repository, start
from benchmarks.signing import signed_request
from tests.support.postgres import Postgres, running_postgres
from tests.support.s3 import url_of
from tests.support.seaweed import KEY, S3Server, find_weed, running_seaweed

_SIZE = 256 * MIB
_SMALL = 64 * 1024
_COUNT = 500
_CONNECTIONS = 16
_NODES = 2
_SHOWN = 5
_NUMBERS = itertools.count(1)

Job = Callable[[], float]


@dataclass
class Site:
    """The nodes and what they share."""

    nodes: list[Server]
    postgres: Postgres
    pool: Pool
    profiles: Path

    def cpu(self) -> tuple[float, float]:
        """Give the CPU seconds so far, the nodes' and PostgreSQL's."""
        return sum(node.cpu() for node in self.nodes), self._postgres_cpu()

    def _postgres_cpu(self) -> float:
        if self.postgres.process is None:
            return 0.0
        total, parent = 0.0, psutil.Process(self.postgres.process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                total += time.clock_gettime((~process.pid << 3) | 2)  # clock_getcpuclockid(3)
        return total

    def spent(self) -> Counter[str]:
        """Have the workers write their profiles, and give their sum."""
        workers = [one.pid for node in self.nodes for one in node.tree() if _is_worker(one, node)]
        for pid in workers:
            (self.profiles / str(pid)).unlink(missing_ok=True)
            os.kill(pid, signal.SIGUSR1)
        total: Counter[str] = Counter()
        for pid in workers:
            while not (self.profiles / str(pid)).exists():
                time.sleep(0.01)
            total.update(json.loads((self.profiles / str(pid)).read_text(encoding="utf-8")))
        return total


def _is_worker(process: psutil.Process, node: Server) -> bool:
    return process.ppid() == node.process.pid


@dataclass(frozen=True)
class Step:
    """`prepare` gives the work of one node; `work` is how much that is, in `unit`."""

    name: str
    unit: str
    work: float
    prepare: Callable[[Server], Job]

    @property
    def scale(self) -> float:
        return 1.0 if self.unit == "s/GB" else 1e6

    def run(self, site: Site) -> tuple[float, float]:
        """Have each node do it; give what one piece of work costs the nodes, and PostgreSQL."""
        jobs = [self.prepare(node) for node in site.nodes]
        before = site.cpu()
        for job in jobs:
            in_child(job)
        time.sleep(SETTLE)
        pairs = zip(before, site.cpu(), strict=True)
        nodes, postgres = ((after - one) / self.work / len(jobs) for one, after in pairs)
        return nodes * self.scale, postgres * self.scale


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(prog="benchmarks.nodes", description=__doc__)
    parser.add_argument("words", nargs="*", help="steps whose name contains one of these words")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    program = find_weed()
    if program is None:
        sys.exit("weed of SeaweedFS is not installed")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, running_postgres() as postgres:
        folder = Path(name)
        (folder / "store").mkdir()
        with running_seaweed(program, folder / "store") as store:
            with _running(folder / "plain", postgres, store, is_profiled=False) as site:
                _measure(site, options.words, options.rounds)
            if options.profile:
                with _running(folder / "profiled", postgres, store, is_profiled=True) as site:
                    _profile(site, options.words)


def _measure(site: Site, words: list[str], rounds: int) -> None:
    print(f"{'':40} {'nodes':>9} {'PostgreSQL':>11}")
    for step in _wanted(site, words):
        pairs = [step.run(site) for _ in range(rounds + 1)][1:]
        nodes, postgres = (statistics.median(figures) for figures in zip(*pairs, strict=True))
        print(f"{step.name:40} {nodes:9.3g} {postgres:11.3g} CPU {step.unit}", flush=True)


def _profile(site: Site, words: list[str]) -> None:
    print("\nof a node's CPU, by the profiler")
    for step in _wanted(site, words):
        step.run(site)
        before = site.spent()
        step.run(site)
        spent = site.spent() - before
        total = sum(spent.values())
        parts = (f"{part} {one / total:.0%}" for part, one in spent.most_common(_SHOWN))
        print(f"{step.name:40} {', '.join(parts)}", flush=True)


def _wanted(site: Site, words: list[str]) -> Iterator[Step]:
    for step in _steps(site):
        if not words or any(word.lower() in step.name.lower() for word in words):
            yield step


@contextlib.contextmanager
def _running(
    folder: Path, postgres: Postgres, store: S3Server, *, is_profiled: bool
) -> Iterator[Site]:
    (folder / "profiles").mkdir(parents=True)
    secret, config = folder / "secret", folder / "ecrate.toml"
    secret.write_text(secrets.token_hex(32), encoding="ascii")
    nodes: list[Server] = []
    with postgres.empty() as database:
        config.write_text(
            f'database = "{database}"\nsecret_file = "{secret}"\n'
            f'blobs = "{url_of(store.make_address())}"\n'
            f's3_access_key_id = "{KEY.key_id}"\ns3_secret_access_key = "{KEY.secret}"\n',
            encoding="utf-8",
        )
        try:
            for number in range(1, _NODES + 1):
                nodes.append(_start(folder, f"node-{number}", config, is_profiled=is_profiled))
                if number == 1:
                    open_repository(nodes[0], has_repository=True)
            first, *others = nodes
            for node in others:
                node.key, node.authorization = first.key, first.authorization
            yield Site(nodes, postgres, Pool(folder), folder / "profiles")
        finally:
            for node in nodes:
                node.stop()


def _start(folder: Path, name: str, config: Path, *, is_profiled: bool) -> Server:
    port = free_port()
    module = ["benchmarks.profiled", str(folder / "profiles")] if is_profiled else ["ecrate"]
    command = [sys.executable, "-m", *module, "serve", "--config", str(config), "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--data", str(folder / name)]
    return start(name, folder, command, port, "/healthz")


def _steps(site: Site) -> Iterator[Step]:
    pool, first = site.pool, site.nodes[0]
    layer, _ = push_image(first, pool, "v1")
    missing = f"sha256:{'0' * 64}"

    def pushing(size: int, count: int, *, in_chunks: bool = False) -> Callable[[Server], Job]:
        def prepare(node: Server) -> Job:
            layers = [[pool.new(size) for _ in range(count)]]
            return partial(push_all, node, pool, layers, in_chunks=in_chunks)

        return prepare

    def asking(method: str, path: str, status: int = 200) -> Callable[[Server], Job]:
        return lambda node: partial(
            _drive, node, [request_for(node, method, path)] * _COUNT, status
        )

    def calling(operation: str, **parameters: object) -> Callable[[Server], Job]:
        return lambda node: partial(
            _drive, node, [signed_request(node.port, node.key, operation, parameters)] * _COUNT, 200
        )

    gb, blob = _SIZE / 1e9, f"/v2/bench/blobs/{layer.digest}"
    image_ids = [{"imageTag": "v1"}]
    yield Step("push 256 MiB", "s/GB", gb, pushing(_SIZE, 1))
    yield Step("push 256 MiB, as docker", "s/GB", gb, pushing(_SIZE, 1, in_chunks=True))
    yield Step("push 64 KiB, as docker", "us", 50, pushing(_SMALL, 50, in_chunks=True))
    yield Step("pull, sent on to the store", "us", _COUNT, asking("GET", blob, 307))
    yield Step("manifest GET by tag", "us", _COUNT, asking("GET", "/v2/bench/manifests/v1"))
    yield Step("blob HEAD, hit", "us", _COUNT, asking("HEAD", blob))
    yield Step("blob HEAD, miss", "us", _COUNT, asking("HEAD", f"/v2/bench/blobs/{missing}", 404))
    yield Step("PutImage", "us", _COUNT, partial(_put_images, layer))
    yield Step("DescribeRepositories", "us", _COUNT, calling("DescribeRepositories"))
    yield Step(
        "BatchGetImage",
        "us",
        _COUNT,
        calling("BatchGetImage", repositoryName="bench", imageIds=image_ids),
    )
    yield Step(
        "GetDownloadUrlForLayer",
        "us",
        _COUNT,
        calling("GetDownloadUrlForLayer", repositoryName="bench", layerDigest=layer.digest),
    )
    yield Step(
        "InitiateLayerUpload", "us", _COUNT, calling("InitiateLayerUpload", repositoryName="bench")
    )


def _drive(node: Server, requests: list[bytes], status: int) -> float:
    return drive(node, requests, _CONNECTIONS, status=status).seconds


def _put_images(layer: Layer, node: Server) -> Job:
    """Put images that are not there yet, each under a tag of its own."""
    requests = []
    for number in itertools.islice(_NUMBERS, _COUNT):
        manifest = manifest_of(layer, [layer], note=str(number)).decode()
        parameters = {
            "repositoryName": "bench",
            "imageManifest": manifest,
            "imageTag": f"put-{number}",
        }
        requests.append(signed_request(node.port, node.key, "PutImage", parameters))
    return partial(_drive, node, requests, 200)


if __name__ == "__main__":
    main()
