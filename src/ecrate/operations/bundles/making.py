"""Making a bundle, beside a running server.

The rows are read in one snapshot, compared with the inventory of the bundle that it goes on from,
and the bytes that are new are copied, as for a backup. Broken off, it goes on with the bytes that
it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pybase64

from ecrate import __version__
from ecrate.domain.errors import BundleRefused
from ecrate.domain.names import Digest, RegistryRef
from ecrate.operations.backups.folder import PARTIAL
from ecrate.operations.backups.making import Copying
from ecrate.operations.backups.pool import Pool
from ecrate.operations.backups.rows import Rows, write_lines
from ecrate.operations.bundles.folder import (
    CONTENT_TYPE,
    CRITICAL,
    FORMAT,
    SECTIONS,
    About,
    Bundle,
    BundleFolder,
)
from ecrate.operations.core import Core
from ecrate.operations.holds import Hold, holding
from ecrate.operations.intake import Named
from ecrate.operations.pace import Pace
from ecrate.operations.parallel import each
from ecrate.operations.progress import Watcher
from ecrate.signers.port import Signer
from ecrate.store import bundles as store
from ecrate.store import dump, installation
from ecrate.store.database import Row, Transaction

_JOBS: Final = 8
_MOST_DAMAGED: Final = 10_000
# How many of its first columns name a row of a section.
KEYS: Final = {
    "repositories": 1,
    "policies": 2,
    "images": 3,
    "tags": 2,
    "blobs": 1,
    "advisories": 1,
}
_LISTS: Final[dict[str, Callable[[Transaction, RegistryRef], Iterator[Row]]]] = {
    "repositories": store.list_repositories,
    "policies": store.list_policies,
    "images": store.list_images,
    "tags": store.list_tags,
    "blobs": store.list_blobs,
}


@dataclass(slots=True)
class Making:
    """A bundle under way, of one registry. `since` is the name or id of the bundle whose state the
    other side has. `advisories` gives (id, document) by id, where the server has any.
    """

    core: Core
    folder: BundleFolder
    registry: RegistryRef
    signer: Signer
    watcher: Watcher
    pace: Pace
    since: str | None = None
    advisories: Callable[[Transaction], Iterable[Row]] | None = None
    copied: int = 0
    damaged: list[str] = field(default_factory=list)


def make_bundle(making: Making) -> Bundle:
    """Make a bundle; raises `BackupUnusable`, `BundleRefused`, `HoldLost`, `SignerError`."""
    # Not before: `cryptography` comes with it, which takes its time.
    from ecrate.signers import jws  # noqa: PLC0415

    core, folder = making.core, making.folder
    with folder.locked(create=True), holding(core) as hold:
        before = folder.find(making.since) if making.since is not None else None
        now = core.clock()
        path = folder.begin(now)
        pool = Pool(path / "blobs")
        pool.prepare()
        with core.database.read() as tx:
            source = _source(tx, making.registry)
            if before is not None and before.about.source != source:
                raise BundleRefused(f"the bundle '{before.path.name}' is of another registry")
            inventory = tuple(_write_inventory(making, tx, hold, path))
            draft = Bundle(path, _draft(inventory=inventory))
            changes = tuple(_write_changes(making, tx, hold, (before, draft)))
        size = _copy_blobs(making, hold, pool, Bundle(path, _draft(changes=changes)))
        about = About(
            format=FORMAT,
            id=core.new_id(),
            name=path.name.removesuffix(PARTIAL),
            ecrate=__version__,
            source=source,
            created_at=now,
            since=None if before is None else before.about.id,
            inventory=inventory,
            changes=changes,
            size=size,
            damaged=tuple(sorted(making.damaged[:_MOST_DAMAGED])),
        )
        headers = {"cty": CONTENT_TYPE, "crit": [CRITICAL], CRITICAL: FORMAT}
        payload = msgspec.json.encode(about)
        envelope = jws.sign(making.signer, payload, headers, f"ecrate/{__version__}")
        return Bundle(folder.complete(path, pool, envelope), about, making.signer.chain.name)


def _source(tx: Transaction, registry: RegistryRef) -> str:
    return f"{installation.find_id(tx)}/{registry.id}/{registry.region}"


def _draft(*, inventory: tuple[Rows, ...] = (), changes: tuple[Rows, ...] = ()) -> About:
    """Give as much of a bundle's description as reading its rows takes."""
    return About(FORMAT, "", "", "", "", 0.0, None, inventory, changes, 0)


