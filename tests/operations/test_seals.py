"""Seals: only what was sealed here, for this use, and in time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.errors import ExpiredToken, InvalidToken
from ecrate.operations.seals import Seals

SEALS = Seals(b"s" * 32)
PAYLOAD = {"who": "me", "exp": 100.0}

payloads = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "exp"),
    st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=9) | st.lists(st.booleans()),
    max_size=4,
)


@given(payload=payloads, purpose=st.text(max_size=5))
def test_seal_gives_its_payload_back(payload: dict[str, Any], purpose: str) -> None:
    assert SEALS.open(purpose, SEALS.seal(purpose, payload), now=0) == payload


@given(payload=payloads)
def test_seal_is_fit_for_urls_and_docker_logins(payload: dict[str, Any]) -> None:
    sealed = SEALS.seal("any", payload)

    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(text=st.text(max_size=40) | st.from_regex(r"[\w-]{1,20}\.[\w-]{43}", fullmatch=True))
def test_seal_of_anybody_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        SEALS.open("any", text, now=0)


@given(position=st.integers(0, 200), character=st.characters())
def test_seal_that_was_changed_is_refused(position: int, character: str) -> None:
    sealed = SEALS.seal("any", PAYLOAD)
    place = position % len(sealed)
    changed = sealed[:place] + character + sealed[place + 1 :]

    refused = _is_refused(changed)

    assert refused == (changed != sealed)


def _is_refused(sealed: str) -> bool:
    try:
        SEALS.open("any", sealed, now=0)
    except InvalidToken:
        return True
    return False


@pytest.mark.parametrize(
    ("secret", "purpose"),
    [
        pytest.param(b"s" * 32, "other", id="another-use"),
        pytest.param(b"t" * 32, "any", id="another-server"),
    ],
)
def test_seal_of_elsewhere_is_refused(secret: bytes, purpose: str) -> None:
    sealed = Seals(secret).seal(purpose, PAYLOAD)

    with pytest.raises(InvalidToken):
        SEALS.open("any", sealed, now=0)


def test_seal_is_good_until_it_expires() -> None:
    sealed = SEALS.seal("any", PAYLOAD)

    opened = SEALS.open("any", sealed, now=100.0)

    assert opened == PAYLOAD


def test_seal_expires() -> None:
    sealed = SEALS.seal("any", PAYLOAD)

    with pytest.raises(ExpiredToken):
        SEALS.open("any", sealed, now=100.1)
