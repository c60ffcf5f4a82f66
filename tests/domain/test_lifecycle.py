"""Which images lifecycle rules act on. AWS: user guide, "Lifecycle policies" and its examples."""

from __future__ import annotations

from typing import Any

import pytest

from ecrate.domain.lifecycle import (
    Evaluation,
    LifecycleImage,
    evaluate,
)
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import Digest
from tests.support.core import START
from tests.support.lifecycle import (
    ARCHIVE,
    archived,
    image,
    names_of,
    policy,
    rule,
)

Images = list[LifecycleImage]


def judge(images: Images, *rules: Any) -> Evaluation:
    return evaluate(images, parse_lifecycle_policy(policy(*rules)).rules, START)


def tagged(priority: int, *patterns: str, **members: Any) -> dict[str, Any]:
    return rule(priority, "tagged", tagPatternList=list(patterns), **members)


BETA_AND_PROD = [
    image("A", "beta-1", "prod-1", days=10),
    image("B", "beta-2", "prod-2", days=9),
    image("C", "beta-3", days=8),
]
SOME_BOTH = [
    image("A", "alpha-1", days=12),
    image("B", "beta-1", days=11),
    image("C", "alpha-2", "beta-2", days=10),
    image("D", "alpha-3", days=4),
    image("E", "beta-3", days=3),
    image("F", "alpha-4", "beta-4", days=2),
]
ALL_BOTH = [
    image("A", "alpha-1", "beta-1", "gamma-1", days=10),
    image("B", "alpha-2", "beta-2", days=9),
    image("C", "alpha-3", "beta-3", "gamma-2", days=8),
]
FOUR = [
    image("A", "alpha-1", days=4),
    image("B", "beta-1", days=3),
    image("C", days=2),
    image("D", "alpha-2", days=1),
]
ALL_KINDS = [
    image("A", "alpha-1", "beta-1", days=4),
    image("B", days=3),
    image("C", "alpha-2", days=2),
    image("D", "githash", days=1),
    image("E", days=1),
]


@pytest.mark.parametrize(
    ("images", "rules", "expected"),
    [
        pytest.param(
            [image("A", "prod-1", days=15), image("B", "prod-2", days=13), image("C", days=99)],
            [tagged(1, "prod*", countType="sinceImagePushed", countNumber=14)],
            [("A", 1)],
            id="age",
        ),
        pytest.param(
            [image("A", days=3), image("B", "v1", days=2), image("C", days=1)],
            [rule(1, "untagged")],
            [("A", 1)],
            id="count",
        ),
        pytest.param(
            BETA_AND_PROD, [tagged(1, "prod*"), tagged(2, "beta*")], [("A", 1)], id="multiple-a"
        ),
        pytest.param(
            BETA_AND_PROD,
            [tagged(1, "beta*"), tagged(2, "prod*")],
            [("A", 1), ("B", 1)],
            id="multiple-b",
        ),
        pytest.param(
            SOME_BOTH,
            [tagged(1, "alpha*", "beta*", countType="sinceImagePushed", countNumber=5)],
            [("C", 1)],
            id="several-tags-a",
        ),
        pytest.param(
            ALL_BOTH, [tagged(1, "alpha*", "beta*")], [("A", 1), ("B", 1)], id="several-tags-b"
        ),
        pytest.param(FOUR, [rule(1)], [("A", 1), ("B", 1), ("C", 1)], id="all-a"),
        pytest.param(
            ALL_KINDS,
            [
                tagged(1, "alpha*"),
                rule(2, "untagged", countType="sinceImagePushed"),
                rule(3),
            ],
            [("A", 1), ("B", 2), ("D", 3)],
            id="all-b",
        ),
        pytest.param(
            [image("A", "prod", days=31), image("B", "prod-b", days=30), image("C", days=99)],
            [tagged(1, "prod*", countType="sinceImagePushed", countNumber=30, action=ARCHIVE)],
            [("A", 1)],
            id="archive-by-age",
        ),
        pytest.param(
            [
                image("A", days=400, last_pulled_at=89),
                image("B", days=400, last_pulled_at=91),
                image("C", days=91),
                image("D", days=89),
            ],
            [rule(1, countType="sinceImagePulled", countNumber=90, action=ARCHIVE)],
            [("B", 1), ("C", 1)],
            id="archive-by-last-pull",
        ),
        pytest.param(
            [archived("A", days=366), archived("B", days=364), image("C", days=31)],
            [
                rule(1, countType="sinceImagePushed", countNumber=30, action=ARCHIVE),
                rule(
                    2,
                    countType="sinceImageTransitioned",
                    storageClass="archive",
                    countNumber=365,
                ),
            ],
            [("A", 2), ("C", 1)],
            id="archive-then-expire",
        ),
    ],
)
def test_evaluate_judges_as_the_documented_examples(
    images: Images, rules: list[Any], expected: list[Any]
) -> None:
    evaluation = judge(images, *rules)

    assert names_of(evaluation.verdicts, images) == expected


