"""Authorization tokens and access keys, as time goes by and keys are taken away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import ExpiredToken, InvalidToken, UnknownAccessKey
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller
from ecrate.operations import tokens
from ecrate.store import identities
from tests.support.core import CALLER, HOUR, REGISTRY, Bench

KEY = CALLER.access_key_id


@pytest.fixture
def password(bench: Bench) -> str:
    """A token's password; its key is known."""
    with bench.writing() as tx:
        root = identities.insert_principal(
            tx,
            REGISTRY.id,
            "root",
            "root",
            arn=CALLER.arn,
            trust_policy=None,
            now=bench.clock.now,
        )
        identities.insert_access_key(tx, KEY, root.id, bench.clock.now)
    return tokens.get_authorization_token(bench.core, CALLER).password


def change_key(bench: Bench, statement: str, value: object) -> None:
    with bench.writing() as tx:
        tx.run(statement, value)


def test_token_speaks_for_its_caller(bench: Bench, password: str) -> None:
    caller = tokens.authenticate_token(bench.core, password)

    assert caller == CALLER


@pytest.mark.parametrize("hours", [0, 12])
def test_token_lasts_twelve_hours(bench: Bench, password: str, hours: int) -> None:
    bench.clock.advance(hours * HOUR)

    caller = tokens.authenticate_token(bench.core, password)

    assert caller == CALLER


def test_token_expires_after_twelve_hours(bench: Bench, password: str) -> None:
    bench.clock.advance(12 * HOUR + 1)

    with pytest.raises(ExpiredToken):
        tokens.authenticate_token(bench.core, password)


def test_token_of_a_key_that_was_taken_away_is_refused_at_once(bench: Bench, password: str) -> None:
    change_key(bench, "UPDATE access_keys SET is_active = ?", 0)

    with pytest.raises(UnknownAccessKey):
        tokens.authenticate_token(bench.core, password)


def test_token_of_a_key_that_changed_hands_is_refused(bench: Bench, password: str) -> None:
    change_key(bench, "UPDATE principals SET registry_id = ?", "210987654321")

    with pytest.raises(InvalidToken):
        tokens.authenticate_token(bench.core, password)


def test_token_speaks_for_whom_its_key_speaks_now(bench: Bench, password: str) -> None:
    change_key(bench, "UPDATE principals SET arn = ?", "arn:aws:iam::123456789012:user/less")

    caller = tokens.authenticate_token(bench.core, password)

    assert caller.arn == "arn:aws:iam::123456789012:user/less"


def test_download_seal_is_no_token(bench: Bench) -> None:
    seal = bench.core.seals.seal("download", {"key": KEY, "account": REGISTRY.id})

    with pytest.raises(InvalidToken):
        tokens.authenticate_token(bench.core, seal)


@pytest.mark.usefixtures("password")
def test_key_opens_the_default_region(bench: Bench) -> None:
    caller = tokens.authenticate_key(bench.core, KEY, tokens.secret_of(bench.core, KEY))

    assert caller == CALLER


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("key_id", "secret"),
    [
        pytest.param(KEY, "Secret", id="secret"),
        pytest.param(KEY, "", id="no-secret"),
        pytest.param(KEY, "\N{SNOWMAN}", id="no-ascii"),
        pytest.param("AKIAOTHER", "secret", id="key"),
        pytest.param("", "secret", id="no-key"),
    ],
)
def test_key_with_another_secret_is_refused(bench: Bench, key_id: str, secret: str) -> None:
    with pytest.raises(UnknownAccessKey):
        tokens.authenticate_key(bench.core, key_id, secret)


@pytest.mark.parametrize(
    ("key_id", "account"),
    [
        pytest.param("anything", REGISTRY.id, id="word"),
        pytest.param("210987654321", "210987654321", id="account"),
        pytest.param("21098765432", REGISTRY.id, id="11-digits"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}" * 12, REGISTRY.id, id="other-digits"),
    ],
)
def test_open_mode_accepts_any_key(
    make_bench: Callable[..., Bench], key_id: str, account: str
) -> None:
    bench = make_bench(is_open=True)

    caller = tokens.authenticate_key(bench.core, key_id, "anything")

    registry = RegistryRef(account, REGISTRY.region)
    assert caller == Caller(f"arn:aws:iam::{account}:root", key_id, registry, is_root=True)
