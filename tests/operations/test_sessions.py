"""Sessions of the console, and looking through the audit log, below the door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ecrate.domain.errors import AccessDenied, UnknownAccessKey
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Source
from ecrate.domain.sessions import TooManyAttempts
from ecrate.operations import overview
from ecrate.operations.audit_search import search_audit
from ecrate.operations.identities import create_access_key, create_principal
from ecrate.operations.sessions import open_session, sign_in, sign_out
from ecrate.store.audit import AuditLog
from tests.support.core import CALLER, Bench
from tests.support.postgres import ENGINES

HERE = Source("192.0.2.1")


def key_of(bench: Bench) -> tuple[str, str]:
    arn = create_principal(bench.core, CALLER.registry.id, "user", "somebody").arn
    key = create_access_key(bench.core, arn)
    return key.id, key.secret


@pytest.mark.parametrize("engine", ENGINES)
def test_session_ends_when_its_time_is_over_and_when_it_is_signed_out(bench: Bench) -> None:
    core, key = bench.core, key_of(bench)
    kept = sign_in(core, *key, "eu-west-1", HERE, lifetime=100.0)
    ended = sign_in(core, *key, "", HERE, lifetime=100.0)

    sign_out(core, open_session(core, ended, HERE))

    assert open_session(core, kept, HERE).caller.registry.region == "eu-west-1"
    with pytest.raises(UnknownAccessKey):
        open_session(core, ended, HERE)
    bench.clock.advance(101)
    with pytest.raises(UnknownAccessKey):
        open_session(core, kept, HERE)


@pytest.mark.parametrize("engine", ENGINES)
def test_attempts_are_counted_by_address_for_a_while(bench: Bench) -> None:
    core, key = bench.core, key_of(bench)
    sign_in(core, *key, "", HERE, lifetime=100.0)
    for _ in range(10):
        with pytest.raises(UnknownAccessKey):
            sign_in(core, key[0], "wrong", "", HERE, lifetime=100.0)

    with pytest.raises(TooManyAttempts, match="Try again in 300 seconds"):
        sign_in(core, *key, "", HERE, lifetime=100.0)
    assert sign_in(core, *key, "", Source("192.0.2.2"), lifetime=100.0)
    bench.clock.advance(300)

    assert sign_in(core, *key, "", HERE, lifetime=100.0)


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        pytest.param("2001:db8::1", "2001:db8::2", True, id="one network"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", False, id="two networks"),
        pytest.param("", "", True, id="no address"),
    ],
)
def test_attempts_are_counted_by_network_of_ipv6(
    bench: Bench, first: str, second: str, *, is_same: bool
) -> None:
    for _ in range(10):
        with pytest.raises(UnknownAccessKey):
            sign_in(bench.core, "AKIA", "wrong", "", Source(first), lifetime=1.0)

    expected = TooManyAttempts if is_same else UnknownAccessKey
    with pytest.raises(expected):
        sign_in(bench.core, "AKIA", "wrong", "", Source(second), lifetime=1.0)


def test_server_is_told_of_to_its_own_account_only(bench: Bench) -> None:
    stranger = replace(CALLER, registry=RegistryRef("111111111111", "us-east-1"))

    assert overview.describe_server(bench.core, CALLER).state.repositories == 0
    with pytest.raises(AccessDenied):
        overview.describe_server(bench.core, stranger)


@pytest.mark.parametrize("engine", ENGINES)
def test_usage_tells_what_is_shared(bench: Bench, one: RepositoryRef) -> None:
    usage = overview.find_usage(bench.core, CALLER, one)

    assert (usage.bytes, usage.unique_bytes, usage.last_pushed_at) == (0, 0, None)
    assert overview.count_repositories(bench.core, CALLER, one.registry) == 1
    assert overview.count_images(bench.core, CALLER, one.registry) == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["%", "!_'"])
def test_search_takes_special_characters_as_they_are(
    bench: Bench, one: RepositoryRef, text: str
) -> None:
    page = overview.search_repositories(bench.core, CALLER, one.registry, text, after="", limit=5)
    images, _ = overview.search_images(bench.core, CALLER, one, text, before=None, limit=5)

    assert (list(page.repositories), list(images)) == ([], [])


def test_audit_log_is_searched_backwards_over_its_files(bench: Bench, tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log", tmp_path / "lock", max_size=2000, kept=3)
    line = '{"recipientAccountId":"%s","awsRegion":"%s","n":%d,"text":"%s"}'
    for number in range(40):
        account = CALLER.registry.id if number % 2 else "111111111111"
        log.append((line % (account, "us-east-1", number, "Ein Wort")).encode())
    log.append((line % (CALLER.registry.id, "eu-west-1", 98, "Ein Wort")).encode())
    with (tmp_path / "log").open("a", encoding="utf-8") as file:
        file.write("half a li")
    core = replace(bench.core, audit=log)

    found = search_audit(core, CALLER, CALLER.registry, "ein wort", limit=12)

    assert found is not None
    assert [one["n"] for one in found] == list(range(39, 15, -2))
    assert search_audit(core, CALLER, CALLER.registry, "another", limit=12) == []
    assert search_audit(bench.core, CALLER, CALLER.registry, "", limit=12) is None