def _write_inventory(making: Making, tx: Transaction, hold: Hold, path: Path) -> Iterator[Rows]:
    making.watcher.begin("inventory", 0, "rows")
    for section in SECTIONS:
        if section == "advisories":
            rows: Iterable[Row] = making.advisories(tx) if making.advisories else ()
        else:
            rows = _LISTS[section](tx, making.registry)
        file = path / "inventory" / f"{section}.jsonl.gz"
        yield write_lines(file, section, _told(making, hold, rows))


def _told(making: Making, hold: Hold, rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        making.watcher.advance(1)
        hold.renew()


def _write_changes(
    making: Making, tx: Transaction, hold: Hold, bundles: tuple[Bundle | None, Bundle]
) -> Iterator[Rows]:
    """Write what is other than in the bundle before."""
    before, now = bundles
    making.watcher.begin("changes", 0, "rows")
    for section in SECTIONS:
        old = before.inventory(section) if before is not None else iter(())
        rows = changes(old, now.inventory(section), KEYS[section])
        if section == "images":
            rows = _with_manifests(tx, making.registry, rows)
        file = now.path / "changes" / f"{section}.jsonl.gz"
        yield write_lines(file, section, _told(making, hold, map(tuple, rows)))


def changes(
    old: Iterator[list[object]], new: Iterator[list[object]], keys: int
) -> Iterator[list[object]]:
    """Compare two lists in the order of their keys; give the rows that are new or other than
    before behind a +, and those that are gone behind a -.
    """
    before, after = next(old, None), next(new, None)
    while before is not None or after is not None:
        if after is None or (before is not None and _key(before, keys) < _key(after, keys)):
            assert before is not None  # noqa: S101 - one of them is not
            yield ["-", *before]
            before = next(old, None)
        elif before is None or _key(after, keys) < _key(before, keys):
            yield ["+", *after]
            after = next(new, None)
        else:
            if after != before:
                yield ["+", *after]
            before, after = next(old, None), next(new, None)


def _key(row: list[object], keys: int) -> tuple[int | str, ...]:
    return tuple(one if isinstance(one, int) else str(one) for one in row[:keys])


def _with_manifests(
    tx: Transaction, registry: RegistryRef, rows: Iterator[list[object]]
) -> Iterator[list[object]]:
    """Give the images that are new with their manifests, in base64."""
    for row in rows:
        sign, _, name, digest, *_ = row
        if sign == "+":
            content = store.find_manifest(tx, registry, str(name), str(digest))
            row.append(pybase64.b64encode(content or b"").decode())
        yield row


def _copy_blobs(making: Making, hold: Hold, pool: Pool, bundle: Bundle) -> int:
    """Bring the bytes that are new into the bundle, and give how many they are."""
    size = sum(int(str(row[2])) for row in bundle.changes("blobs") if row[0] == "+")
    making.watcher.begin("bytes", size, "bytes")

    def spend(count: int) -> None:
        making.watcher.advance(count)
        making.pace.spend(count)
        hold.renew()

    def lacking() -> Iterator[Named]:
        for digest, length in _new_blobs(bundle):
            if pool.has(Digest(digest), length):
                making.watcher.advance(length)
                hold.renew()
                continue
            with making.core.database.look() as tx:
                key = dump.find_key(tx, digest)
            if key is None:
                making.damaged.append(digest)
            else:
                yield Named(digest, key, length)

    copying = Copying(making.core, pool, spend, copies=False)
    jobs = 1 if making.core.blobs.is_local else _JOBS
    for digest, is_there in each(copying.bring, lacking(), jobs=jobs):
        making.copied += is_there
        if not is_there:
            making.damaged.append(digest)
    # What one that was broken off had, and this has no use for.
    pool.prune([(digest for digest, _ in _new_blobs(bundle))])
    return size


def _new_blobs(bundle: Bundle) -> Iterator[tuple[str, int]]:
    for sign, digest, size in bundle.changes("blobs"):
        if sign == "+":
            yield str(digest), int(str(size))
