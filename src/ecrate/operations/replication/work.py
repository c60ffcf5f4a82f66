"""The work of replicating, a task at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ecrate.domain.errors import (
    EcrateError,
    ImageReferencedByManifestList,
    ManifestDamaged,
    RepositoryNotFound,
    StorageFull,
    StoreUnavailable,
)
from ecrate.domain.events import ReplicationAction
from ecrate.domain.images import INDEX_TYPES
from ecrate.domain.lanes import Failure, Lane
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.replication import STOPPED, STOPPING, BackfillResult
from ecrate.operations.core import Core
from ecrate.operations.events import note_replication
from ecrate.operations.lanes import Backoff
from ecrate.operations.replication.backfills import run_backfills
from ecrate.operations.replication.copying import copy_image, delete_copy, find_source
from ecrate.operations.replication.sending import Destination
from ecrate.operations.replication.tasks import WORK, Job, take_events
from ecrate.store import images
from ecrate.store import replication as store
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository
from ecrate.upstream.ecr import BadCallAnswerError, CallRefusedError
from ecrate.upstream.endpoints import BROKEN

# What another attempt may find otherwise.
_PASSING: Final = (
    ImageReferencedByManifestList,
    ManifestDamaged,
    StorageFull,
    StoreUnavailable,
)
_UNREACHABLE: Final = "DestinationUnreachable"
_STOP: Final = Failure("its backfill was stopped", STOPPED, is_final=True)


class Replications:
    """The work of replicating; see `operations.lanes.Work`."""

    name = WORK
    backoff = Backoff(first=1.0, longest=300.0)

    def __init__(
        self,
        core: Core,
        remotes: Mapping[RegistryRef, Destination],
        *,
        patience: float,
        on_close: Callable[[], None],
    ) -> None:
        """`remotes` are the destinations at other servers; `patience`: seconds after which a
        replication that fails is given up.
        """
        self._core = core
        self._remotes = remotes
        self._patience = patience
        self._on_close = on_close

    def feed(self) -> None:
        take_events(self._core)
        run_backfills(self._core)

    def do(self, lane: Lane) -> Failure | None:
        job = Job.read(lane)
        if job.backfill is not None and self._is_stopped(job.backfill):
            return _STOP
        try:
            if job.is_deletion:
                self._delete(job)
            else:
                self._copy(job)
        except EcrateError as error:
            code = type(error).__name__
            return Failure(str(error), code, is_final=not isinstance(error, _PASSING))
        except CallRefusedError as error:
            code = error.code.removesuffix("Exception")
            return Failure(str(error), code, is_final=not error.is_passing)
        except (*BROKEN, BadCallAnswerError, ValueError) as error:
            return Failure(str(error) or type(error).__name__, _UNREACHABLE)
        return None

    def _is_stopped(self, backfill_id: str) -> bool:
        with self._core.database.look() as tx:
            backfill = store.find_backfill(tx, backfill_id)
        return backfill is None or backfill.status in {STOPPING, STOPPED}

    def _delete(self, job: Job) -> None:
        remote = self._remotes.get(job.destination)
        if remote is not None:
            remote.delete(job.ref, job.digest, job.tag)
        else:
            delete_copy(self._core, job.ref, job.digest, job.tag, job.destination)

    def _copy(self, job: Job) -> None:
        source = find_source(self._core, job.ref, job.digest)
        if source is None:
            return  # it was deleted meanwhile
        tag = job.tag
        if tag is not None and job.backfill is not None:
            with self._core.database.look() as tx:
                at = images.find_tagged_image(tx, source.repository.id, tag)
            # Where the tag has moved, what has come since is on its way by itself.
            tag = tag if at is not None and at.id == source.image.id else None
        remote = self._remotes.get(job.destination)
        if remote is not None:
            remote.send(source, tag)
        else:
            copy_image(self._core, source, tag, job.destination)

    def is_given_up(self, lane: Lane, now: float) -> bool:
        return now - lane.task.created_at > self._patience

    def end(self, tx: Transaction, lane: Lane, failure: Failure | None, now: float) -> None:
        job = Job.read(lane)
        code = "" if failure is None else failure.code or "ServerException"
        if job.is_deletion:
            return
        if failure == _STOP:
            end_copy(tx, job.ref, job.digest, job.destination, "")
            return
        is_index = end_copy(tx, job.ref, job.digest, job.destination, code)
        if job.backfill is not None:
            child = ("" if failure is None else code) if is_index else None
            result = BackfillResult(0, job.ref.name, job.digest, job.tag, code, child)
            store.insert_backfill_result(tx, job.backfill, result)
        if failure is not None and job.destination not in self._remotes and code != "AccessDenied":
            target = RepositoryRef(job.destination, job.ref.name)
            action = ReplicationAction(job.ref.registry, job.digest, job.tag, has_failed=True)
            note_replication(tx, target, action, now=now)

    def close(self) -> None:
        for remote in self._remotes.values():
            remote.close()
        self._on_close()


def end_copy(
    tx: Transaction, ref: RepositoryRef, digest: str, destination: RegistryRef, code: str
) -> bool:
    """Note that a copy waits no longer; tell whether the image is an index."""
    try:
        repository = find_repository(tx, ref)
    except RepositoryNotFound:
        return False
    store.end_replication(tx, repository.id, digest, destination, failure_code=code)
    image = images.find_image(tx, repository.id, digest)
    return image is not None and image.media_type in INDEX_TYPES
