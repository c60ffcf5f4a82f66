"""The registry as a whole: its description, account settings, pull time update exclusions."""

from __future__ import annotations

from ecrate.domain.errors import ExclusionNotFound, LimitExceeded
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller
from ecrate.domain.registry import (
    ACCOUNT_SETTINGS,
    BLOB_MOUNTING,
    PullTimeExclusion,
    Registry,
    check_account_setting,
    covers_principal,
)
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.store import registry as store
from ecrate.store.database import Transaction
from ecrate.store.replication import list_rules
from ecrate.store.repositories import lock_registry


def describe_registry(core: Core, caller: Caller, registry: RegistryRef) -> Registry:
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeRegistry")
        return Registry(registry, list_rules(tx, registry))


def put_account_setting(
    core: Core, caller: Caller, registry: RegistryRef, name: str, value: str
) -> None:
    """Set it for good; raises `InvalidParameter` for a name or value that there is not."""
    check_account_setting(name, value)
    with core.database.write() as tx:
        authorize(tx, caller, registry, "PutAccountSetting")
        store.put_account_setting(tx, registry, name, value)


def get_account_setting(core: Core, caller: Caller, registry: RegistryRef, name: str) -> str:
    """Give what was set, else what holds at first; raises `InvalidParameter`."""
    check_account_setting(name)
    with core.database.read() as tx:
        authorize(tx, caller, registry, "GetAccountSetting")
        return _account_setting(core, tx, registry, name)


def _account_setting(core: Core, tx: Transaction, registry: RegistryRef, name: str) -> str:
    value = store.find_account_setting(tx, registry, name)
    if value is not None:
        return value
    if name == BLOB_MOUNTING and not core.parity:
        return "ENABLED"
    return ACCOUNT_SETTINGS[name][0]


def is_mounting_blobs(core: Core, tx: Transaction, registry: RegistryRef) -> bool:
    """Tell whether layers of the registry may be mounted from one repository into another."""
    return _account_setting(core, tx, registry, BLOB_MOUNTING) == "ENABLED"


def register_pull_time_update_exclusion(
    core: Core, caller: Caller, registry: RegistryRef, principal_arn: str
) -> PullTimeExclusion:
    """Raise `ExclusionAlreadyExists`, `LimitExceeded`."""
    exclusion = PullTimeExclusion(principal_arn, core.clock())
    limit = core.limits.pull_time_exclusions
    with core.database.write() as tx:
        authorize(tx, caller, registry, "RegisterPullTimeUpdateExclusion")
        lock_registry(tx, registry)
        store.insert_pull_time_exclusion(tx, registry, exclusion)
        if len(store.list_pull_time_exclusions(tx, registry, "", limit + 1)) > limit:
            raise LimitExceeded(
                f"The registry with id '{registry.id}' already has the maximum allowed number of "
                f"pull time update exclusions which is '{limit}'"  # [A]
            )
    return exclusion


def deregister_pull_time_update_exclusion(
    core: Core, caller: Caller, registry: RegistryRef, principal_arn: str
) -> None:
    """Raise `ExclusionNotFound`."""
    with core.database.write() as tx:
        authorize(tx, caller, registry, "DeregisterPullTimeUpdateExclusion")
        if not store.delete_pull_time_exclusion(tx, registry, principal_arn):
            raise ExclusionNotFound(principal_arn)


def list_pull_time_update_exclusions(
    core: Core, caller: Caller, registry: RegistryRef, *, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Give a page of excluded principals in order of ARN, and where the next one goes on."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "ListPullTimeUpdateExclusions")
        found = store.list_pull_time_exclusions(tx, registry, after, limit + 1)
    return found[:limit], found[limit - 1] if len(found) > limit else None


def is_pull_recorded(core: Core, tx: Transaction, caller: Caller, registry: RegistryRef) -> bool:
    """Tell whether pulls of this caller count in the registry."""
    excluded = store.list_pull_time_exclusions(tx, registry, "", core.limits.pull_time_exclusions)
    return not any(covers_principal(arn, caller.arn) for arn in excluded)
