"""Whether rows and bytes are as they should be: `ecrate fsck`.

Everything is read in small pages beside a running server, so whatever looks wrong is looked at
again, by itself, before it is told. References come first, since what a repair deletes there is
derived again from manifests; counts come behind what changes them. Where the engine cannot read
its own files, nothing else is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecrate.domain.damage import Finding
from ecrate.operations.checks.blobs import check_blobs, check_digests, check_strays
from ecrate.operations.checks.images import check_images
from ecrate.operations.checks.inspection import Inspection
from ecrate.operations.checks.rows import check_counts, check_database, check_references


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Give all that is found, as it is found; what a repair does is done by then."""
    is_readable = True
    for finding in check_database(inspection):
        is_readable = False
        yield finding
    if not is_readable:
        return
    yield from check_references(inspection)
    yield from check_images(inspection)
    yield from check_counts(inspection)
    yield from check_blobs(inspection)
    yield from check_strays(inspection)
    if inspection.pace is not None:
        yield from check_digests(inspection, inspection.pace)