@pytest.mark.parametrize(
    "given_as",
    [
        pytest.param({"tagPrefixList": ["prod", "beta"]}, id="prefixes"),
        pytest.param({"tagPatternList": ["prod*", "beta*"]}, id="patterns"),
    ],
)
def test_evaluate_takes_prefixes_and_patterns_alike(given_as: Any) -> None:
    evaluation = judge(BETA_AND_PROD, rule(1, "tagged", **given_as))

    assert names_of(evaluation.verdicts, BETA_AND_PROD) == [("A", 1)]


@pytest.mark.parametrize(
    ("pattern", "tags"),
    [
        pytest.param("prod", ["prod"], id="exact"),
        pytest.param("prod*", ["prod", "prod1", "production-team1"], id="begins"),
        pytest.param("*prod", ["prod", "x-prod"], id="ends"),
        pytest.param("*prod*", ["prod", "prod1", "production-team1", "repo-production", "x-prod"],
                     id="contains"),
        pytest.param("p*d", ["prod"], id="both-ends"),
        pytest.param("prod*d", [], id="ends-do-not-overlap"),
        pytest.param("*o*d*", ["prod", "prod1", "production-team1", "repo-production", "x-prod"],
                     id="in-order"),
        pytest.param("*d*o*d*", [], id="not-in-order"),
        pytest.param("PROD*", [], id="case"),
        pytest.param("pr.d", [], id="no-regular-expression"),
        pytest.param("*\n*", [], id="line-feed"),
    ],
)  # fmt: skip
def test_evaluate_matches_patterns_against_whole_tags(pattern: str, tags: list[str]) -> None:
    known = ["prod", "prod1", "production-team1", "repo-production", "x-prod"]
    images = [image(tag, tag, days=2) for tag in known]

    verdicts = judge(images, tagged(1, pattern, countType="sinceImagePushed")).verdicts

    assert sorted(verdict.image.tags[0] for verdict in verdicts) == sorted(tags)


def test_evaluate_takes_a_prefix_literally() -> None:
    images = [image("A", "prod", days=2)]

    evaluation = judge(images, rule(1, "tagged", tagPrefixList=["*"], countType="sinceImagePushed"))

    assert evaluation.verdicts == ()


def test_evaluate_matches_a_tag_of_many_repetitions_in_no_time() -> None:
    images = [image("A", "a" * 128, days=2)]

    evaluation = judge(images, tagged(1, "*a*a*a*b", countType="sinceImagePushed"))

    assert evaluation.verdicts == ()


def test_evaluate_shields_what_a_higher_rule_matches_and_leaves() -> None:
    images = [image("A", "prod", days=3), image("B", "dev", days=2), image("C", days=1)]

    evaluation = judge(images, tagged(1, "prod*", countNumber=9999), rule(2))

    assert names_of(evaluation.verdicts, images) == [("B", 2)]


def test_evaluate_applies_rules_by_priority_whatever_their_order() -> None:
    evaluation = judge(BETA_AND_PROD, tagged(20, "beta*"), tagged(10, "prod*"))

    assert names_of(evaluation.verdicts, BETA_AND_PROD) == [("A", 10)]


def test_evaluate_spares_an_image_as_old_as_the_limit() -> None:
    images = [image("A", days=5), image("B", days=5.001)]

    evaluation = judge(images, rule(1, countType="sinceImagePushed", countNumber=5))

    assert names_of(evaluation.verdicts, images) == [("B", 1)]


def test_evaluate_takes_the_later_of_two_pushed_at_once_for_younger() -> None:
    images = [image("A", days=1), image("B", days=1)]

    evaluation = judge(images, rule(1))

    assert names_of(evaluation.verdicts, images) == [("A", 1)]


