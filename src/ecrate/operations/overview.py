"""What people look for in a registry, page by page, and what its server is doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecrate.domain.errors import AccessDenied
from ecrate.domain.garbage import Backlog, Work
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.state import State
from ecrate.operations.authorization import authorize, open_repository
from ecrate.operations.core import Core
from ecrate.operations.garbage import describe_backlog
from ecrate.operations.images import ImageDetail, describe_rows
from ecrate.operations.repositories import RepositoryPage
from ecrate.operations.state import describe_state
from ecrate.store import overview as store

_DESCRIBE_SERVER = "DescribeServer"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server, with all its registries, is doing; `work` is None before the first
    collection.
    """

    state: State
    work: Work | None
    backlog: Backlog


def search_repositories(
    core: Core, caller: Caller, registry: RegistryRef, text: str, *, after: str, limit: int
) -> RepositoryPage:
    """Give a page of the repositories with the text in their name, in order of name."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeRepositories", RepositoryRef(registry, "*").arn)
        found = store.search_repositories(tx, registry, text, after, limit + 1)
    more = len(found) > limit
    return RepositoryPage(found[:limit], found[limit - 1].ref.name if more else None)


def search_images(
    core: Core, caller: Caller, ref: RepositoryRef, text: str, *, before: int | None, limit: int
) -> tuple[Sequence[ImageDetail], int | None]:
    """Give a page of images, the newest first, and before which id the next page goes on: all, or
    those with a tag that has the text in it.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImages")
        found = store.search_images(tx, repository.id, text, before, limit + 1)
        page = describe_rows(tx, found[:limit])
    return page, page[-1].image.id if len(found) > limit else None


def find_usage(core: Core, caller: Caller, ref: RepositoryRef) -> store.Usage:
    """Add up what the repository takes."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImages")
        return store.find_usage(tx, repository.id)


def count_repositories(core: Core, caller: Caller, registry: RegistryRef) -> int:
    """Give how many repositories there are."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeRepositories", RepositoryRef(registry, "*").arn)
        return store.count_repositories(tx, registry)


def count_images(core: Core, caller: Caller, registry: RegistryRef) -> int:
    """Add up how many images there are."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeRepositories", RepositoryRef(registry, "*").arn)
        return store.count_images(tx, registry)


def describe_server(core: Core, caller: Caller) -> ServerState:
    """Tell what the server is doing, of all its registries: to callers of its own account, the
    setting `account_id`, whose policies allow `ecr:DescribeServer`.
    """
    with core.database.read() as tx:
        authorize(tx, caller, caller.registry, _DESCRIBE_SERVER)
    if caller.registry.id != core.default_registry.id:
        reason = "because the server belongs to another account"
        raise AccessDenied(caller.arn, f"ecr:{_DESCRIBE_SERVER}", "*", reason)
    work, backlog = describe_backlog(core)
    return ServerState(describe_state(core, by_repository=False), work, backlog)
