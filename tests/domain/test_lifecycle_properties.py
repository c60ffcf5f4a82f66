"""Lifecycle rules on random images, judged quickly and slowly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.lifecycle import (
    CountType,
    LifecycleImage,
    LifecycleRule,
    TagPattern,
    TagStatus,
    evaluate,
)
from ecrate.domain.names import Digest
from tests.support.core import DAY, START
from tests.support.lifecycle import (
    groups_of,
    judge_slowly,
)

Images = list[LifecycleImage]

_TAGS = st.sampled_from(["a", "ab", "abc", "b", "ba", "bab", "a-1", "b-1", "prod", "prod-1", "1"])
_WILDCARDS = st.sampled_from(["*", "a", "a*", "*b", "*a*", "b*b", "*-*", "prod*1", "*b*a*", "*-1"])
_COUNT_TYPES: list[CountType] = [
    "imageCountMoreThan",
    "sinceImagePushed",
    "sinceImagePulled",
    "sinceImageTransitioned",
]
_TAG_STATUSES: list[TagStatus] = ["tagged", "untagged", "any"]
_DAYS = st.integers(0, 6)
_AGES = st.none() | _DAYS.map(lambda days: START - days * DAY)
_PLACES = st.none() | st.integers(0, 14)


@st.composite
def _images(draw: st.DrawFn) -> Images:
    count = draw(st.integers(0, 12))
    return [
        LifecycleImage(
            id=place,
            digest=Digest(f"sha256:{place}"),
            tags=tuple(sorted(draw(st.sets(_TAGS, max_size=3)))),
            pushed_at=START - draw(_DAYS) * DAY,
            last_pulled_at=draw(_AGES),
            last_activated_at=draw(_AGES),
            last_archived_at=draw(_AGES),
            is_archived=draw(st.booleans()),
            is_referenced_by_index=draw(st.booleans()),
            is_referenced_by_active_index=draw(st.booleans()),
            subject=draw(_PLACES.map(lambda at: None if at is None else f"sha256:{at}")),
            has_lost_subject=draw(st.booleans()),
        )
        for place in range(count)
    ]


@st.composite
def _rules(draw: st.DrawFn) -> list[LifecycleRule]:
    priorities = draw(st.lists(st.integers(1, 9), unique=True, max_size=5))
    statuses = [draw(st.sampled_from(_TAG_STATUSES)) for _ in priorities]
    return [
        LifecycleRule(
            priority=priority,
            tag_status=status,
            patterns=tuple(map(TagPattern.wildcard, draw(st.lists(_WILDCARDS, min_size=1))))
            if status == "tagged"
            else (),
            count_type=draw(st.sampled_from(_COUNT_TYPES)),
            count_number=draw(st.integers(1, 5)),
            action=draw(st.sampled_from(["expire", "transition"])),
        )
        for priority, status in zip(priorities, statuses, strict=True)
    ]


@given(_images(), _rules())
def test_evaluate_judges_as_one_who_takes_his_time(
    images: Images, rules: list[LifecycleRule]
) -> None:
    evaluation = evaluate(images, rules, START)

    assert groups_of(evaluation.verdicts) == judge_slowly(images, rules, START)


@given(_images(), _rules())
def test_evaluate_condemns_nothing_it_relies_on(images: Images, rules: list[LifecycleRule]) -> None:
    evaluation = evaluate(images, rules, START)

    condemned = {verdict.image.id for verdict in evaluation.verdicts}
    relied_on = {one.id for kept in evaluation.kept.values() for one in kept}
    assert not condemned & relied_on