def test_evaluate_gives_the_oldest_first() -> None:
    images = [image("A", days=2), image("B", "x", days=4), image("C", "y", days=3)]

    evaluation = judge(
        images,
        tagged(1, "y", countType="sinceImagePushed"),
        tagged(2, "x", countType="sinceImagePushed"),
        rule(3, countType="sinceImagePushed"),
    )

    assert names_of(evaluation.verdicts, images) == [("B", 2), ("C", 1), ("A", 3)]


@pytest.mark.parametrize(
    ("count_type", "members", "is_taken"),
    [
        pytest.param("sinceImagePushed", {"last_activated_at": 5}, False, id="pushed-restored"),
        pytest.param("sinceImagePushed", {"last_activated_at": 15}, True, id="restored-long-ago"),
        pytest.param("sinceImagePushed", {"last_activated_at": -0.01}, False, id="being-restored"),
        pytest.param("sinceImagePushed", {"last_pulled_at": 5}, True, id="pull-does-not-count"),
        pytest.param("sinceImagePulled", {"last_activated_at": 5}, False, id="pulled-restored"),
        pytest.param(
            "sinceImagePulled",
            {"last_activated_at": 5, "last_pulled_at": 50},
            False,
            id="pulled-before-it-was-restored",
        ),
        pytest.param(
            "sinceImagePulled",
            {"last_activated_at": 50, "last_pulled_at": 5},
            False,
            id="pulled-since-it-was-restored",
        ),
        pytest.param(
            "sinceImagePulled",
            {"last_activated_at": 50, "last_pulled_at": 15},
            True,
            id="restored-and-pulled-long-ago",
        ),
    ],
)
def test_evaluate_counts_from_a_restore(count_type: str, members: Any, *, is_taken: bool) -> None:
    images = [image("A", days=100, **members)]

    evaluation = judge(images, rule(1, countType=count_type, countNumber=10, action=ARCHIVE))

    assert bool(evaluation.verdicts) == is_taken


def test_evaluate_orders_a_restored_image_by_its_restore() -> None:
    images = [image("A", days=100, last_activated_at=1), image("B", days=2)]

    evaluation = judge(images, rule(1))

    assert names_of(evaluation.verdicts, images) == [("B", 1)]


def test_evaluate_leaves_the_archive_to_its_own_rules() -> None:
    images = [archived("A", days=100), image("B", days=1), image("C", days=1)]

    evaluation = judge(images, rule(1))

    assert names_of(evaluation.verdicts, images) == [("B", 1)]


@pytest.mark.parametrize(
    ("action", "members", "is_taken"),
    [
        pytest.param(None, {}, True, id="expire"),
        pytest.param(None, {"is_referenced_by_index": True}, False, id="expire-child-of-archived"),
        pytest.param(ARCHIVE, {}, True, id="archive"),
        pytest.param(
            ARCHIVE, {"is_referenced_by_index": True}, True, id="archive-child-of-archived"
        ),
        pytest.param(
            ARCHIVE,
            {"is_referenced_by_index": True, "is_referenced_by_active_index": True},
            False,
            id="archive-child",
        ),
    ],
)
def test_evaluate_spares_what_an_index_refers_to(
    action: Any, members: Any, *, is_taken: bool
) -> None:
    images = [image("A", days=9, **members)]
    given_action = {} if action is None else {"action": action}

    evaluation = judge(images, rule(1, countType="sinceImagePushed", **given_action))

    assert bool(evaluation.verdicts) == is_taken


def test_evaluate_counts_what_an_index_refers_to() -> None:
    images = [image("A", days=3), image("B", days=2, is_referenced_by_index=True)]

    evaluation = judge(images, rule(1, "untagged"))

    assert names_of(evaluation.verdicts, images) == [("A", 1)]


def test_evaluate_lets_referrers_follow_their_subject() -> None:
    images = [
        image("A", "v1", days=3),
        image("B", days=3, subject="A"),
        image("C", days=1, subject="B"),
        image("D", "v2", days=2),
        image("E", days=2, subject="D"),
    ]

    evaluation = judge(images, rule(1, countNumber=1))

    assert names_of(evaluation.verdicts, images) == [("A", 1), ("B", 1), ("C", 1)]
    assert [verdict.is_following for verdict in evaluation.verdicts] == [False, True, True]


def test_evaluate_does_not_judge_the_referrers_of_what_is_kept() -> None:
    images = [image("A", "v1", days=3), image("B", days=300, subject="A")]

    evaluation = judge(images, rule(1, "untagged", countType="sinceImagePushed"))

    assert evaluation.verdicts == ()


