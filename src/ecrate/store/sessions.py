"""Rows of the console's sessions, and of tries to begin one."""

from __future__ import annotations

from ecrate.store.database import Transaction


def insert_session(
    tx: Transaction, session_id: str, key_id: str, region: str, *, expires_at: float, now: float
) -> None:
    """Write a session, and delete those that are over."""
    tx.run("DELETE FROM console_sessions WHERE expires_at <= ?", now)
    tx.run(
        "INSERT INTO console_sessions (id, access_key_id, region, expires_at) VALUES (?, ?, ?, ?)",
        session_id,
        key_id,
        region,
        expires_at,
    )


def find_session(tx: Transaction, session_id: str, now: float) -> tuple[str, str] | None:
    """Give access key and region of a session that is not over."""
    row = tx.one(
        "SELECT access_key_id, region FROM console_sessions WHERE id = ? AND expires_at > ?",
        session_id,
        now,
    )
    return None if row is None else (row[0], row[1])


def delete_session(tx: Transaction, session_id: str) -> None:
    tx.run("DELETE FROM console_sessions WHERE id = ?", session_id)


def count_attempt(tx: Transaction, address: str, *, until: float, now: float) -> tuple[int, float]:
    """Count a try and give how many there were, and until when they count."""
    tx.run("DELETE FROM console_attempts WHERE until <= ?", now)
    row = tx.one(
        "INSERT INTO console_attempts (address, attempts, until) VALUES (?, 1, ?) "
        "ON CONFLICT (address) DO UPDATE SET attempts = console_attempts.attempts + 1 "
        "RETURNING attempts, until",
        address,
        until,
    )
    return (1, until) if row is None else (int(row[0]), float(row[1]))


def forget_attempt(tx: Transaction, address: str) -> None:
    """Take back a try that did not fail."""
    tx.run("UPDATE console_attempts SET attempts = attempts - 1 WHERE address = ?", address)
