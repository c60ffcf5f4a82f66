"""Leases: who does a piece of background work now, among all workers and nodes."""

from __future__ import annotations

from typing import Final

from ecrate.store.database import Transaction

# A lease that ends farther ahead than so many of its lengths was taken before the clock was set
# back; clocks of nodes that differ by less do no harm.
FARTHEST: Final = 2


def find_lease(tx: Transaction, name: str) -> tuple[str, float] | None:
    """Give holder and end of a lease that was ever taken."""
    row = tx.one("SELECT holder, expires_at FROM leases WHERE name = ?", name)
    return None if row is None else (row[0], row[1])


def take_lease(tx: Transaction, name: str, holder: str, now: float, seconds: float) -> bool:
    """Take or renew a lease on background work; tell whether `holder` has it."""
    return bool(
        tx.run(
            "INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, "
            "expires_at = excluded.expires_at "
            "WHERE leases.holder = excluded.holder OR leases.expires_at < ? "
            "OR leases.expires_at > ?",
            name,
            holder,
            now + seconds,
            now,
            now + FARTHEST * seconds,
        )
    )


def release_lease(tx: Transaction, name: str, holder: str) -> None:
    """Give up a lease, if it is still the holder's."""
    tx.run("DELETE FROM leases WHERE name = ? AND holder = ?", name, holder)


def delete_leases(tx: Transaction) -> None:
    """End all leases: whoever had one is known to be gone."""
    tx.run("DELETE FROM leases")
