"""Repositories: create, describe, delete, lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecrate.domain.errors import LimitExceeded, RepositoryNotEmpty, ValidationFailed
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository, RepositorySettings, TagMutability
from ecrate.domain.scanning import ENHANCED
from ecrate.operations.authorization import (
    authorize,
    open_repository,
    open_to_delete,
    request_tag_keys,
)
from ecrate.operations.core import Core
from ecrate.operations.scan_plans import find_plan
from ecrate.store import repositories as store
from ecrate.store import trash
from ecrate.store.database import Transaction


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """`next_name` is where the next page goes on, None at the end."""

    repositories: Sequence[Repository]
    next_name: str | None


def create_repository(
    core: Core, caller: Caller, ref: RepositoryRef, settings: RepositorySettings
) -> Repository:
    """Raises `RepositoryAlreadyExists`, `LimitExceeded`."""
    with core.database.write() as tx:
        authorize_creation(tx, caller, ref, settings)
        return insert_repository(core, tx, ref, settings)


def authorize_creation(
    tx: Transaction, caller: Caller, ref: RepositoryRef, settings: RepositorySettings
) -> None:
    """Raise `AccessDenied` unless the caller may create this repository."""
    tags = request_tag_keys(settings.resource_tags)
    authorize(tx, caller, ref.registry, "CreateRepository", ref.arn, keys=tags)


def insert_repository(
    core: Core, tx: Transaction, ref: RepositoryRef, settings: RepositorySettings
) -> Repository:
    """Make a repository whose creation is authorized; raises as `create_repository` does."""
    repository = store.insert_repository(tx, ref, settings, core.clock())
    count_repository(core, tx, ref.registry)
    return repository


def count_repository(core: Core, tx: Transaction, registry: RegistryRef) -> None:
    """Count one repository more in the registry; raises `LimitExceeded`."""
    limit = core.limits.repositories_per_registry
    if store.count_repository(tx, registry, 1) > limit:
        raise LimitExceeded(
            f"The registry with id '{registry.id}' already has the maximum allowed "
            f"number of repositories which is '{limit}'"  # [A]
        )


def put_image_tag_mutability(
    core: Core, caller: Caller, ref: RepositoryRef, mutability: TagMutability
) -> None:
    """Decide which tags may move from now on."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "PutImageTagMutability")
        store.update_tag_mutability(tx, repository.id, mutability)


def put_image_scanning_configuration(
    core: Core, caller: Caller, ref: RepositoryRef, *, scan_on_push: bool
) -> None:
    """Raise `ValidationFailed` where the registry's scanning is `ENHANCED`: it decides alone."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "PutImageScanningConfiguration")
        if find_plan(tx, repository).scan_type == ENHANCED:
            raise ValidationFailed("This feature is disabled")  # [A]
        store.update_scan_on_push(tx, repository.id, scan_on_push=scan_on_push)


def describe_repositories(
    core: Core, caller: Caller, names: Sequence[RepositoryRef]
) -> list[Repository]:
    """Describe the named ones, in the order given; raises `RepositoryNotFound` for the first
    that does not exist.
    """
    with core.database.read() as tx:
        return [open_repository(tx, caller, ref, "DescribeRepositories") for ref in names]


def list_repositories(
    core: Core, caller: Caller, registry: RegistryRef, *, after: str = "", limit: int = 100
) -> RepositoryPage:
    """Give a page of the registry's repositories in order of name."""
    with core.database.read() as tx:
        every = f"arn:aws:ecr:{registry.region}:{registry.id}:repository/*"
        authorize(tx, caller, registry, "DescribeRepositories", every)
        found = store.list_repositories(tx, registry, after, limit + 1)
    more = len(found) > limit
    return RepositoryPage(found[:limit], found[limit - 1].ref.name if more else None)


def delete_repository(core: Core, caller: Caller, ref: RepositoryRef, *, force: bool) -> Repository:
    """Give the repository's last state. Without `force`, any image in it raises
    `RepositoryNotEmpty`; with it, all it holds goes too, into the trash unless that is off.
    """
    with core.database.write() as tx:
        repository = open_to_delete(tx, caller, ref, "DeleteRepository")
        if repository.image_count and not force:
            raise RepositoryNotEmpty(ref.name, ref.registry.id)
        store.count_repository(tx, ref.registry, -1)
        now = core.clock()
        trash.put_repository(tx, repository.id, now, now + core.limits.trash_kept)
        return repository


def lock_repository(core: Core, ref: RepositoryRef, *, is_locked: bool) -> None:
    """Protect the repository and all in it from deletion, or no longer; for operators.

    Raises `RepositoryNotFound`.
    """
    with core.database.write() as tx:
        store.update_lock(tx, store.find_repository(tx, ref).id, is_locked=is_locked)


def list_locked_repositories(core: Core) -> list[RepositoryRef]:
    """Give the locked repositories of all registries, in order; for operators."""
    with core.database.read() as tx:
        return store.list_locked_repositories(tx)
