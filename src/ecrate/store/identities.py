"""Rows of principals, their access keys and their policies."""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.errors import PrincipalAlreadyExists, PrincipalNotFound, UnknownAccessKey
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import PrincipalRecord
from ecrate.store.database import ConstraintError, Row, Transaction

_COLUMNS = "p.id, p.registry_id, p.kind, p.name, p.arn, p.trust_policy"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that may be used now, and the principal it speaks for."""

    id: str
    principal: PrincipalRecord


def find_access_key(tx: Transaction, key_id: str) -> AccessKey:
    """Raise `UnknownAccessKey` for a key that does not exist or is not active."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM access_keys k JOIN principals p ON p.id = k.principal_id "  # noqa: S608 - a constant
        "WHERE k.id = ? AND k.is_active = 1",
        key_id,
    )
    if row is None:
        raise UnknownAccessKey
    return AccessKey(key_id, PrincipalRecord(*row))


def insert_access_key(tx: Transaction, key_id: str, principal_id: int, now: float) -> None:
    tx.run(
        "INSERT INTO access_keys (id, principal_id, created_at) VALUES (?, ?, ?)",
        key_id,
        principal_id,
        now,
    )


def list_access_keys(tx: Transaction, principal_id: int) -> list[tuple[str, bool, float]]:
    """Give id, whether active, and time of creation of a principal's keys."""
    rows = tx.all(
        "SELECT id, is_active, created_at FROM access_keys WHERE principal_id = ? "
        "ORDER BY created_at",
        principal_id,
    )
    return [(row[0], bool(row[1]), row[2]) for row in rows]


def set_access_key(tx: Transaction, key_id: str, *, is_active: bool) -> bool:
    """Switch a key on or off; tell whether there is one."""
    return bool(tx.run("UPDATE access_keys SET is_active = ? WHERE id = ?", int(is_active), key_id))


def delete_access_key(tx: Transaction, key_id: str) -> bool:
    """Delete a key; tell whether there was one."""
    return bool(tx.run("DELETE FROM access_keys WHERE id = ?", key_id))


def has_principals(tx: Transaction) -> bool:
    return tx.one("SELECT 1 FROM principals LIMIT 1") is not None


def insert_principal(
    tx: Transaction,
    registry_id: str,
    kind: str,
    name: str,
    *,
    arn: str,
    trust_policy: str | None,
    now: float,
) -> PrincipalRecord:
    """Raise `PrincipalAlreadyExists` when the account has one of this kind and name."""
    try:
        row = tx.one(
            "INSERT INTO principals (registry_id, kind, name, arn, trust_policy, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            registry_id,
            kind,
            name,
            arn,
            trust_policy,
            now,
        )
    except ConstraintError:
        raise PrincipalAlreadyExists(arn) from None
    return PrincipalRecord(int(row[0]) if row else 0, registry_id, kind, name, arn, trust_policy)


def find_principal(tx: Transaction, arn: str) -> PrincipalRecord:
    """Give the principal, locked in a write; raises `PrincipalNotFound`."""
    row = tx.one(f"SELECT {_COLUMNS} FROM principals p WHERE p.arn = ? FOR UPDATE", arn)  # noqa: S608 - a constant
    if row is None:
        raise PrincipalNotFound(arn)
    return PrincipalRecord(*row)


def find_principal_by_id(tx: Transaction, principal_id: int) -> PrincipalRecord | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM principals p WHERE p.id = ?", principal_id)  # noqa: S608 - a constant
    return None if row is None else PrincipalRecord(*row)


def list_principals(tx: Transaction, registry_id: str | None) -> list[PrincipalRecord]:
    """Give the principals of an account, of all for None, in order of ARN."""
    rows: list[Row] = tx.all(
        f"SELECT {_COLUMNS} FROM principals p WHERE ? = '' OR p.registry_id = ? ORDER BY p.arn",  # noqa: S608 - a constant
        registry_id or "",
        registry_id or "",
    )
    return [PrincipalRecord(*row) for row in rows]


def delete_principal(tx: Transaction, principal_id: int) -> None:
    """Take a principal away with its keys and inline policies."""
    tx.run("DELETE FROM principals WHERE id = ?", principal_id)


