"""The advisories that images are matched with: importing them, and looking them up.

An import writes beside what is in force and puts all of it in force in one step, so a scan sees
the one or the other. Whatever breaks it off, it goes on when the same is imported again; importing
what is there already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from ecrate.domain.errors import ImportRefused
from ecrate.operations.core import Core
from ecrate.operations.leases import release_lease, take_lease
from ecrate.scanning.advisories import Advisory, AdvisoryError, Affected, parse_advisory
from ecrate.scanning.matching import Key
from ecrate.store import advisories as store

_LEASE: Final = "advisories"
_BATCH: Final = 500
_MOST_REFUSALS: Final = 100
_MOST_KEPT: Final = 50_000


@dataclass(slots=True)
class Imported:
    """What an import did; `refused` are documents that are none, as NAME: WHY."""

    documents: int = 0
    new: int = 0
    removed: int = 0
    number: int = 0
    refused: list[str] = field(default_factory=list)


def import_advisories(
    core: Core,
    source: str,
    documents: Iterable[tuple[str, bytes]],
    *,
    replaces: bool = False,
) -> Imported:
    """Take over documents (name, content) in OSV format; those that are newer than what is there
    count. With `replaces`, what is not among them holds no longer.

    `source` names them, the same each time. Raises `ImportRefused` where none is a document, or
    while another import is at work.
    """
    holder = core.new_id()
    if not take_lease(core, _LEASE, holder):
        raise ImportRefused("another import of advisories is at work")
    try:
        return _import(core, holder, source, documents, replaces=replaces)
    finally:
        release_lease(core, _LEASE, holder)


def _import(
    core: Core,
    holder: str,
    source: str,
    documents: Iterable[tuple[str, bytes]],
    *,
    replaces: bool,
) -> Imported:
    feed = _begin(core, source)
    imported, seen = Imported(number=feed.number), set[str]()
    for batch in _batches(documents, imported):
        if not take_lease(core, _LEASE, holder):
            raise ImportRefused("another import of advisories has taken over")
        seen.update(one.id for one in batch)
        with core.database.write() as tx:
            times = store.find_times(tx, [one.id for one in batch])
            new = [one for one in batch if one.modified > times.get(one.id, float("-inf"))]
            store.insert_advisories(tx, new, feed.number + 1)
    if not seen:
        why = f": {imported.refused[0]}" if imported.refused else ""
        raise ImportRefused(f"there is no advisory in OSV format in {source}{why}")
    _put_in_force(core, feed, imported, seen if replaces else None)
    while True:
        with core.database.write() as tx:
            if store.delete_old(tx, imported.number, _BATCH) < _BATCH:
                return imported


def _begin(core: Core, source: str) -> store.Feed:
    """Give the feed with this import on its way; another that never ended is given up."""
    with core.database.read() as tx:
        feed = store.find_feed(tx)
    if feed.source != source:
        while True:
            with core.database.write() as tx:
                if store.discard_new(tx, feed.number, _BATCH) < _BATCH:
                    break
    feed = replace(feed, source=source)
    with core.database.write() as tx:
        store.put_feed(tx, feed)
    return feed


def _batches(
    documents: Iterable[tuple[str, bytes]], imported: Imported
) -> Iterator[list[store.NewAdvisory]]:
    """Give what is an advisory, each id once a batch: the newest one."""
    batch: dict[str, store.NewAdvisory] = {}
    for name, content in documents:
        imported.documents += 1
        try:
            advisory, affected = parse_advisory(content)
        except AdvisoryError as error:
            if len(imported.refused) < _MOST_REFUSALS:
                imported.refused.append(f"{name}: {error}")
            continue
        there = batch.get(advisory.id)
        if there is None or there.modified <= advisory.modified:
            batch[advisory.id] = _row(advisory, affected)
        if len(batch) >= _BATCH:
            yield [*batch.values()]
            batch = {}
    if batch:
        yield [*batch.values()]


def _row(advisory: Advisory, affected: Sequence[Affected]) -> store.NewAdvisory:
    # What was withdrawn stays known, and is about nothing any more.
    packages = () if advisory.withdrawn else affected
    return store.NewAdvisory(
        advisory.id,
        advisory.modified,
        msgspec.json.encode(advisory).decode(),
        [(one.ecosystem, one.name, msgspec.json.encode(one).decode()) for one in packages],
    )


def _put_in_force(core: Core, feed: store.Feed, imported: Imported, only: set[str] | None) -> None:
    following = feed.number + 1
    with core.database.write() as tx:
        gone: list[str] = []
        if only is not None:
            gone = [id_ for id_ in store.list_ids(tx) if id_ not in only]
            store.end_all(tx, gone, following)
        imported.new = store.count_new(tx, feed.number)
        imported.removed = len(gone)
        if imported.new or gone:
            imported.number = following
        # Where nothing is new, they are as recent as now all the same.
        store.put_feed(tx, store.Feed(imported.number, core.clock(), ""))


@dataclass(frozen=True, slots=True)
class FeedSummary:
    """What is in force: how many advisories, and about how many packages of each ecosystem."""

    number: int
    updated_at: float | None
    advisories: int
    packages: dict[str, int]


def describe_advisories(core: Core) -> FeedSummary:
    with core.database.read() as tx:
        feed = store.find_feed(tx)
        count, packages = store.count_advisories(tx, feed.number)
    return FeedSummary(feed.number, feed.updated_at, count, packages)


class Advisories:
    """The advisories in force under one number, as matching asks for them; a bounded part of them
    is kept.
    """

    def __init__(self, core: Core, feed: store.Feed) -> None:
        self.feed = feed
        self._core = core
        self._kept: dict[Key, tuple[tuple[str, Affected], ...]] = {}

    def about(self, key: Key) -> tuple[tuple[str, Affected], ...]:
        """Give (id, what is affected) of all that is known about a package."""
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            with self._core.database.look() as tx:
                rows = store.list_affected(tx, self.feed.number, *key)
            found = self._kept[key] = tuple(
                (id_, msgspec.json.decode(text, type=Affected)) for id_, text in rows
            )
        return found


def read_advisories(texts: dict[str, str]) -> dict[str, Advisory]:
    return {id_: msgspec.json.decode(text, type=Advisory) for id_, text in texts.items()}
