"""Rows of webhooks and of what could not be delivered to them."""

from __future__ import annotations

import json

from ecrate.domain.names import RegistryRef
from ecrate.domain.webhooks import DeadDelivery, Webhook
from ecrate.store.database import Row, Transaction

_COLUMNS = "id, registry_id, region, url, kinds, repositories, created_at"
_DEAD = "id, webhook_id, repository, attempts, failure, died_at, body"


def insert_webhook(tx: Transaction, webhook: Webhook) -> None:
    tx.run(
        f"INSERT INTO webhooks ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        webhook.id,
        webhook.registry.id,
        webhook.registry.region,
        webhook.url,
        json.dumps(webhook.kinds),
        json.dumps(webhook.repositories),
        webhook.created_at,
    )


def delete_webhook(tx: Transaction, webhook_id: str) -> bool:
    """Tell whether there was one."""
    return bool(tx.run("DELETE FROM webhooks WHERE id = ?", webhook_id))


def find_webhook(tx: Transaction, webhook_id: str) -> Webhook | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM webhooks WHERE id = ?", webhook_id)  # noqa: S608 - constants
    return None if row is None else _webhook(row)


def list_webhooks(tx: Transaction) -> list[Webhook]:
    """Give the webhooks of all registries, the oldest first."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM webhooks ORDER BY created_at, id")  # noqa: S608 - constants
    return [_webhook(row) for row in rows]


def _webhook(row: Row) -> Webhook:
    return Webhook(
        id=row[0],
        registry=RegistryRef(row[1], row[2]),
        url=row[3],
        kinds=tuple(json.loads(row[4])),
        repositories=tuple(json.loads(row[5])),
        created_at=row[6],
    )


def insert_dead_delivery(
    tx: Transaction,
    webhook_id: str,
    repository: str,
    body: str,
    *,
    attempts: int,
    failure: str,
    now: float,
) -> None:
    tx.run(
        "INSERT INTO dead_deliveries (webhook_id, repository, attempts, failure, died_at, body) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        webhook_id,
        repository,
        attempts,
        failure,
        now,
        body,
    )


def list_dead_deliveries(
    tx: Transaction, webhook_id: str, after: int, limit: int
) -> list[DeadDelivery]:
    """Give up to `limit` of a webhook, those behind the id `after`, in the order they died."""
    rows = tx.all(
        f"SELECT {_DEAD} FROM dead_deliveries WHERE webhook_id = ? AND id > ? "  # noqa: S608 - constants
        "ORDER BY id LIMIT ?",
        webhook_id,
        after,
        limit,
    )
    return [DeadDelivery(*row) for row in rows]


def count_dead_deliveries(tx: Transaction, webhook_id: str) -> int:
    row = tx.one("SELECT COUNT(*) FROM dead_deliveries WHERE webhook_id = ?", webhook_id)
    return 0 if row is None else int(row[0])


def delete_dead_delivery(tx: Transaction, delivery_id: int) -> bool:
    """Tell whether there was one."""
    return bool(tx.run("DELETE FROM dead_deliveries WHERE id = ?", delivery_id))


def delete_old_deliveries(tx: Transaction, before: float) -> int:
    """Forget what died before `before`; give how many."""
    return tx.run("DELETE FROM dead_deliveries WHERE died_at < ?", before)
