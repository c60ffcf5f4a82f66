"""Which upstream a repository has, who asks it, and when it is left alone."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import AccessDenied
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.pull_through import Rule, UpstreamUrl, choose_rule, find_local_name
from ecrate.domain.upstream_errors import (
    SecretNotFound,
    UnableToAccessSecret,
    UnableToDecryptSecretValue,
    UpstreamAccessDenied,
    UpstreamTooManyRequests,
)
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.operations.pull_through.seam import PullThrough
from ecrate.store import pull_through as store
from ecrate.store.database import Transaction
from ecrate.upstream.logins import Login
from ecrate.upstream.port import Place
from ecrate.upstream.secrets import find_login

_LOG: Final = logging.getLogger("ecrate")


@dataclass(frozen=True, slots=True)
class Source:
    """Where what a repository lacks comes from."""

    seam: PullThrough
    ref: RepositoryRef
    rule: Rule

    @property
    def host(self) -> str:
        return UpstreamUrl.parse(self.rule.url).host

    def place(self) -> Place:
        """Give the repository upstream, with the login for it.

        Raises `UpstreamAccessDenied` where the rule's secret is of no use (any more).
        """
        login: Login | None = None
        if self.rule.credential_arn is not None:
            try:
                login = find_login(self.seam.secrets, self.ref.registry, self.rule.credential_arn)
            except (SecretNotFound, UnableToAccessSecret, UnableToDecryptSecretValue) as error:
                raise UpstreamAccessDenied(self.host, str(error)) from None
        name = self.rule.upstream_name(self.ref.name)
        return Place(UpstreamUrl.parse(self.rule.url), login, name)


def find_source(core: Core, tx: Transaction, ref: RepositoryRef) -> Source | None:
    """Give where a repository's content comes from, None for one that no rule covers."""
    if core.pull_through is None:
        return None
    rules = store.list_rules(tx, ref.registry, "", core.limits.pull_through_rules)
    rule = choose_rule(rules, ref.name)
    return None if rule is None else Source(core.pull_through, ref, rule)


def find_source_for(core: Core, caller: Caller, ref: RepositoryRef) -> Source | None:
    """As `find_source`, None as well where the caller may not import from there."""
    if core.pull_through is None:
        return None
    with core.database.look() as tx:
        source = find_source(core, tx, ref)
        if source is not None:
            try:
                authorize(tx, caller, ref.registry, "BatchImportUpstreamImage", ref.arn)
            except AccessDenied:
                return None
    return source


def find_mirrored_name(core: Core, registry: RegistryRef, source: str, name: str) -> str | None:
    """Give what the repository `name` of the registry that clients call `source` is called here,
    None where no rule is for it.
    """
    with core.database.look() as tx:
        rules = store.list_rules(tx, registry, "", core.limits.pull_through_rules)
    return find_local_name(rules, source, name)


def check_pause(core: Core, source: Source) -> None:
    """Raise `UpstreamTooManyRequests` while the source's upstream is to be left alone."""
    now, rule = core.clock(), source.rule
    with core.database.look() as tx:
        current = store.find_rule(tx, source.ref.registry, rule.prefix) or rule
    if current.paused_until > now:
        left = math.ceil(current.paused_until - now)
        raise UpstreamTooManyRequests(source.host, current.pause, left)


@contextlib.contextmanager
def paced(core: Core, source: Source) -> Iterator[None]:
    """Talk to the source's upstream in a block, and note when it asks to be left alone."""
    rule = source.rule
    try:
        yield
    except UpstreamTooManyRequests as error:
        _LOG.warning("%s", error)
        with core.database.write() as tx:
            until = core.clock() + error.seconds
            store.pause_rule(tx, source.ref.registry, rule.prefix, until, error.reason)
        raise