def test_evaluate_judges_what_is_about_nothing_here() -> None:
    images = [image("A", days=300, subject="elsewhere")]

    evaluation = judge(images, rule(1, "untagged", countType="sinceImagePushed"))

    assert names_of(evaluation.verdicts, images) == [("A", 1)]


def test_evaluate_keeps_a_referrer_that_an_index_refers_to_with_all_about_it() -> None:
    images = [
        image("A", days=3),
        image("B", days=3, subject="A", is_referenced_by_index=True),
        image("C", days=3, subject="B"),
    ]

    evaluation = judge(images, rule(1, countType="sinceImagePushed"))

    assert names_of(evaluation.verdicts, images) == [("A", 1)]


def test_evaluate_does_not_archive_a_referrer_twice() -> None:
    images = [
        image("A", days=3),
        archived("B", days=1, subject="A"),
        image("C", days=3, subject="B"),
    ]

    evaluation = judge(images, rule(1, countType="sinceImagePushed", action=ARCHIVE))

    assert names_of(evaluation.verdicts, images) == [("A", 1), ("C", 1)]


@pytest.mark.parametrize(
    ("stray", "is_taken"),
    [
        pytest.param(image("A", days=0, subject="X", has_lost_subject=True), True, id="untagged"),
        pytest.param(
            image("A", "mine", days=0, subject="X", has_lost_subject=True), False, id="tagged"
        ),
        pytest.param(
            image("A", days=0, subject="X", has_lost_subject=True, is_referenced_by_index=True),
            False,
            id="in-an-index",
        ),
        pytest.param(image("A", days=0, subject="X"), False, id="never-had-it"),
    ],
)
def test_evaluate_expires_what_has_lost_its_subject(
    stray: LifecycleImage, *, is_taken: bool
) -> None:
    images = [stray, image("B", days=0, subject="A")]

    evaluation = judge(images, rule(1, countNumber=99))

    assert names_of(evaluation.strays, images) == [("A", 0), ("B", 0)][: 2 * is_taken]
    assert evaluation.verdicts == ()


def test_evaluate_archives_what_is_about_archived_images() -> None:
    images = [
        archived("A", days=1),
        image("B", days=1, subject="A"),
        image("C", days=1, subject="B"),
        image("D", days=1, subject="A", is_referenced_by_active_index=True),
        archived("E", days=1, subject="A"),
    ]

    evaluation = judge(images, rule(1, countNumber=99))

    assert names_of(evaluation.strays, images) == [("B", 0), ("C", 0)]
    assert {verdict.action for verdict in evaluation.strays} == {"transition"}


def test_evaluate_comes_to_an_end_where_images_are_about_each_other() -> None:
    images = [
        archived("A", days=1, subject="B"),
        image("B", days=1, subject="A"),
    ]

    evaluation = judge(images, rule(1, countNumber=99))

    assert names_of(evaluation.strays, images) == [("B", 0)]


def test_evaluate_tells_what_a_count_relies_on() -> None:
    images = [image(name, "x", days=days) for name, days in zip("ABCD", (4, 3, 2, 1), strict=True)]

    evaluation = judge(images, tagged(1, "x", countNumber=2), rule(2))

    assert {priority: set(kept) for priority, kept in evaluation.kept.items()} == {
        1: {images[2], images[3]}
    }


def test_evaluate_does_not_rely_on_what_it_condemns() -> None:
    images = [image("A", "x", days=3), image("B", "y", "x", days=2), image("C", "y", days=1)]

    evaluation = judge(images, tagged(1, "y"), tagged(2, "x"))

    assert names_of(evaluation.verdicts, images) == [("A", 2), ("B", 1)]
    assert evaluation.kept == {1: [images[2]], 2: []}


def test_evaluate_judges_nothing_where_there_is_nothing() -> None:
    evaluation = judge([], tagged(1, "x", countType="sinceImagePushed"), rule(2))

    assert evaluation == Evaluation((), (), {})


def test_evaluate_manages_a_full_repository() -> None:
    images = [
        LifecycleImage(
            id=place,
            digest=Digest(f"sha256:{place:064x}"),
            tags=(f"{'prod' if place % 2 else 'beta'}-{place % 50}-{place}",),
            pushed_at=START - place * 60,
        )
        for place in range(100_000)
    ]
    rules = [tagged(1 + at, f"*-{at}-*", countNumber=1000) for at in range(49)]

    evaluation = judge(images, *rules, rule(50, countNumber=99_000))

    assert len(evaluation.verdicts) == 49 * 1000 + 20
