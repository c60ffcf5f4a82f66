"""Rows of repository creation templates."""

from __future__ import annotations

import json

from ecrate.domain.errors import TemplateAlreadyExists
from ecrate.domain.names import RegistryRef
from ecrate.domain.repositories import Encryption, TagMutability
from ecrate.domain.templates import Template
from ecrate.store.database import ConstraintError, Row, Transaction

_COLUMNS = (
    "prefix, applied_for, created_at, updated_at, description, tag_mutability, "
    "tag_mutability_filters, encryption_type, kms_key, resource_tags, repository_policy, "
    "lifecycle_policy, custom_role_arn"
)


def insert_template(tx: Transaction, registry: RegistryRef, template: Template) -> None:
    """Raise `TemplateAlreadyExists` when the registry has one of this prefix."""
    try:
        _write(tx, registry, template)
    except ConstraintError:
        raise TemplateAlreadyExists(template.prefix, registry.id) from None


def replace_template(tx: Transaction, registry: RegistryRef, template: Template) -> None:
    """Write the template over the one of its prefix."""
    delete_template(tx, registry, template.prefix)
    _write(tx, registry, template)


def _write(tx: Transaction, registry: RegistryRef, template: Template) -> None:
    tx.run(
        f"INSERT INTO templates (registry_id, region, {_COLUMNS}) "  # noqa: S608 - a constant
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        registry.id,
        registry.region,
        *_values(template),
    )


def find_template(tx: Transaction, registry: RegistryRef, prefix: str) -> Template | None:
    row = tx.one(
        f"SELECT {_COLUMNS} FROM templates WHERE registry_id = ? AND region = ? AND prefix = ?",  # noqa: S608 - a constant
        registry.id,
        registry.region,
        prefix,
    )
    return None if row is None else _template(row)


def list_templates(
    tx: Transaction, registry: RegistryRef, after: str, limit: int
) -> list[Template]:
    """Give up to `limit` templates in order of prefix, those behind `after`."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM templates "  # noqa: S608 - a constant
        "WHERE registry_id = ? AND region = ? AND prefix > ? ORDER BY prefix LIMIT ?",
        registry.id,
        registry.region,
        after,
        limit,
    )
    return [_template(row) for row in rows]


def delete_template(tx: Transaction, registry: RegistryRef, prefix: str) -> None:
    tx.run(
        "DELETE FROM templates WHERE registry_id = ? AND region = ? AND prefix = ?",
        registry.id,
        registry.region,
        prefix,
    )


def _values(template: Template) -> Row:
    return (
        template.prefix,
        json.dumps(template.applied_for),
        template.created_at,
        template.updated_at,
        template.description,
        template.tag_mutability.mode,
        json.dumps(template.tag_mutability.filters),
        template.encryption.type,
        template.encryption.kms_key,
        json.dumps(template.resource_tags),
        template.repository_policy,
        template.lifecycle_policy,
        template.custom_role_arn,
    )


def _template(row: Row) -> Template:
    return Template(
        prefix=row[0],
        applied_for=tuple(json.loads(row[1])),
        created_at=row[2],
        updated_at=row[3],
        description=row[4],
        tag_mutability=TagMutability(row[5], tuple(json.loads(row[6]))),
        encryption=Encryption(row[7], row[8]),
        resource_tags=tuple((key, value) for key, value in json.loads(row[9])),
        repository_policy=row[10],
        lifecycle_policy=row[11],
        custom_role_arn=row[12],
    )
