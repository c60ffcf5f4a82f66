"""How long 10,000 stored inventories take to be judged by a new feed.

Run it as `python -m benchmarks.rematch`.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from ecrate.domain.names import Digest
from ecrate.domain.scanning import ScanPlan
from ecrate.operations.advisories import import_advisories
from ecrate.operations.scanning import Scanner, ScanSettings
from ecrate.scanning.inventory import Inventory, Package, Release
from ecrate.scanning.results import Findings, pack
from ecrate.store import scans
from tests.support.core import Bench
from tests.support.scanning import advisory

IMAGES: Final = 10_000
PACKAGES: Final = 200
KNOWN: Final = 3_000
ADVISORIES: Final = 20_000


def main() -> int:
    """Print the seconds, and the memory at its highest."""
    with tempfile.TemporaryDirectory() as folder, closing(Bench(Path(folder))) as bench:
        _fill(bench)
        started, processor = time.perf_counter(), time.process_time()
        feed = (_advisory(number) for number in range(ADVISORIES))
        import_advisories(bench.core, "benchmark", feed)
        imported = time.perf_counter() - started
        scanner = Scanner(ScanSettings(1))
        started, processor = time.perf_counter(), time.process_time()
        while scanner.run(bench.core, lambda: True):
            pass
        took, used = time.perf_counter() - started, time.process_time() - processor
        with bench.reading() as tx:
            left = tx.one("SELECT count(*) FROM scans WHERE feed <> 1")
            met = tx.one("SELECT count(*) FROM scans WHERE counts <> '{}'")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"import of {ADVISORIES} advisories: {imported:.1f} s")
    print(f"rematch of {IMAGES} inventories of {PACKAGES} packages: {took:.1f} s, CPU {used:.1f} s")
    print(f"of these {met and met[0]} meet some, {left and left[0]} are left; {memory} MiB at most")
    return 0


def _advisory(number: int) -> tuple[str, bytes]:
    document = advisory(
        f"B-{number}",
        f"package-{number % KNOWN}",
        ("introduced", "1.0"),
        ("fixed", f"1.{number % 9}"),
    )
    return document["id"], msgspec.json.encode(document)


def _fill(bench: Bench) -> None:
    """Store images that have been scanned, without layers."""
    choice = random.Random(1)  # noqa: S311 - nothing secret
    bench.create()
    with bench.writing() as tx:
        for number in range(1, IMAGES + 1):
            tx.run(
                "INSERT INTO images (id, repository_id, digest, media_type, size, pushed_at, "
                "manifest_size) VALUES (?, 1, ?, 'type', 1, 0, 1)",
                number,
                Digest(f"sha256:{number:064x}").text,
            )
            scans.request_scan(tx, number, ScanPlan("ENHANCED", "CONTINUOUS_SCAN"), 1.0)
            packages = tuple(
                Package("pypi", f"package-{one}", f"1.{choice.randrange(12)}.{choice.randrange(5)}")
                for one in choice.sample(range(KNOWN * 2), PACKAGES)
            )
            outcome = scans.Outcome("COMPLETE", "", {}, 0, None)
            scans.finish_scan(tx, number, 1.0, outcome, 1.0)
            inventory = Inventory(Release("debian", "12"), packages)
            scans.put_results(tx, number, pack(inventory), pack(Findings()))


if __name__ == "__main__":
    sys.exit(main())
