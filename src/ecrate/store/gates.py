"""Rows of pull gates."""

from __future__ import annotations

import json
from dataclasses import asdict

from ecrate.domain.gates import PullGate
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.trash import TRASH
from ecrate.store.database import Transaction


def put_gate(tx: Transaction, repository_id: int, gate: PullGate, now: float) -> None:
    conditions = asdict(gate)
    mode = conditions.pop("mode")
    tx.run(
        "INSERT INTO pull_gates (repository_id, mode, conditions, updated_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (repository_id) DO UPDATE SET mode = excluded.mode, "
        "conditions = excluded.conditions, updated_at = excluded.updated_at",
        repository_id,
        mode,
        json.dumps(conditions),
        now,
    )
    tx.run("UPDATE repositories SET has_gate = 1 WHERE id = ?", repository_id)


def find_gate(tx: Transaction, repository_id: int) -> PullGate | None:
    row = tx.one("SELECT mode, conditions FROM pull_gates WHERE repository_id = ?", repository_id)
    return None if row is None else read_gate(row[0], row[1])


def delete_gate(tx: Transaction, repository_id: int) -> bool:
    """Tell whether there was one."""
    tx.run("UPDATE repositories SET has_gate = 0 WHERE id = ?", repository_id)
    return bool(tx.run("DELETE FROM pull_gates WHERE repository_id = ?", repository_id))


def list_gates(tx: Transaction) -> list[tuple[RepositoryRef, PullGate]]:
    """Give the gates of all registries, in order."""
    rows = tx.all(
        "SELECT r.registry_id, r.region, r.name, g.mode, g.conditions FROM pull_gates g "
        "JOIN repositories r ON r.id = g.repository_id WHERE r.registry_id <> ? "
        "ORDER BY r.registry_id, r.region, r.name",
        TRASH.id,
    )
    return [
        (RepositoryRef(RegistryRef(row[0], row[1]), row[2]), read_gate(row[3], row[4]))
        for row in rows
    ]


def read_gate(mode: str, conditions: str) -> PullGate:
    """Read what a row has."""
    given = json.loads(conditions)
    return PullGate(
        mode=mode,
        trusted=tuple(given["trusted"]),
        highest_severity=given["highest_severity"],
        needs_scan=given["needs_scan"],
        exempt=tuple(given["exempt"]),
    )
