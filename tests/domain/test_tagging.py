"""Resource tags: what a key and a value may be."""

from __future__ import annotations

import pytest

from ecrate.domain.tagging import find_fault


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param([], id="none"),
        pytest.param([("k", "")], id="empty-value"),
        pytest.param([("k" * 128, "v" * 256)], id="longest"),
        pytest.param([("Key", "a"), ("key", "a")], id="case"),
        pytest.param([("my-aws:key", "a")], id="inside"),
    ],
)
def test_tags_are_well_formed(tags: list[tuple[str, str]]) -> None:
    assert find_fault(tags) is None


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        pytest.param([("", "v")], "must have 1 to 128 characters", id="empty-key"),
        pytest.param([("k" * 129, "v")], "must have 1 to 128 characters", id="long-key"),
        pytest.param([("aws:k", "v")], "not begin with 'aws:'", id="reserved"),
        pytest.param([("AWS:k", "v")], "not begin with 'aws:'", id="reserved-capitals"),
        pytest.param([("k", "v" * 257)], "the value of 'k'", id="long-value"),
        pytest.param([("k", "1"), ("k", "1")], "a key is given twice", id="twice"),
    ],
)
def test_tags_have_a_fault(tags: list[tuple[str, str]], fault: str) -> None:
    found = find_fault([("good", "tag"), *tags])

    assert found is not None
    assert fault in found