def list_policies(tx: Transaction, principal_id: int) -> list[str]:
    """Give the documents that apply to a principal, inline and attached."""
    rows = tx.all(
        "SELECT document FROM inline_policies WHERE principal_id = ? UNION ALL "
        "SELECT m.document FROM attached_policies a JOIN managed_policies m "
        "ON m.arn = a.policy_arn WHERE a.principal_id = ?",
        principal_id,
        principal_id,
    )
    return [row[0] for row in rows]


def list_policy_names(tx: Transaction, principal_id: int) -> tuple[list[str], list[str]]:
    """Give names of inline policies and ARNs of attached ones."""
    inline = tx.all(
        "SELECT name FROM inline_policies WHERE principal_id = ? ORDER BY name", principal_id
    )
    attached = tx.all(
        "SELECT policy_arn FROM attached_policies WHERE principal_id = ? ORDER BY policy_arn",
        principal_id,
    )
    return [row[0] for row in inline], [row[0] for row in attached]


def put_inline_policy(tx: Transaction, principal_id: int, name: str, document: str) -> None:
    tx.run(
        "INSERT INTO inline_policies (principal_id, name, document) VALUES (?, ?, ?) "
        "ON CONFLICT (principal_id, name) DO UPDATE SET document = excluded.document",
        principal_id,
        name,
        document,
    )


def delete_inline_policy(tx: Transaction, principal_id: int, name: str) -> bool:
    return bool(
        tx.run(
            "DELETE FROM inline_policies WHERE principal_id = ? AND name = ?", principal_id, name
        )
    )


def put_managed_policy(tx: Transaction, arn: str, document: str) -> None:
    tx.run(
        "INSERT INTO managed_policies (arn, document) VALUES (?, ?) "
        "ON CONFLICT (arn) DO UPDATE SET document = excluded.document",
        arn,
        document,
    )


def delete_managed_policy(tx: Transaction, arn: str) -> bool:
    """Delete a policy that is attached nowhere; tell whether that was done."""
    return bool(
        tx.run(
            "DELETE FROM managed_policies WHERE arn = ? "
            "AND NOT EXISTS (SELECT 1 FROM attached_policies WHERE policy_arn = ?)",
            arn,
            arn,
        )
    )


def attach_policy(tx: Transaction, principal_id: int, arn: str) -> None:
    """Raise `PrincipalNotFound` where there is no policy of this ARN."""
    try:
        tx.run(
            "INSERT INTO attached_policies (principal_id, policy_arn) VALUES (?, ?) "
            "ON CONFLICT DO NOTHING",
            principal_id,
            arn,
        )
    except ConstraintError:
        raise PrincipalNotFound(arn) from None


def detach_policy(tx: Transaction, principal_id: int, arn: str) -> bool:
    return bool(
        tx.run(
            "DELETE FROM attached_policies WHERE principal_id = ? AND policy_arn = ?",
            principal_id,
            arn,
        )
    )


def find_repository_policy(tx: Transaction, repository_id: int) -> str | None:
    row = tx.one("SELECT document FROM repository_policies WHERE repository_id = ?", repository_id)
    return None if row is None else str(row[0])


def put_repository_policy(tx: Transaction, repository_id: int, document: str) -> None:
    tx.run(
        "INSERT INTO repository_policies (repository_id, document) VALUES (?, ?) "
        "ON CONFLICT (repository_id) DO UPDATE SET document = excluded.document",
        repository_id,
        document,
    )


def delete_repository_policy(tx: Transaction, repository_id: int) -> None:
    tx.run("DELETE FROM repository_policies WHERE repository_id = ?", repository_id)


def find_registry_policy(tx: Transaction, registry: RegistryRef) -> str | None:
    row = tx.one(
        "SELECT document FROM registry_policies WHERE registry_id = ? AND region = ?",
        registry.id,
        registry.region,
    )
    return None if row is None else str(row[0])


def put_registry_policy(tx: Transaction, registry: RegistryRef, document: str) -> None:
    tx.run(
        "INSERT INTO registry_policies (registry_id, region, document) VALUES (?, ?, ?) "
        "ON CONFLICT (registry_id, region) DO UPDATE SET document = excluded.document",
        registry.id,
        registry.region,
        document,
    )


def delete_registry_policy(tx: Transaction, registry: RegistryRef) -> str | None:
    """Give the document that was there."""
    row = tx.one(
        "DELETE FROM registry_policies WHERE registry_id = ? AND region = ? RETURNING document",
        registry.id,
        registry.region,
    )
    return None if row is None else str(row[0])
