"""Bytes against rows: blobs that are gone, cut or corrupt, and bytes that nobody accounts for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from ecrate.domain.damage import Finding
from ecrate.domain.errors import StoreUnavailable
from ecrate.domain.layers import MIB
from ecrate.operations.checks.inspection import PAGE, Inspection
from ecrate.operations.core import Core
from ecrate.operations.pace import Pace
from ecrate.store import checks as store
from ecrate.store import garbage
from ecrate.store.blobs import Garbage, insert_garbage, lock_blobs
from ecrate.store.checks import BlobRow
from ecrate.store.dump import sum_of_sizes

_IMAGES: Final = 1000
_QUESTIONS: Final = 16
_TOLD: Final = {
    "missing-blob": "its bytes are gone",
    "cut-blob": "its bytes are more or fewer than its row says",
    "corrupt-blob": "its bytes have another digest",
    "lost-blob": "its bytes are lost",
}
_ADVICE: Final = "push an image that has it again"


def check_blobs(inspection: Inspection) -> Iterator[Finding]:
    """Look whether each blob has its bytes, in the right size. A repair notes which have not, so
    that clients send them again, and puts what is there in their place into quarantine.
    """
    core = inspection.core
    with core.database.read() as tx:
        inspection.watcher.begin("blobs", store.count_rows(tx, "blobs"), "blobs")
    # A store elsewhere is asked for several at once, so that their ways there do not add up.
    with ThreadPoolExecutor(1 if core.blobs.is_local else _QUESTIONS) as pool:
        for page in _pages(core):
            kinds = pool.map(partial(_kind, core), page)
            for blob, kind in zip(page, kinds, strict=True):
                if blob.is_forgotten:
                    yield from _forgotten(inspection, blob.id)
                if kind:
                    yield from _missing(inspection, blob.id)
            inspection.advance("blobs", len(page))


def _pages(core: Core) -> Iterator[list[BlobRow]]:
    after = 0
    while True:
        with core.database.read() as tx:
            page = store.list_blobs(tx, after, PAGE)
        if not page:
            return
        yield page
        after = page[-1].id


def _kind(core: Core, blob: BlobRow) -> str:
    """Say what is wrong with a blob at first sight, if anything is."""
    if blob.is_lost:
        return "lost-blob"
    if core.blobs.exists(blob.key, blob.size):
        return ""
    try:
        core.blobs.open_blob(blob.key).close()
    except FileNotFoundError:
        return "missing-blob"
    return "cut-blob"


def _find(core: Core, blob_id: int) -> BlobRow | None:
    with core.database.read() as tx:
        return store.find_blob(tx, blob_id)


def _missing(inspection: Inspection, blob_id: int) -> Iterator[Finding]:
    core = inspection.core
    blob = _find(core, blob_id)
    kind = "" if blob is None else _kind(core, blob)
    if blob is None or not kind:
        return
    if kind == "lost-blob" and inspection.repairs and _take_back(inspection, blob):
        yield _finding(core, blob, kind, done="they are there again", is_mended=True)
        return
    done = _give_up(core, blob, kind) if inspection.repairs else ""
    yield _finding(core, blob, kind, done=done)


def _finding(
    core: Core, blob: BlobRow, kind: str, *, done: str, is_mended: bool = False
) -> Finding:
    with core.database.read() as tx:
        images, count = store.list_images_with(tx, blob.id, _IMAGES)
    told = _TOLD[kind] if is_mended or not count else f"{_TOLD[kind]}; {_ADVICE}"
    return Finding(kind, blob.digest.text, told, done, is_mended, images, count)


def _give_up(core: Core, blob: BlobRow, kind: str) -> str:
    """Note that the blob is lost; what has its key goes into quarantine. Say what was done."""
    now = core.clock()
    with core.database.write() as tx:
        if not store.mark_lost(tx, blob, now):
            return ""
        if kind == "missing-blob":
            return "noted, so that clients send it again"
        # Without the digest, or it could be restored as what it is not.
        insert_garbage(tx, [Garbage(blob.key, blob.size)], now)
    return "noted, so that clients send it again; what is there is in quarantine"


def _take_back(inspection: Inspection, blob: BlobRow) -> bool:
    """Let a lost blob whose bytes are well after all be one again; tell whether they are."""
    core = inspection.core
    pace = inspection.pace or Pace()
    with core.database.read() as tx:
        was_going = garbage.is_garbage(tx, blob.key)
    if not core.blobs.exists(blob.key, blob.size) or not _is_whole(core, blob, pace.spend):
        return False
    with core.database.write() as tx:
        lock_blobs(tx, [blob.id])
        # Those that were on their way out may be gone by now.
        is_kept = garbage.take_garbage(tx, blob.key) if was_going else True
        return is_kept and store.mark_found(tx, blob)


def _forgotten(inspection: Inspection, blob_id: int) -> Iterator[Finding]:
    blob = _find(inspection.core, blob_id)
    if blob is None or not blob.is_forgotten:
        return
    if inspection.repairs:
        with inspection.core.database.write() as tx:
            store.remember_blob(tx, blob.id)
    yield Finding(
        "forgotten-blob",
        blob.digest.text,
        "nothing links it, and the collector does not know of it",
        done="left to the collector" if inspection.repairs else "",
        is_mended=inspection.repairs,
    )


def check_digests(inspection: Inspection, pace: Pace) -> Iterator[Finding]:
    """Read all blobs, no faster than `pace` lets it, and compare their digests. A repair does to
    corrupt ones as `check_blobs` does to cut ones.
    """
    core = inspection.core
    with core.database.read() as tx:
        inspection.watcher.begin("digests", sum_of_sizes(tx), "bytes")

    def spend(count: int) -> None:
        inspection.advance("bytes", count)
        pace.spend(count)

    for page in _pages(core):
        for blob in page:
            if not blob.is_lost and not _is_whole(core, blob, spend):
                yield from _corrupt(inspection, blob.id, pace)


def _corrupt(inspection: Inspection, blob_id: int, pace: Pace) -> Iterator[Finding]:
    """Read again what could not be read well."""
    core = inspection.core
    blob = _find(core, blob_id)
    # What is gone or cut was told by `check_blobs`.
    if blob is not None and not _kind(core, blob) and not _is_whole(core, blob, pace.spend):
        done = _give_up(core, blob, "corrupt-blob") if inspection.repairs else ""
        yield _finding(core, blob, "corrupt-blob", done=done)


def _is_whole(core: Core, blob: BlobRow, spend: Callable[[int], None]) -> bool:
    """Tell whether all bytes can be read and have the blob's digest; `spend` is told how many
    were read.
    """
    hasher = hashlib.new(blob.digest.algorithm)
    try:
        with core.blobs.open_blob(blob.key) as source:
            while piece := source.read(MIB):
                hasher.update(piece)
                spend(len(piece))
    except FileNotFoundError:
        return False
    except OSError as error:
        # A disk that cannot read them does not have them; a store elsewhere may well.
        if core.blobs.is_local:
            return False
        raise StoreUnavailable from error
    return blob.digest.text == f"{blob.digest.algorithm}:{hasher.hexdigest()}"


def check_strays(inspection: Inspection) -> Iterator[Finding]:
    """Look for bytes that no row accounts for, older than an upload may be idle. A repair puts
    them into quarantine.
    """
    core = inspection.core
    now = core.clock()
    inspection.watcher.begin("files", 0, "files")
    for key, state in core.blobs.list_keys(now - core.limits.upload_idle):
        inspection.advance("files")
        with core.database.read() as tx:
            is_known = garbage.is_known_key(tx, key)
        if not is_known:
            yield from _stray(inspection, key, state)


def _stray(inspection: Inspection, key: str, state: bytes) -> Iterator[Finding]:
    core = inspection.core
    with core.database.write() if inspection.repairs else core.database.read() as tx:
        # Whoever holds bytes may just be bringing some in, as old as they are, before their rows.
        if garbage.is_known_key(tx, key) or garbage.is_held(tx, core.clock()):
            return
        if inspection.repairs:
            insert_garbage(tx, [Garbage(key, state=state)], core.clock())
    yield Finding(
        "orphan",
        key,
        "no row accounts for these bytes",
        done="in quarantine" if inspection.repairs else "",
        is_mended=inspection.repairs,
    )
