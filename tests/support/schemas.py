"""What a database's schema is, told alike for both engines."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

KINDS = {
    "INTEGER": "number",
    "REAL": "float",
    "TEXT": "text",
    "BLOB": "bytes",
    "bigint": "number",
    "integer": "number",
    "smallint": "number",
    "double precision": "float",
    "text": "text",
    "bytea": "bytes",
}


@dataclass(frozen=True)
class Schema:
    """What both engines can tell of theirs: each as (table, ...)."""

    columns: set[tuple[str, str, str, bool]]
    unique: set[tuple[str, ...]]
    references: set[tuple[str, ...]]
    indexes: set[tuple[str, ...]]


def sqlite_schema(path: Path) -> Schema:
    with closing(sqlite3.connect(path)) as connection:

        def ask(query: str) -> list[Any]:
            return connection.execute(query).fetchall()

        found = Schema(set(), set(), set(), set())
        for (table,) in ask(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%yoyo%' "
            "AND name <> 'sqlite_sequence'"
        ):
            columns = ask(f"PRAGMA table_info({table})")
            for _, name, kind, is_not_null, _, key in columns:
                found.columns.add((table, name, KINDS[kind], bool(is_not_null or key)))
            keys = sorted((key, name) for _, name, _, _, _, key in columns if key)
            if keys:
                found.unique.add((table, *(name for _, name in keys)))
                found.indexes.add((table, *(name for _, name in keys)))
            for _, index, is_unique, *_ in ask(f"PRAGMA index_list({table})"):
                names = [row[2] for row in ask(f"PRAGMA index_info({index})")]
                (found.unique if is_unique else found.indexes).add((table, *names))
                found.indexes.add((table, *names))
            keyed: dict[int, list[Any]] = {}
            for row in ask(f"PRAGMA foreign_key_list({table})"):
                keyed.setdefault(row[0], []).append(row)
            for rows in keyed.values():
                target, deletion = rows[0][2], rows[0][6]
                found.references.add((table, *(row[3] for row in rows), target, deletion))
        return found


def postgres_schema(url: str) -> Schema:
    with psycopg.connect(url, autocommit=True) as connection:

        def ask(query: str) -> list[Any]:
            return connection.execute(query.encode()).fetchall()

        columns = ask(
            "SELECT table_name, column_name, data_type, is_nullable = 'NO' "
            "FROM information_schema.columns WHERE table_schema = 'public' "
            "AND table_name NOT LIKE '%yoyo%'"
        )
        indexes = ask(
            "SELECT i.indisunique, "
            "ARRAY[c.relname::text] || array_agg(a.attname::text ORDER BY k.at) "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public', "
            "unnest(i.indkey) WITH ORDINALITY k (number, at) JOIN pg_attribute a "
            "ON a.attnum = k.number WHERE a.attrelid = i.indrelid "
            "AND c.relname NOT LIKE '%yoyo%' GROUP BY i.indexrelid, i.indisunique, c.relname"
        )
        references = ask(
            "SELECT ARRAY[f.conrelid::regclass::text] || array_agg(a.attname::text ORDER BY k.at) "
            "|| f.confrelid::regclass::text || CASE f.confdeltype WHEN 'c' THEN 'CASCADE' "
            "ELSE 'NO ACTION' END FROM pg_constraint f, unnest(f.conkey) WITH ORDINALITY "
            "k (number, at) JOIN pg_attribute a ON a.attnum = k.number "
            "WHERE f.contype = 'f' AND a.attrelid = f.conrelid "
            "GROUP BY f.oid, f.conrelid, f.confrelid, f.confdeltype"
        )
        return Schema(
            {(table, name, KINDS[kind], needed) for table, name, kind, needed in columns},
            {tuple(names) for is_unique, names in indexes if is_unique},
            {tuple(names) for (names,) in references},
            {tuple(names) for _, names in indexes},
        )


def schema_of(url: str) -> Schema:
    """Give the schema of a database, without what the migrations' library keeps there."""
    if url.startswith("sqlite"):
        return sqlite_schema(Path(url.removeprefix("sqlite://")))
    return postgres_schema(url)
