"""Who this database is."""

from __future__ import annotations

from ecrate.store.database import Transaction


def find_or_make_id(tx: Transaction, new_id: str) -> str:
    """Give the id of this database, which is `new_id` from now on if it had none."""
    row = tx.one("SELECT id FROM installation")
    if row is not None:
        return str(row[0])
    tx.run("INSERT INTO installation (id) VALUES (?)", new_id)
    return new_id


def find_id(tx: Transaction) -> str:
    """Give the id of this database, empty where it has none."""
    row = tx.one("SELECT id FROM installation")
    return "" if row is None else str(row[0])
