"""The schema: numbered SQL files, a pair of them for the two engines, applied by yoyo.

Each file sets what it leads to in `schema_version`: the version, and the oldest code that may
open it.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from ecrate.store.database import SCHEMA_VERSION, DataTooNewError

if TYPE_CHECKING:
    from yoyo.backends import DatabaseBackend

Schema = tuple[int, int]


def is_to_migrate(found: Schema | None, wanted: int = SCHEMA_VERSION) -> bool:
    """Tell whether a schema (version, oldest code), None for nothing, has to be brought up to the
    version `wanted`.

    Raises `DataTooNewError` when a newer version wrote the data and excludes this one.
    """
    if found is None:
        return True
    version, oldest_code = found
    if oldest_code > SCHEMA_VERSION:
        raise DataTooNewError(version)
    return version < wanted


def apply_migrations(
    backend: DatabaseBackend, engine: str, found: Schema | None, wanted: int = SCHEMA_VERSION
) -> None:
    """Bring the schema up to a version. Nobody else does so now: the caller has seen to that."""
    # Imported late: it is needed only when there is something to migrate.
    from yoyo import read_migrations  # noqa: PLC0415

    version = 0 if found is None else found[0]
    with resources.as_file(resources.files("ecrate.store") / "migrations" / engine) as folder:
        # A lock found in the table is that of a process which was killed while it migrated.
        backend.break_lock()
        with backend.lock():
            known = read_migrations(str(folder)).filter(lambda one: int(one.id[:4]) <= wanted)
            waiting = backend.to_apply(known)
            # One that was applied, and killed before yoyo had noted it, is noted now.
            backend.mark_migrations([one for one in waiting if int(one.id[:4]) <= version])
            backend.apply_migrations(backend.to_apply(waiting))
