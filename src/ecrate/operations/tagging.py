"""The tags that repositories carry as resources."""

from __future__ import annotations

from collections.abc import Sequence

from ecrate.domain.errors import TooManyTags
from ecrate.domain.names import RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.tagging import MAX_RESOURCE_TAGS, ResourceTag
from ecrate.operations.authorization import open_repository, request_tag_keys
from ecrate.operations.core import Core
from ecrate.store import tagging as store


def tag_resource(
    core: Core, caller: Caller, ref: RepositoryRef, tags: Sequence[ResourceTag]
) -> None:
    """Add tags to the repository; raises `TooManyTags`, and adds none then."""
    with core.database.write() as tx:
        keys = request_tag_keys(tuple(tags))
        repository = open_repository(tx, caller, ref, "TagResource", keys)
        store.put_resource_tags(tx, repository.id, tags)
        if len(store.list_resource_tags(tx, repository.id)) > MAX_RESOURCE_TAGS:
            raise TooManyTags(MAX_RESOURCE_TAGS)


def untag_resource(core: Core, caller: Caller, ref: RepositoryRef, keys: Sequence[str]) -> None:
    """Remove tags from the repository; those that are not there do not matter."""
    with core.database.write() as tx:
        named = {"aws:tagkeys": tuple(keys)}
        repository = open_repository(tx, caller, ref, "UntagResource", named)
        store.delete_resource_tags(tx, repository.id, keys)


def list_tags_for_resource(core: Core, caller: Caller, ref: RepositoryRef) -> list[ResourceTag]:
    """Give all tags of the repository in order of key."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "ListTagsForResource")
        return store.list_resource_tags(tx, repository.id)
