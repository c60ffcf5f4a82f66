"""The text of lifecycle policies: what is taken, and what is said of what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.lifecycle import LifecycleRule, TagPattern
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from tests.support.lifecycle import ARCHIVE, EXPIRE, policy, rule

NOT_A_POLICY = "Could not map policyString into LifecyclePolicy.'"
NO_ACTION = "instance failed to match exactly one schema (matched 0 out of 2)\n'"
NO_SELECTION = "instance failed to match exactly one schema (matched 0 out of 4)\n'"
NO_LIST = "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.'"
EMPTY_LIST = "tagPrefixList and tagPatternList must be empty when tagStatus is not TAGGED.'"
ANY_LAST = "Rule for tagStatus=ANY must have the lowest priority per storage class'"
ONE_UNTAGGED = "Only one rule can select Untagged images per storage class.'"
UNIQUE = "Tag prefixes must be unique across rules'"
AGE: dict[str, Any] = {"countType": "sinceImagePushed"}
IN_ARCHIVE: dict[str, Any] = {
    "countType": "sinceImageTransitioned",
    "storageClass": "archive",
    "countNumber": 90,
}


def refusal_of(text: str) -> str:
    """Give what is said of a policy behind what is always said."""
    with pytest.raises(InvalidParameter) as refused:
        parse_lifecycle_policy(text)
    prefix = (
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
        "'Lifecycle policy validation failure: "
    )
    assert str(refused.value).startswith(prefix)
    return str(refused.value).removeprefix(prefix)


def wrong_type(found: str, allowed: str) -> str:
    return (
        f"instance type ({found}) does not match any allowed primitive type "
        f'(allowed: ["{allowed}"])\''
    )


def too_low(minimum: int, found: int) -> str:
    return (
        "numeric instance is lower than the required minimum "
        f"(minimum: {minimum}, found: {found})\n'"
    )


def missing(names: str) -> str:
    return f"object has missing required properties ([{names}])'"


def unknown(names: str) -> str:
    return f"object instance has properties which are not allowed by the schema: ([{names}])'"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        pytest.param("some invalid input", NOT_A_POLICY, id="no-json"),
        pytest.param('["rules"]', NOT_A_POLICY, id="list"),
        pytest.param('"rules"', NOT_A_POLICY, id="string"),
        pytest.param('{"rules": NaN}', NOT_A_POLICY, id="no-number"),
        pytest.param("[" * 20_000, NOT_A_POLICY, id="deep"),
        pytest.param('{"rules": [' + "9" * 5_000 + "]}", NOT_A_POLICY, id="long-number"),
        pytest.param("{}", missing('"rules"'), id="no-rules"),
        pytest.param(policy(rule(1), version=1), unknown('"version"'), id="unknown"),
        pytest.param(
            policy(rule(1), b=1, a=1, é=1), unknown('"a","b","\\u00e9"'), id="unknown-ones"
        ),
        pytest.param('{"rules": {}}', wrong_type("object", "array"), id="no-list"),
        pytest.param(
            '{"rules": []}',
            "array is too short: must have at least 1 elements but instance has 0 elements'",
            id="empty",
        ),
        pytest.param(
            policy(*[rule(1)] * 51),
            "array is too long: must have at most 50 elements but instance has 51 elements'",
            id="too-many",
        ),
    ],
)
def test_parse_refuses_what_is_no_policy(text: str, refusal: str) -> None:
    assert refusal_of(text) == refusal


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        pytest.param({"rulePriority": None}, missing('"rulePriority"'), id="priority"),
        pytest.param({"selection": None}, missing('"selection"'), id="selection"),
        pytest.param(
            {"action": None, "selection": None}, missing('"action","selection"'), id="two"
        ),
        pytest.param({"unknown": 123}, unknown('"unknown"'), id="unknown"),
        pytest.param({"rulePriority": 0}, too_low(1, 0), id="priority-zero"),
        pytest.param({"rulePriority": "1"}, wrong_type("string", "integer"), id="priority-text"),
        pytest.param({"rulePriority": True}, wrong_type("boolean", "integer"), id="priority-bool"),
        pytest.param({"rulePriority": 1.5}, wrong_type("number", "integer"), id="priority-half"),
        pytest.param({"rulePriority": 2**31}, NOT_A_POLICY, id="priority-huge"),
        pytest.param({"description": 1}, wrong_type("integer", "string"), id="description"),
        pytest.param({"selection": []}, wrong_type("array", "object"), id="selection-list"),
        pytest.param({"action": "expire"}, wrong_type("string", "object"), id="action-text"),
        pytest.param({"action": {}}, missing('"type"'), id="no-action-type"),
        pytest.param({"action": {**EXPIRE, "x": 1}}, unknown('"x"'), id="action-unknown"),
        pytest.param(
            {"action": {"type": "keep"}},
            'instance value ("keep") not found in enum (possible values: '
            '["expire","transition"])\'',
            id="action-keep",
        ),
        pytest.param({"action": {"type": "transition"}}, NO_ACTION, id="transition-without-target"),
        pytest.param(
            {"action": {"type": "transition", "targetStorageClass": "standard"}},
            NO_ACTION,
            id="transition-to-standard",
        ),
        pytest.param(
            {"action": {"type": "expire", "targetStorageClass": "archive"}},
            NO_ACTION,
            id="expire-with-target",
        ),
    ],
)
def test_parse_refuses_a_rule(changes: dict[str, Any], refusal: str) -> None:
    changed = {**rule(1), **changes}
    kept = {name: value for name, value in changed.items() if value is not None}

    assert refusal_of(policy(kept)) == refusal


def test_parse_refuses_null_for_the_target_of_an_expiry() -> None:
    text = policy(rule(1, action={"type": "expire", "targetStorageClass": None}))

    assert refusal_of(text) == NO_ACTION


def test_parse_refuses_a_rule_that_is_no_object() -> None:
    assert refusal_of(policy("not_dict")) == wrong_type("string", "object")


@pytest.mark.parametrize(
    ("status", "members", "refusal"),
    [
        pytest.param("any", {"tagStatus": None}, missing('"tagStatus"'), id="no-status"),
        pytest.param("any", {"countType": None}, missing('"countType"'), id="no-count-type"),
        pytest.param("any", {"countNumber": None}, missing('"countNumber"'), id="no-number"),
        pytest.param("any", {"unknown": 123}, unknown('"unknown"'), id="unknown"),
        pytest.param(
            "TAGGED",
            {},
            'instance value ("TAGGED") not found in enum (possible values: '
            '["any","tagged","untagged"])\'',
            id="status",
        ),
        pytest.param("any", {"countType": "unknown"}, NO_SELECTION, id="count-type"),
        pytest.param("any", {"countType": 1}, NO_SELECTION, id="count-type-number"),
        pytest.param("any", {**AGE, "countUnit": "weeks"}, NO_SELECTION, id="unit"),
        pytest.param("any", {**AGE, "countUnit": None}, NO_SELECTION, id="age-without-unit"),
        pytest.param("any", {"countUnit": "days"}, NO_SELECTION, id="count-with-unit"),
        pytest.param("any", {"countNumber": 0}, too_low(1, 0), id="zero"),
        pytest.param("any", {"countNumber": -1}, too_low(1, -1), id="negative"),
        pytest.param("any", {"countNumber": 2**31}, NOT_A_POLICY, id="huge"),
        pytest.param("any", {"storageClass": "archive"}, NO_SELECTION, id="count-in-archive"),
        pytest.param("any", {**AGE, "storageClass": "archive"}, NO_SELECTION, id="age-in-archive"),
        pytest.param(
            "any", {**IN_ARCHIVE, "storageClass": None}, NO_SELECTION, id="archive-not-said"
        ),
        pytest.param(
            "any", {**IN_ARCHIVE, "storageClass": "standard"}, NO_SELECTION, id="archive-denied"
        ),
        pytest.param("any", {**IN_ARCHIVE, "countNumber": 89}, too_low(90, 89), id="too-early"),
        pytest.param("any", {**IN_ARCHIVE, "action": ARCHIVE}, NO_ACTION, id="archive-twice"),
        pytest.param("any", {"countType": "sinceImagePulled"}, NO_ACTION, id="expire-by-pull"),
        pytest.param("tagged", {}, NO_LIST, id="no-list"),
        pytest.param("tagged", {"tagPrefixList": []}, NO_LIST, id="empty-list"),
        pytest.param(
            "tagged",
            {"tagPrefixList": ["a"], "tagPatternList": ["b"]},
            "Only one of tagPrefixList and tagPatternList may be specified.'",
            id="two-lists",
        ),
        pytest.param("any", {"tagPrefixList": ["a"]}, EMPTY_LIST, id="list-for-any"),
        pytest.param("untagged", {"tagPatternList": ["a"]}, EMPTY_LIST, id="list-for-untagged"),
        pytest.param(
            "tagged", {"tagPrefixList": "a"}, wrong_type("string", "array"), id="list-text"
        ),
        pytest.param(
            "tagged", {"tagPatternList": [1]}, wrong_type("integer", "string"), id="list-of-numbers"
        ),
        pytest.param(
            "tagged",
            {"tagPrefixList": [""]},
            'string "" is too short (length: 0, required minimum: 1)\'',
            id="empty-prefix",
        ),
        pytest.param(
            "tagged",
            {"tagPatternList": ["test*1*2*3*4*5*6"]},
            "tagPatternList may contain at most 4 wildcards per pattern'",
            id="wildcards",
        ),
    ],
)
def test_parse_refuses_a_selection(status: str, members: dict[str, Any], refusal: str) -> None:
    text = policy(rule(1, **{"tag_status": status, **members}))

    assert refusal_of(text) == refusal


@pytest.mark.parametrize(
    ("rules", "refusal"),
    [
        pytest.param(
            [rule(1, "untagged"), rule(1)],
            "Duplicate rule priorities are not allowed: [1]'",
            id="priority",
        ),
        pytest.param([rule(1, "untagged"), rule(2, "untagged")], ONE_UNTAGGED, id="untagged"),
        pytest.param([rule(1), rule(2, "untagged")], ANY_LAST, id="any-first"),
        pytest.param([rule(2), rule(1)], ANY_LAST, id="any-twice"),
        pytest.param(
            [
                rule(1, "tagged", tagPrefixList=["a", "b"]),
                rule(2, "tagged", tagPrefixList=["b", "a"]),
            ],
            UNIQUE,
            id="prefixes",
        ),
        pytest.param(
            [rule(1, "tagged", tagPatternList=["a*"]), rule(2, "tagged", tagPatternList=["a*"])],
            UNIQUE,
            id="patterns",
        ),
    ],
)
def test_parse_refuses_rules_that_do_not_go_together(rules: list[Any], refusal: str) -> None:
    assert refusal_of(policy(*rules)) == refusal


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([rule(5), rule(1, "untagged")], id="any-last-by-priority"),
        pytest.param([rule(1), rule(2, **IN_ARCHIVE)], id="any-in-both-classes"),
        pytest.param(
            [rule(1, "untagged"), rule(2, "untagged", **IN_ARCHIVE)], id="untagged-in-both-classes"
        ),
        pytest.param(
            [
                rule(1, "tagged", tagPatternList=["a"], action=ARCHIVE),
                rule(2, "tagged", tagPatternList=["a"], **IN_ARCHIVE),
            ],
            id="list-in-both-classes",
        ),
        pytest.param(
            [
                rule(1, "tagged", tagPatternList=["a"]),
                rule(2, "tagged", tagPatternList=["a", "b"]),
                rule(3, "tagged", tagPrefixList=["a"]),
            ],
            id="other-lists",
        ),
        pytest.param([rule(1, tagPrefixList=[], tagPatternList=[])], id="empty-lists-for-any"),
        pytest.param(
            [rule(1, "tagged", tagPrefixList=["a"], tagPatternList=[])], id="one-empty-list"
        ),
        pytest.param(
            [rule(1, "tagged", tagPatternList=["*test*1*2*3", "test*1*2*3*"])], id="four-wildcards"
        ),
        pytest.param([rule(1, storageClass="standard")], id="standard-said"),
        pytest.param([rule(at, "tagged", tagPrefixList=[str(at)]) for at in range(1, 51)], id="50"),
    ],
)
def test_parse_takes_rules_that_go_together(rules: list[Any]) -> None:
    parsed = parse_lifecycle_policy(policy(*rules))

    assert sorted(one.priority for one in parsed.rules) == sorted(
        one["rulePriority"] for one in rules
    )


def test_parse_gives_rules_in_order_of_priority() -> None:
    text = policy(
        rule(7, countType="sinceImagePulled", countNumber=90, action=ARCHIVE),
        rule(3, "tagged", tagPrefixList=["v*"], countNumber=4),
        rule(5, "tagged", tagPatternList=["v*-rc", "*"], **AGE),
        rule(9, "untagged", **IN_ARCHIVE),
    )

    parsed = parse_lifecycle_policy(text)

    assert parsed.text == text
    assert parsed.rules == (
        LifecycleRule(3, "tagged", (TagPattern(("v*", "")),), "imageCountMoreThan", 4, "expire"),
        LifecycleRule(
            5,
            "tagged",
            (TagPattern(("v", "-rc")), TagPattern(("", ""))),
            "sinceImagePushed",
            1,
            "expire",
        ),
        LifecycleRule(7, "any", (), "sinceImagePulled", 90, "transition"),
        LifecycleRule(9, "untagged", (), "sinceImageTransitioned", 90, "expire"),
    )


def test_parse_does_not_ask_for_a_description() -> None:
    described = rule(1)
    del described["description"]

    assert len(parse_lifecycle_policy(json.dumps({"rules": [described]})).rules) == 1
