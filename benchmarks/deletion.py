"""`python -m benchmarks.deletion`: what deleting costs, and how long it keeps other writers out.

A repository with that many images, each of a config of its own and a few layers that all share,
is deleted at once; before that, some of its images are, in calls of a hundred.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ecrate.domain.names import Digest, ImageId
from ecrate.operations import deletions, repositories
from ecrate.store.database import Transaction
from tests.support.core import Bench

SHARED = 5
CALL = 100
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCUMENT = b"x" * 1500


def digest_of(number: int) -> str:
    return f"sha256:{number:064x}"


def fill(tx: Transaction, repository_id: int, count: int) -> None:
    """Put rows of so many tagged images into the empty repository of an empty database."""
    numbers = range(1, count + 1)
    blobs = range(1, count + SHARED + 1)
    tx.many(
        "INSERT INTO blobs (id, digest, key, size, stored_at) VALUES (?, ?, ?, 1024, 0)",
        ((one, digest_of(one), f"key-{one}") for one in blobs),
    )
    tx.many(
        "INSERT INTO layers (repository_id, blob_id, touched_at, image_count) VALUES (?, ?, 0, ?)",
        ((repository_id, one, 1 if one <= count else count) for one in blobs),
    )
    tx.many(
        "INSERT INTO images (id, repository_id, digest, media_type, size, pushed_at, "
        "manifest_size, tag_count) VALUES (?, ?, ?, ?, 1024, 0, ?, 1)",
        ((one, repository_id, digest_of(one), MANIFEST, len(DOCUMENT)) for one in numbers),
    )
    tx.many(
        "INSERT INTO manifests (image_id, content) VALUES (?, ?)",
        ((one, DOCUMENT) for one in numbers),
    )
    tx.many(
        "INSERT INTO image_layers (image_id, repository_id, blob_id, media_type) "
        "VALUES (?, ?, ?, 'layer')",
        (
            (one, repository_id, blob)
            for one in numbers
            for blob in (one, *range(count + 1, count + SHARED + 1))
        ),
    )
    tx.many(
        "INSERT INTO tags (repository_id, tag, image_id) VALUES (?, ?, ?)",
        ((repository_id, f"v{one:08}", one) for one in numbers),
    )
    tx.run("UPDATE repositories SET image_count = ? WHERE id = ?", count, repository_id)


def measure(bench: Bench, count: int, calls: int) -> tuple[Sequence[float], float]:
    """Give the seconds of each BatchDeleteImage, and of DeleteRepository."""
    core, caller, ref = bench.core, bench.caller, bench.create("one")
    with bench.writing() as tx:
        fill(tx, 1, count)
    seconds = []
    for number in range(calls):
        numbers = range(number * CALL + 1, (number + 1) * CALL + 1)
        wanted = [ImageId(Digest(digest_of(one))) for one in numbers]
        began = time.perf_counter()
        deletions.batch_delete_image(core, caller, ref, wanted)
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    repositories.delete_repository(core, caller, ref, force=True)
    return seconds, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deletion", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=20, help="of BatchDeleteImage")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        bench = Bench(Path(folder))
        with contextlib.closing(bench):
            calls, whole = measure(bench, options.images, options.calls)
    each = statistics.median(calls) / CALL * 1e6
    print(f"BatchDeleteImage, {CALL} a call: {each:,.0f} us an image")
    print(f"DeleteRepository of {options.images - CALL * options.calls:,} images: {whole:.3f} s")


if __name__ == "__main__":
    main()
