"""Rows against rows: references that point nowhere, and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from ecrate.domain.damage import Finding
from ecrate.operations.checks.inspection import Inspection
from ecrate.store import checks as store
from ecrate.store.checks import Count, Key, Relation

_PAGE: Final = 2000

# Takes a transaction, the key behind which to begin and how many; gives keys, and whether each is
# suspect.
Fetch = Callable[..., list[tuple[Key, bool]]]


def check_database(inspection: Inspection) -> Iterator[Finding]:
    """Let the engine look at its own files."""
    inspection.watcher.begin("database", 1, "files")
    for problem in inspection.core.database.find_problems():
        yield Finding("damaged-database", "database", f"{problem}; restore a backup")
    inspection.watcher.advance(1)


def check_references(inspection: Inspection) -> Iterator[Finding]:
    """Look for rows that name what is not there. A repair deletes them: what follows from
    manifests is written anew by `check_images`.
    """
    for relation in store.RELATIONS:
        _begin(inspection, f"references of {relation.table}", relation.table)
        for key in _suspects(inspection, partial(store.list_relation, relation=relation)):
            with inspection.core.database.read() as tx:
                is_broken = store.points_nowhere(tx, relation, key)
            if is_broken:
                yield _broken(inspection, relation, key)


def _broken(inspection: Inspection, relation: Relation, key: Key) -> Finding:
    if inspection.repairs:
        with inspection.core.database.write() as tx:
            store.delete_lost(tx, relation, key)
    columns = zip(relation.keys, key, strict=True)
    return Finding(
        "broken-reference",
        f"{relation.table}: {', '.join(f'{column} {value}' for column, value in columns)}",
        f"names a row of {relation.parent} that is not there",
        done="the row is deleted" if inspection.repairs else "",
        is_mended=inspection.repairs,
    )


def check_counts(inspection: Inspection) -> Iterator[Finding]:
    """Compare what is counted with what there is; a repair counts again."""
    for count in store.COUNTS:
        _begin(inspection, f"counts of {count.table}", count.table)
        for key in _suspects(inspection, partial(store.list_counts, count=count)):
            with inspection.core.database.read() as tx:
                found = store.find_count(tx, count, key)
            if found is not None and found[0] != found[1]:
                yield _miscounted(inspection, count, key, found)


def _miscounted(
    inspection: Inspection, count: Count, key: Key, found: tuple[int, int, str]
) -> Finding:
    if inspection.repairs:
        with inspection.core.database.write() as tx:
            store.recount(tx, count, key)
    counted, actual, label = found
    return Finding(
        "wrong-count",
        f"{count.table}: {label}",
        f"{count.column} is {counted}, and there are {actual}",
        done="counted again" if inspection.repairs else "",
        is_mended=inspection.repairs,
    )


def _begin(inspection: Inspection, step: str, table: str) -> None:
    with inspection.core.database.read() as tx:
        inspection.watcher.begin(step, store.count_rows(tx, table), "rows")


def _suspects(inspection: Inspection, fetch: Fetch) -> Iterator[Key]:
    after: Key = ()
    while True:
        with inspection.core.database.read() as tx:
            page = fetch(tx, after=after, limit=_PAGE)
        yield from (key for key, is_suspect in page if is_suspect)
        inspection.advance("rows", len(page))
        if len(page) < _PAGE:
            return
        after = page[-1][0]
