"""A database whose transactions are watched.

On SQLite a look of 9 us costs less than to watch it, so there only writes are, unless it is for
tracing, which has its price anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ecrate.domain.watching import Watch
from ecrate.store.database import Database, Transaction


class WatchedDatabase:
    """Tells the watch of each `write`, and of each `read` and `look` unless only writes count.

    Of what `gathering` commits it tells without the commit, which is not any one write's.
    """

    def __init__(self, inner: Database, watch: Watch, *, only_writes: bool) -> None:
        self._inner = inner
        self._watch = watch
        self.is_local = inner.is_local
        self.gathering = inner.gathering
        self.check_may_wait = inner.check_may_wait
        self.find_sequence = inner.find_sequence
        self.set_sequence = inner.set_sequence
        self.find_problems = inner.find_problems
        self.close = inner.close
        self.read = inner.read if only_writes else self._read
        self.look = inner.look if only_writes else self._look

    def _read(self) -> AbstractContextManager[Transaction]:
        return self._watched("read", self._inner.read())

    def _look(self) -> AbstractContextManager[Transaction]:
        return self._watched("read", self._inner.look())

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that is durable when the block ends: see `Database`."""
        return self._watched("write", self._inner.write())

    @contextmanager
    def _watched(
        self, what: str, opened: AbstractContextManager[Transaction]
    ) -> Iterator[Transaction]:
        with self._watch(what), opened as tx:
            yield tx
