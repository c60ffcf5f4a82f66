"""Which template makes a repository."""

from __future__ import annotations

import pytest

from ecrate.domain.templates import CREATE_ON_PUSH, REPLICATION, Template, choose_template


def template(prefix: str, *occasions: str) -> Template:
    return Template(prefix, occasions or (CREATE_ON_PUSH,), created_at=0.0, updated_at=0.0)


@pytest.mark.parametrize(
    ("prefix", "name", "covered"),
    [
        pytest.param("prod", "prod/app", True, id="below"),
        pytest.param("prod", "prod/team/app", True, id="far-below"),
        pytest.param("prod/", "prod/app", True, id="slash-given"),
        pytest.param("prod", "production/app", False, id="longer-word"),
        pytest.param("prod", "prod", False, id="the-prefix-itself"),
        pytest.param("prod/team", "prod/app", False, id="beside"),
        pytest.param("app", "prod/app", False, id="at-the-end"),
        pytest.param("ROOT", "anything", True, id="root"),
    ],
)
def test_template_covers(prefix: str, name: str, *, covered: bool) -> None:
    assert template(prefix).covers(name) == covered


def test_choose_template_takes_the_longest_prefix() -> None:
    templates = [template(prefix) for prefix in ("ROOT", "a", "a/b", "a/b/c", "z")]

    chosen = [choose_template(templates, name, CREATE_ON_PUSH) for name in ("a/b/x", "a/x", "x")]

    assert chosen == [templates[2], templates[1], templates[0]]


def test_choose_template_looks_at_those_for_the_occasion_only() -> None:
    templates = [template("a", REPLICATION), template("a/b", CREATE_ON_PUSH)]

    assert choose_template(templates, "a/b/c", REPLICATION) == templates[0]
    assert choose_template(templates, "a/c", CREATE_ON_PUSH) is None
