"""Short writes on the event loop: durable together, failing alone, never holding up the loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecrate.store.database import Transaction
from ecrate.store.sqlite import SqliteDatabase, migrate
from ecrate.web.threads import Threads
from ecrate.web.writes import Writes

Block = Callable[[Transaction], object]


class Desk:
    """A database with one row that counts, and the writes of a worker on it."""

    def __init__(self, path: Path) -> None:
        migrate(path)
        self.database = SqliteDatabase(path)
        self.is_alone = False
        self.threads = Threads(
            writes=Writes(self.database.gathering, is_alone=lambda: self.is_alone)
        )
        self.statements: list[tuple[str, str]] = []
        self.write(
            lambda tx: tx.run("INSERT INTO leases (name, holder, expires_at) VALUES ('a', 'me', 0)")
        )
        self.database.begin_write().set_trace_callback(self._note)
        self.database.end_write(None)
        self.statements.clear()

    def _note(self, statement: str) -> None:
        self.statements.append((statement, threading.current_thread().name))

    def write(self, block: Block) -> float:
        with self.database.write() as tx:
            block(tx)
        return self.value()

    def value(self) -> float:
        with self.database.read() as tx:
            return float((tx.one("SELECT expires_at FROM leases") or (-1.0,))[0])

    def ask(self, *blocks: Block) -> list[float | BaseException]:
        """Write the blocks at once; give what each was answered."""

        async def gather() -> list[float | BaseException]:
            asked = [self.threads.write(self.write, block) for block in blocks]
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

        return asyncio.run(gather())

    def commits(self) -> list[str]:
        """Give the names of the threads that committed."""
        return [thread for statement, thread in self.statements if statement == "COMMIT"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Writes as a worker has them."""
    made = Desk(tmp_path / "ecrate.db")
    yield made
    made.threads.stop()
    made.database.close()


def add(number: float) -> Block:
    return lambda tx: tx.run("UPDATE leases SET expires_at = expires_at + ?", number)


def fail(tx: Transaction) -> None:
    add(1000)(tx)
    raise ValueError("of its own")


def orphan(tx: Transaction) -> None:
    """Write what the commit is going to refuse."""
    tx.run("PRAGMA defer_foreign_keys = ON")
    tx.run("INSERT INTO unlinked_blobs (blob_id) VALUES (77)")


def test_write_commits_once_for_all_of_a_round(desk: Desk) -> None:
    answers = desk.ask(add(1), add(2), add(4))

    assert answers == [0, 0, 0]  # what a block reads elsewhere is from before the commit
    assert desk.value() == 7
    assert desk.commits() == ["commits"]


def test_write_that_fails_leaves_the_others_of_its_round(desk: Desk) -> None:
    answers = desk.ask(add(1), fail, add(4))

    assert [type(answer) for answer in answers] == [float, ValueError, float]
    assert desk.value() == 5


def test_write_is_not_answered_where_the_commit_fails(desk: Desk) -> None:
    answers = desk.ask(add(1), orphan, add(4))

    assert [type(answer) for answer in answers] == [sqlite3.OperationalError] * 3
    assert desk.value() == 0
    assert desk.ask(add(2)) == [0]
    assert desk.value() == 2


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "beside-others"])
def test_write_commits_in_a_thread_where_there_are_others(desk: Desk, *, is_alone: bool) -> None:
    desk.is_alone = is_alone

    desk.ask(add(1))

    assert desk.commits() == ["MainThread" if is_alone else "commits"]
    assert desk.value() == 1


def test_write_of_more_than_a_round_is_done(desk: Desk) -> None:
    desk.ask(*[add(1)] * 100)

    assert desk.value() == 100
    assert len(desk.commits()) == 4


def test_write_waits_for_a_writing_thread_without_the_loop(desk: Desk) -> None:
    desk.database.begin_write()

    async def ask() -> float:
        asked = asyncio.ensure_future(desk.threads.write(desk.write, add(1)))
        await asyncio.sleep(0.01)
        is_early = asked.done()
        await asyncio.to_thread(desk.database.end_write, None)
        await asked
        return is_early

    assert not asyncio.run(ask())
    assert desk.value() == 1


def test_write_whose_asker_is_gone_is_done_all_the_same(desk: Desk) -> None:
    async def ask() -> None:
        asked = [asyncio.ensure_future(desk.threads.write(desk.write, add(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        await asked[1]

    asyncio.run(ask())

    assert desk.value() == 3


def test_look_does_what_it_has_to_write_in_a_thread(desk: Desk) -> None:
    async def ask() -> list[float]:
        return [
            await desk.threads.look(desk.value),
            await desk.threads.look(desk.write, add(1)),
        ]

    assert asyncio.run(ask()) == [0, 1]
    assert desk.commits() == ["operation_0"]
