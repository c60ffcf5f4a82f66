"""Which images a single rule of a lifecycle policy is about."""

from __future__ import annotations

import pytest

from ecrate.domain.lifecycle import LifecycleRule, TagPattern, TagStatus


@pytest.mark.parametrize(
    ("status", "patterns", "tags", "matches"),
    [
        pytest.param("any", [], [], True, id="any-untagged"),
        pytest.param("any", [], ["v1"], True, id="any-tagged"),
        pytest.param("untagged", [], [], True, id="untagged"),
        pytest.param("untagged", [], ["v1"], False, id="untagged-no"),
        pytest.param("tagged", ["v*"], ["v1"], True, id="tagged"),
        pytest.param("tagged", ["v*"], ["w1", "v1"], True, id="one-of-its-tags"),
        pytest.param("tagged", ["v*"], ["w1"], False, id="other-tag"),
        pytest.param("tagged", ["v*"], [], False, id="no-tag"),
        pytest.param("tagged", ["v*", "*-rc"], ["v1", "w-rc"], True, id="all-patterns"),
        pytest.param("tagged", ["v*", "*-rc"], ["v1", "v2"], False, id="one-pattern-of-two"),
    ],
)
def test_rule_matches_by_tags(
    status: TagStatus,
    patterns: list[str],
    tags: list[str],
    matches: bool,  # noqa: FBT001 - a table's column
) -> None:
    wanted = tuple(map(TagPattern.wildcard, patterns))
    rule = LifecycleRule(1, status, wanted, "imageCountMoreThan", 1, "expire")

    assert rule.matches(tags) == matches
