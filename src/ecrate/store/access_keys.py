"""Access keys and whom they speak for."""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.errors import UnknownAccessKey
from ecrate.store.database import Transaction


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that may be used now. `principal` is the ARN it speaks for."""

    id: str
    secret: str
    registry_id: str
    principal: str


def find_access_key(tx: Transaction, key_id: str) -> AccessKey:
    """Raise `UnknownAccessKey` for a key that does not exist or is not active."""
    row = tx.one(
        "SELECT secret, registry_id, principal FROM access_keys WHERE id = ? AND is_active = 1",
        key_id,
    )
    if row is None:
        raise UnknownAccessKey
    return AccessKey(key_id, *row)


def insert_access_key(tx: Transaction, key: AccessKey, now: float) -> None:
    tx.run(
        "INSERT INTO access_keys (id, secret, registry_id, principal, created_at) "
        "VALUES (?, ?, ?, ?, ?)",
        key.id,
        key.secret,
        key.registry_id,
        key.principal,
        now,
    )


def has_access_keys(tx: Transaction) -> bool:
    return tx.one("SELECT 1 FROM access_keys LIMIT 1") is not None
