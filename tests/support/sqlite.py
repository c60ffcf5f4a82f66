"""SQLite databases with their schema and no rows, faster than migrations make them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from ecrate.store.sqlite import migrate


def lay_database(path: Path) -> None:
    """Do as `migrate` does; where there is no file yet, the migrations run once in a process."""
    if path.exists():
        migrate(path)
    else:
        path.write_bytes(_content())
        path.chmod(0o600)


@functools.cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ecrate.db")
        migrate(path)
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        return path.read_bytes()
