"""Every condition that backfills can end an operation in.

As in `domain.errors`, of which this is a part.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.errors import EcrateError


@dataclass(eq=False)
class ReplicationBackfillNotFound(EcrateError):
    text = (
        "The replication backfill with id '{backfill_id}' does not exist in the registry with id "
        "'{registry_id}'"  # [A]
    )
    backfill_id: str
    registry_id: str


@dataclass(eq=False)
class ReplicationBackfillInProgress(EcrateError):
    text = (
        "A replication backfill to the region '{region}' is already in progress in the registry "
        "with id '{registry_id}'"  # [A]
    )
    region: str
    registry_id: str


@dataclass(eq=False)
class ReplicationBackfillInvalidStatus(EcrateError):
    text = (
        "The replication backfill with id '{backfill_id}' cannot be stopped: it is {status}"  # [A]
    )
    backfill_id: str
    status: str
