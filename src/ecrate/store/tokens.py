"""The row about the server's secret, which seals tokens and which access keys follow from."""

from __future__ import annotations

from ecrate.store.database import Transaction


def find_fingerprint(tx: Transaction) -> str | None:
    """Give what is known of the secret, None before the first start."""
    row = tx.one("SELECT fingerprint FROM secret")
    return None if row is None else str(row[0])


def put_fingerprint(tx: Transaction, fingerprint: str) -> None:
    """Note another secret in the place of any."""
    tx.run("DELETE FROM secret")
    tx.run("INSERT INTO secret (fingerprint) VALUES (?)", fingerprint)
