"""Which template makes a repository."""

from __future__ import annotations

import pytest

from ecrate.domain.names import RegistryRef
from ecrate.domain.repositories import Encryption, RepositorySettings, TagMutability
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


def test_template_says_what_a_repository_begins_with() -> None:
    made = Template(
        "a",
        (CREATE_ON_PUSH,),
        created_at=0.0,
        updated_at=0.0,
        tag_mutability=TagMutability("IMMUTABLE"),
        encryption=Encryption("KMS", "1234"),
        resource_tags=(("k", "v"),),
    )

    settings = made.settings(RegistryRef("123456789012", "r"))

    assert settings == RepositorySettings(
        tag_mutability=TagMutability("IMMUTABLE"),
        encryption=Encryption("KMS", "arn:aws:kms:r:123456789012:key/1234"),
        resource_tags=(("k", "v"),),
    )
