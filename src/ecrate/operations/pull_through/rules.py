"""Pull through cache rules: create, describe, update, delete, validate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecrate.domain.errors import InvalidParameter, LimitExceeded
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.pull_through import Rule, UpstreamUrl, needs_credentials
from ecrate.domain.upstream_errors import (
    PullThroughCacheRuleNotFound,
    UnsupportedUpstreamRegistry,
)
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.operations.pull_through.fetches import NOTHING_WAITED, Fetch, Waited, Waiting
from ecrate.operations.pull_through.seam import PullThrough
from ecrate.operations.pull_through.upstreams import Source, check_pause, paced
from ecrate.store import pull_through as store
from ecrate.store.database import Transaction
from ecrate.store.repositories import lock_registry
from ecrate.upstream.secrets import read_secret


def create_pull_through_cache_rule(
    core: Core, caller: Caller, registry: RegistryRef, rule: Rule
) -> Rule:
    """Give the rule with the name of its upstream registry, if that has one.

    Raises `PullThroughCacheRuleAlreadyExists`, `UnsupportedUpstreamRegistry`, `LimitExceeded`, and
    `SecretNotFound`, `UnableToAccessSecret`, `UnableToDecryptSecretValue`.
    """
    limit = core.limits.pull_through_rules
    with core.database.look() as tx:
        authorize(tx, caller, registry, "CreatePullThroughCacheRule")
    rule = _checked(core, registry, rule)
    with core.database.write() as tx:
        authorize(tx, caller, registry, "CreatePullThroughCacheRule")
        lock_registry(tx, registry)
        store.insert_rule(tx, registry, rule)
        if len(store.list_rules(tx, registry, "", limit + 1)) > limit:
            raise LimitExceeded(
                f"The registry with id '{registry.id}' already has the maximum allowed number of "
                f"pull through cache rules which is '{limit}'"  # [A]
            )
    return rule


def _checked(core: Core, registry: RegistryRef, rule: Rule) -> Rule:
    url = UpstreamUrl.parse(rule.url)
    seam = core.pull_through
    reason = "nothing is fetched from elsewhere here"
    if seam is not None:
        reason = seam.upstreams.check_url(url)
    if core.parity and url.kind is None:
        reason = "it is none of ECR's"
    if seam is None or reason:
        raise UnsupportedUpstreamRegistry(rule.url, reason)
    if rule.upstream_registry not in {None, url.kind}:
        raise InvalidParameter(
            "upstreamRegistry", f"Member must be the registry at {rule.url}"
        )  # [A]
    _check_credentials(seam, registry, url, rule.credential_arn)
    return replace(rule, upstream_registry=url.kind)


def _check_credentials(
    seam: PullThrough, registry: RegistryRef, url: UpstreamUrl, arn: str | None
) -> None:
    if arn is not None:
        # AWS: acceptance test of Terraform's aws_ecr_pull_through_cache_rule: that the secret is a
        # login is not asked for here.
        read_secret(seam.secrets, registry, arn)
    elif needs_credentials(url.kind):
        raise InvalidParameter("credentialArn", f"Member must not be null for {url.kind}")  # [A]


def update_pull_through_cache_rule(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    prefix: str,
    *,
    credential_arn: str | None,
    custom_role_arn: str | None,
) -> Rule:
    """Give the rule with what was given in place of what it had.

    Raises `PullThroughCacheRuleNotFound`, and `SecretNotFound`, `UnableToAccessSecret`,
    `UnableToDecryptSecretValue`.
    """
    if credential_arn is not None and core.pull_through is not None:
        with core.database.look() as tx:
            authorize(tx, caller, registry, "UpdatePullThroughCacheRule")
            _find(tx, registry, prefix)
        read_secret(core.pull_through.secrets, registry, credential_arn)
    with core.database.write() as tx:
        authorize(tx, caller, registry, "UpdatePullThroughCacheRule")
        lock_registry(tx, registry)
        rule = _find(tx, registry, prefix)
        changed = replace(
            rule,
            credential_arn=credential_arn or rule.credential_arn,
            custom_role_arn=custom_role_arn or rule.custom_role_arn,
            updated_at=core.clock(),
        )
        store.update_rule(
            tx,
            registry,
            prefix,
            credential_arn=changed.credential_arn,
            custom_role_arn=changed.custom_role_arn,
            now=changed.updated_at,
        )
    return changed


def delete_pull_through_cache_rule(
    core: Core, caller: Caller, registry: RegistryRef, prefix: str
) -> Rule:
    """Give the rule as it was. What it has brought stays. Raises
    `PullThroughCacheRuleNotFound`.
    """
    with core.database.write() as tx:
        authorize(tx, caller, registry, "DeletePullThroughCacheRule")
        lock_registry(tx, registry)
        rule = _find(tx, registry, prefix)
        store.delete_rule(tx, registry, prefix)
    return rule


def describe_pull_through_cache_rules(
    core: Core, caller: Caller, registry: RegistryRef, prefixes: Sequence[str]
) -> list[Rule]:
    """Give the named ones, in the order given; raises `PullThroughCacheRuleNotFound`."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribePullThroughCacheRules")
        return [_find(tx, registry, prefix) for prefix in prefixes]


def list_pull_through_cache_rules(
    core: Core, caller: Caller, registry: RegistryRef, *, after: str, limit: int
) -> tuple[list[Rule], str | None]:
    """Give a page of rules in order of prefix, and where the next one goes on."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribePullThroughCacheRules")
        found = store.list_rules(tx, registry, after, limit + 1)
    return found[:limit], found[limit - 1].prefix if len(found) > limit else None


@dataclass(frozen=True, slots=True)
class Validation:
    """A rule, and why its upstream is of no use as it is, an empty text where it is."""

    rule: Rule
    failure: str


def validate_pull_through_cache_rule(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    prefix: str,
    waited: Waited = NOTHING_WAITED,
) -> Validation:
    """Ask the upstream whether it takes the rule's login.

    Raises `PullThroughCacheRuleNotFound`, and `Waiting` until the upstream has answered.
    """
    with core.database.read() as tx:
        authorize(tx, caller, registry, "ValidatePullThroughCacheRule")
        rule = _find(tx, registry, prefix)
    if core.pull_through is None:
        return Validation(rule, "Nothing is fetched from elsewhere here.")
    key = ("rule", registry, prefix)
    fetch = waited.get(key)
    if fetch is None:
        source = Source(core.pull_through, RepositoryRef(registry, ""), rule)

        def ask(_: Fetch) -> None:
            check_pause(core, source)
            with paced(core, source):
                source.seam.upstreams.check(replace(source.place(), repository=""))

        raise Waiting([source.seam.fetches.start(key, ask, upstream=source.host)])
    return Validation(rule, "" if fetch.error is None else str(fetch.error))


def _find(tx: Transaction, registry: RegistryRef, prefix: str) -> Rule:
    rule = store.find_rule(tx, registry, prefix)
    if rule is None:
        raise PullThroughCacheRuleNotFound(prefix, registry.id)
    return rule
