"""Replication: which images go where, and how far they have come.

Source: ECR User Guide, "Private image replication"; dossier sections 7.2 and Z.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.names import RegistryRef

# Who pushes what is replicated, and deletes it: such events are not replicated any further.
ACTOR: Final = "replication"
MOST_RULES: Final = 25
MOST_DESTINATIONS: Final = 25
# AWS: service quotas, "Filters per rule in a replication configuration".
MOST_FILTERS: Final = 100
_MEMBER: Final = "replicationConfiguration"
PREPARING: Final = "PREPARING"
IN_PROGRESS: Final = "IN_PROGRESS"
COMPLETE: Final = "COMPLETE"
FAILED: Final = "FAILED"
STOPPING: Final = "STOPPING"
STOPPED: Final = "STOPPED"
ENDED: Final = frozenset({COMPLETE, FAILED, STOPPED})


@dataclass(frozen=True, slots=True)
class ReplicationRule:
    """Images of the repositories whose name begins with one of `prefixes`, or of all where there
    are none, go to `destinations`; their deletions too with `has_deletions`, which is None where
    nothing was said.
    """

    destinations: tuple[RegistryRef, ...]
    prefixes: tuple[str, ...] = ()
    has_deletions: bool | None = None

    def covers(self, repository: str) -> bool:
        return not self.prefixes or repository.startswith(self.prefixes)


def check_rules(source: RegistryRef, rules: Sequence[ReplicationRule]) -> None:
    """Raise `InvalidParameter` unless a registry may have these rules."""
    places = {place for rule in rules for place in rule.destinations}
    if source in places:
        # AWS: text as recorded by other implementations' tests.
        raise InvalidParameter(
            _MEMBER, "Replication destination cannot be the same as the source registry"
        )
    for given, most, what in (
        (len(rules), MOST_RULES, "rules"),
        (len(places), MOST_DESTINATIONS, "unique destinations"),
        (max((len(rule.prefixes) for rule in rules), default=0), MOST_FILTERS, "filters a rule"),
    ):
        if given > most:
            raise InvalidParameter(_MEMBER, f"Member must have at most {most} {what}")  # [A]
    if not all(rule.destinations for rule in rules):
        raise InvalidParameter(_MEMBER, "Every rule must have a destination")  # [A]


def destinations_of(
    rules: Iterable[ReplicationRule], repository: str, *, deletes: bool = False
) -> list[RegistryRef]:
    """Give where a push to the repository goes, or with `deletes` a deletion there, each once."""
    return list(
        dict.fromkeys(
            place
            for rule in rules
            if rule.covers(repository) and (rule.has_deletions or not deletes)
            for place in rule.destinations
        )
    )


@dataclass(frozen=True, slots=True)
class Replication:
    """How far an image has come on its way to one destination."""

    destination: RegistryRef
    waiting: int
    failure_code: str

    @property
    def status(self) -> str:
        if self.waiting:
            return IN_PROGRESS
        return FAILED if self.failure_code else COMPLETE


@dataclass(frozen=True, slots=True)
class Backfill:
    """The images that were there before, on their way to one destination; times are epoch seconds.
    `place` is where the preparation goes on: repository, image id, tag.
    """

    id: str
    registry: RegistryRef
    destination: RegistryRef
    status: str
    place: tuple[str, int, str]
    total: int
    completed: int
    failed: int
    is_prepared: bool
    started_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """What became of one image and tag; `child_failure_code` is None for what is no index."""

    id: int
    repository: str
    digest: str
    tag: str | None
    failure_code: str
    child_failure_code: str | None
