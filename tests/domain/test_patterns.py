"""Patterns of policies: IAM's wildcards, the values of variables, and what matching costs."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.patterns import Text, arn_like, like, pattern_of

texts = st.text("ab*?.", max_size=8)


@given(value=texts, pattern=texts)
def test_like_matches_as_a_shell_does(value: str, pattern: str) -> None:
    assert like(value, pattern_of(pattern)) == fnmatch.fnmatchcase(value, pattern)


@given(value=texts, of_key=texts, before=texts, behind=texts)
def test_value_of_a_variable_is_matched_by_itself(
    value: str, of_key: str, before: str, behind: str
) -> None:
    text = Text(f"{before}${{key}}{behind}", has_variables=True)
    quoted = "".join(f"[{one}]" if one in "*?" else one for one in of_key)

    answer = like(value, text.pattern({"key": (of_key,)}))

    assert answer == fnmatch.fnmatchcase(value, f"{before}{quoted}{behind}")
    assert text.plain({"key": (of_key,)}) == f"{before}{of_key}{behind}"


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "a*" * 40 + "?b", "*?a" * 30 + "c"])
def test_like_is_fast_however_many_stars_there_are(pattern: str) -> None:
    assert not like("a" * 1000, pattern_of(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("*" + "a" * 50_000 + "b", id="long"),
        pytest.param("*" + "a" * 50_000 + "b*", id="long-inside"),
        pytest.param("*a" * 50_000 + "b*b", id="many"),
        pytest.param("*?" * 50_000 + "b", id="any-ones"),
        pytest.param("*" + "a?" * 2_000 + "b*", id="long-with-any-ones"),
    ],
)
def test_like_is_fast_however_long_both_are(pattern: str) -> None:
    assert not like("a" * 100_000, pattern_of(pattern))


@given(value=st.text("ab:*?", max_size=12), pattern=st.text("ab:*?", max_size=12))
def test_arn_like_matches_part_by_part(value: str, pattern: str) -> None:
    mine, theirs = value.split(":", 5), pattern.split(":", 5)

    answer = arn_like(value, pattern_of(pattern))

    matches = map(fnmatch.fnmatchcase, mine, theirs)
    assert answer == (len(mine) == len(theirs) and all(matches))
