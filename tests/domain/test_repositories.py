"""Tag mutability: which tags may move."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.names import RegistryRef
from ecrate.domain.repositories import Encryption, TagMutability

patterns = st.text("ab*.", min_size=1, max_size=8)
tags = st.text("ab.", max_size=8)


@pytest.mark.parametrize(
    ("mode", "filters", "tag", "expected"),
    [
        pytest.param("MUTABLE", (), "v1", False, id="mutable"),
        pytest.param("IMMUTABLE", (), "v1", True, id="immutable"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", ("v*",), "v1", False, id="excluded"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", ("dev*",), "v1", True, id="not-excluded"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", ("dev*", "*1"), "v1", False, id="second"),
        pytest.param("MUTABLE_WITH_EXCLUSION", ("v*",), "v1", True, id="included"),
        pytest.param("MUTABLE_WITH_EXCLUSION", ("dev*",), "v1", False, id="not-included"),
    ],
)
def test_mode_and_filters_decide(
    mode: str, filters: tuple[str, ...], tag: str, *, expected: bool
) -> None:
    assert TagMutability(mode, filters).is_immutable(tag) == expected


@pytest.mark.parametrize(
    ("pattern", "tag", "expected"),
    [
        pytest.param("latest", "latest", True, id="same"),
        pytest.param("latest", "latest2", False, id="begins-alike"),
        pytest.param("Latest", "latest", False, id="another-case"),
        pytest.param("*", "", True, id="everything-nothing"),
        pytest.param("*", "anything", True, id="everything"),
        pytest.param("**", "x", True, id="stars"),
        pytest.param("v*", "v", True, id="empty-run"),
        pytest.param("v*", "dev", False, id="anchored-first"),
        pytest.param("*-rc", "v1-rc1", False, id="anchored-last"),
        pytest.param("a*a", "a", False, id="overlap"),
        pytest.param("a*a", "aa", True, id="no-overlap"),
        pytest.param("a*b*c", "a-b-b-c", True, id="greedy"),
        pytest.param("a*b*c", "acb", False, id="order"),
        pytest.param("a*bb*b", "abbb", True, id="middle"),
        pytest.param("a*bb*b", "abb", False, id="middle-overlaps-last"),
        pytest.param("1.0", "1x0", False, id="dot"),
    ],
)
def test_filter_matches(pattern: str, tag: str, *, expected: bool) -> None:
    assert TagMutability("MUTABLE_WITH_EXCLUSION", (pattern,)).is_immutable(tag) == expected


@given(pattern=patterns, tag=tags)
def test_filter_matches_as_a_shell_does(pattern: str, tag: str) -> None:
    matches = TagMutability("MUTABLE_WITH_EXCLUSION", (pattern,)).is_immutable(tag)

    assert matches == fnmatch.fnmatchcase(tag, pattern)


def test_filter_of_many_stars_is_fast() -> None:
    mutability = TagMutability("MUTABLE_WITH_EXCLUSION", ("a*" * 60 + "b",))

    assert not mutability.is_immutable("a" * 100_000)


@pytest.mark.parametrize(
    ("mode", "filters"),
    [
        pytest.param("MUTABLE", None, id="mutable"),
        pytest.param("IMMUTABLE", None, id="immutable"),
        pytest.param("MUTABLE_WITH_EXCLUSION", ["a", "b*"], id="mutable-with"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", ["a", "b*"], id="immutable-with"),
    ],
)
def test_parse_keeps_mode_and_filters(mode: str, filters: list[str] | None) -> None:
    assert TagMutability.parse(mode, filters) == TagMutability(mode, tuple(filters or ()))


@pytest.mark.parametrize(
    ("mode", "filters"),
    [
        pytest.param("MUTABLE", ["a"], id="mutable"),
        pytest.param("IMMUTABLE", [], id="immutable"),
        pytest.param("MUTABLE_WITH_EXCLUSION", None, id="mutable-with"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", None, id="immutable-with"),
    ],
)
def test_parse_wants_filters_with_exclusion_only(mode: str, filters: list[str] | None) -> None:
    with pytest.raises(InvalidParameter, match=f"is set as {mode}'"):
        TagMutability.parse(mode, filters)


KEYS = "arn:aws:kms:eu-west-1:123456789012"


@pytest.mark.parametrize(
    ("given_encryption", "key"),
    [
        pytest.param(Encryption(), None, id="none"),
        pytest.param(Encryption("KMS"), f"{KEYS}:alias/aws/ecr", id="managed"),
        pytest.param(Encryption("KMS", "1234"), f"{KEYS}:key/1234", id="id"),
        pytest.param(Encryption("KMS", "alias/mine"), f"{KEYS}:alias/mine", id="alias"),
        pytest.param(Encryption("KMS", "arn:aws:kms:x:1:key/2"), "arn:aws:kms:x:1:key/2", id="arn"),
    ],
)
def test_encryption_names_its_key(given_encryption: Encryption, key: str | None) -> None:
    complete = given_encryption.with_key(RegistryRef("123456789012", "eu-west-1"))

    assert complete == Encryption(given_encryption.type, key)
