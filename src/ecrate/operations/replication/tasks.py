"""What events and backfills put into the lanes of replication.

A lane has a registry's repository and tag, or digest where there is none, as its key and a
destination as its owner, so that a destination sees what happens to a tag in the order in which
it happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ecrate.domain.errors import RepositoryNotFound
from ecrate.domain.events import IMAGE_ACTION, REFERRER_ACTION, Event
from ecrate.domain.lanes import Lane
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.replication import ACTOR, destinations_of
from ecrate.operations.core import Core
from ecrate.operations.events import follow_events
from ecrate.store import images, lanes
from ecrate.store import replication as store
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository

WORK: Final = "replication"
_PUT: Final = "PUSH"
_DELETE: Final = "DELETE"


@dataclass(frozen=True, slots=True)
class Job:
    """A task: the image goes to the destination, or is deleted there. `tag` is one of its tags,
    None for the image itself; `backfill` is what it is a part of.
    """

    ref: RepositoryRef
    digest: str
    tag: str | None
    destination: RegistryRef
    backfill: str | None = None
    is_deletion: bool = False

    @classmethod
    def read(cls, lane: Lane) -> Job:
        """Give the task at the head of a lane."""
        body = lane.task.body
        return cls(
            RepositoryRef(RegistryRef(*body["source"]), body["repository"]),
            body["digest"],
            body["tag"],
            RegistryRef(*body["destination"]),
            lane.task.batch,
            body["action"] == _DELETE,
        )

    def enqueue(self, tx: Transaction, now: float) -> None:
        """Put it behind what goes to the destination under the same tag."""
        source, destination = self.ref.registry, self.destination
        lanes.insert_task(
            tx,
            WORK,
            f"{destination.id}/{destination.region}",
            f"{source.id}/{source.region}/{self.ref.name}:{self.tag or self.digest}",
            {
                "action": _DELETE if self.is_deletion else _PUT,
                "source": [source.id, source.region],
                "repository": self.ref.name,
                "digest": self.digest,
                "tag": self.tag,
                "destination": [destination.id, destination.region],
            },
            now=now,
            batch=self.backfill,
        )


def enqueue_copy(tx: Transaction, job: Job, repository_id: int, now: float) -> None:
    """Let an image of a repository that is there go on its way."""
    store.begin_replication(tx, repository_id, job.digest, job.destination)
    job.enqueue(tx, now)


def take_events(core: Core) -> None:
    """Let what was published since the last time go on its way."""
    while follow_events(core, WORK, partial(_take, core), from_first=True):
        pass


def _take(core: Core, tx: Transaction, events: Sequence[Event]) -> None:
    for event in events:
        action = event.detail.get("action-type")
        if (
            event.kind not in {IMAGE_ACTION, REFERRER_ACTION}
            or action not in {_PUT, _DELETE}
            # AWS: user guide, "Private image replication": what was replicated goes no further.
            or event.actor == ACTOR
        ):
            continue
        deletes = action == _DELETE
        rules = store.list_rules(tx, event.registry)
        ref = RepositoryRef(event.registry, event.repository)
        digest, tag = str(event.detail["image-digest"]), event.detail.get("image-tag")
        named = None if tag is None else str(tag)
        if deletes:
            _forget_deleted(tx, ref, digest)
        for place in destinations_of(rules, ref.name, deletes=deletes):
            job = Job(ref, digest, named, place, is_deletion=deletes)
            if deletes:
                job.enqueue(tx, core.clock())
                continue
            try:
                repository = find_repository(tx, ref)
            except RepositoryNotFound:
                break
            enqueue_copy(tx, job, repository.id, core.clock())


def _forget_deleted(tx: Transaction, ref: RepositoryRef, digest: str) -> None:
    try:
        repository = find_repository(tx, ref)
    except RepositoryNotFound:
        return
    if images.find_image(tx, repository.id, digest) is None:
        store.delete_replications(tx, repository.id, digest)
