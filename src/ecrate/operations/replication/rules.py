"""Replication rules, and how far images have come by them."""

from __future__ import annotations

from collections.abc import Sequence

from ecrate.domain.images import Image
from ecrate.domain.names import ImageId, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.replication import Replication, ReplicationRule, check_rules
from ecrate.operations.authorization import authorize, open_repository
from ecrate.operations.core import Core
from ecrate.operations.images import find_existing
from ecrate.store import replication as store
from ecrate.store.repositories import lock_registry


def put_replication_configuration(
    core: Core, caller: Caller, registry: RegistryRef, rules: Sequence[ReplicationRule]
) -> None:
    """Put these rules in the place of the registry's; raises `InvalidParameter`."""
    with core.database.write() as tx:
        authorize(tx, caller, registry, "PutReplicationConfiguration")
        check_rules(registry, rules)
        lock_registry(tx, registry)
        store.put_rules(tx, registry, rules)


def describe_image_replication_status(
    core: Core, caller: Caller, ref: RepositoryRef, image_id: ImageId
) -> tuple[Image, list[Replication]]:
    """Give the image, and how far it has come on its way to each destination that it was sent to.

    Raises `ImageNotFound`.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImageReplicationStatus")
        image = find_existing(tx, repository, image_id)
        return image, store.list_replications(tx, repository.id, image.digest.text)
