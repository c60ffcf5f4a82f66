"""Two deeds on one PostgreSQL database, the second one begun between the first one's statements.

What the first does is stopped before each of its statements and commits in turn; there the second
runs to its end, or until it waits for a lock that the first one holds. So every order is seen in
which the two can come, and what they come to has to be what one after the other comes to.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg
from typing_extensions import override

from ecrate.operations.core import Limits
from ecrate.store.database import Row, Transaction
from tests.support.audit import audit_rows
from tests.support.core import START, Bench, Deed, InterruptedDatabase, nothing
from tests.support.postgres import wipe

_BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
Outcomes = tuple[object, object]
S = TypeVar("S")
BOTH: Outcomes = ("ok", "ok")
# Of the orders in which some deeds can come, each so-manieth is tried.
STRIDE = int(os.environ.get("TEST_STRIDE", "4"))
SMALL_LIMITS = Limits(
    repositories_per_registry=3,
    images_per_repository=2,
    tags_per_image=2,
    templates_per_registry=1,
    pull_time_exclusions=1,
)


class SteppedDatabase(InterruptedDatabase):
    """Does `before_step` before each statement of a write, and before it is committed."""

    before_step: Deed = staticmethod(nothing)

    @override
    def write(self) -> Any:
        return self._stepped(self.inner.write())

    @contextlib.contextmanager
    def _stepped(
        self, block: contextlib.AbstractContextManager[Transaction]
    ) -> Iterator[Transaction]:
        with block as transaction:
            yield _SteppedTransaction(transaction, self)
            self.before_step()


@dataclass(frozen=True)
class _SteppedTransaction:
    inner: Transaction
    database: SteppedDatabase

    def one(self, sql: str, *values: object) -> Row | None:
        self.database.before_step()
        return self.inner.one(sql, *values)

    def all(self, sql: str, *values: object) -> list[Row]:
        self.database.before_step()
        return self.inner.all(sql, *values)

    def run(self, sql: str, *values: object) -> int:
        self.database.before_step()
        return self.inner.run(sql, *values)

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        self.database.before_step()
        self.inner.many(sql, rows)


@dataclass
class Stage:
    """Two nodes on one database and one folder, and what their deeds are about, set up anew for
    each order.
    """

    first: Bench
    second: Bench
    watch: psycopg.Connection

    def clear(self) -> None:
        """Take all rows and bytes away, and begin anew."""
        self.first.clock.now = START
        wipe(self.watch)
        for key in self.first.files():
            self.first.blobs.delete(key)


Problems = Callable[[Bench, S, Outcomes], Iterable[str]]


@dataclass(frozen=True)
class Scenario(Generic[S]):
    """Two deeds, begun on what `arrange` gives, and the pairs of outcomes that are good: `ok`, a
    bool that was given back, or an error's name. `problems` looks at what is left, knowing what
    the first deed came to and the second. Where both are alike, either may be the one that is
    stopped.
    """

    arrange: Callable[[Bench], S]
    first: Callable[[Bench, S], object]
    second: Callable[[Bench, S], object]
    good: AbstractSet[Outcomes]
    problems: Problems[S] = lambda *_: ()
    are_alike: bool = False


def explore(stage: Stage, scenario: Scenario[S], stride: int = 1) -> Iterator[str]:
    """Give a line for each order in which the deeds come to something that they may not; of the
    orders, take only each `stride`th.
    """
    for turned in (False,) if scenario.are_alike else (False, True):
        for step in itertools.count(0, stride):
            stage.clear()
            about = scenario.arrange(stage.first)
            outcomes = _interleave(stage, scenario, about, step, turned=turned)
            if outcomes is None:
                break
            where = f"{'second' if turned else 'first'} deed, step {step}, {outcomes}"
            if outcomes not in scenario.good:
                yield f"{where}: a bad outcome"
            with stage.second.reading() as tx:
                found = [*audit_rows(tx.all, stage.first.folder)]
            found += scenario.problems(stage.second, about, outcomes)
            yield from (f"{where}: {problem}" for problem in found)
        assert step > 1, "there was nothing to come between"


def _interleave(
    stage: Stage, scenario: Scenario[S], about: S, step: int, *, turned: bool
) -> Outcomes | None:
    """Do one deed, and before its step number `step` begin the other; None without such a step."""
    one, other = scenario.first, scenario.second
    if turned:
        one, other = other, one
    database = stage.first.database
    assert isinstance(database, SteppedDatabase)
    begun: list[Future[object]] = []
    steps = itertools.count()

    with ThreadPoolExecutor(1) as threads:

        def begin_other() -> None:
            if next(steps) == step:
                begun.append(threads.submit(_attempt, lambda: other(stage.second, about)))
                while not begun[0].done() and stage.watch.execute(_BLOCKED).fetchone() == (0,):
                    time.sleep(0.001)

        database.before_step = begin_other
        result = _attempt(lambda: one(stage.first, about))
        database.before_step = nothing
    if not begun:
        return None
    return (begun[0].result(), result) if turned else (result, begun[0].result())


def _attempt(deed: Deed) -> object:
    try:
        result = deed()
    except Exception as error:  # noqa: BLE001 - whatever it was, it is an outcome
        return type(error).__name__
    return result if isinstance(result, bool) else "ok"


def one_fails(error: str) -> set[Outcomes]:
    return {("ok", error), (error, "ok")}


def if_first(look: Callable[[Bench, S], Iterable[str]]) -> Problems[S]:
    """Look where the first deed was done."""
    return lambda bench, scene, outcomes: look(bench, scene) if outcomes[0] in {"ok", True} else ()
