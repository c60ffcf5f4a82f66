"""Conditions of policies: each operator, and whatever else a document may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrate.domain.conditions import InvalidConditionError, parse_conditions
from ecrate.domain.policies import (
    InvalidPolicyError,
    PolicyKind,
    Principal,
    Request,
    decide,
    parse_policy,
)
from tests.support.shapes import ANYTHING

KEY = "aws:username"
ALICE = Principal("arn:aws:iam::111111111111:user/alice", "111111111111")


def holds(block: dict[str, Any], *found: str) -> bool:
    """Tell whether all conditions hold for a request with these values of the key."""
    keys = {KEY: found} if found else {}
    return all(condition.holds(keys) for condition in parse_conditions(block, has_variables=True))


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "expected"),
    [
        pytest.param("StringEquals", "a", "a", True, id="equal"),
        pytest.param("StringEquals", "a", "A", False, id="another-case"),
        pytest.param("StringNotEquals", "a", "b", True, id="not-equal"),
        pytest.param("StringEqualsIgnoreCase", "a", "A", True, id="any-case"),
        pytest.param("StringLike", "a?c*", "abcd", True, id="like"),
        pytest.param("StringLike", "a?c", "ac", False, id="one-is-missing"),
        pytest.param("stringlike", "*\n*", "a\nb", True, id="lines"),
        pytest.param("StringNotLike", "a*", "abc", False, id="not-like"),
        pytest.param("ArnLike", "arn:*:iam::1:user/*", "arn:aws:iam::1:user/a/b", True, id="arn"),
        pytest.param("ArnLike", "arn:*", "arn:aws:iam::1:user/a", False, id="arn-parts"),
        pytest.param("ArnNotEquals", "arn:aws:iam::1:a", "arn:aws:iam::1:b", True, id="arn-not"),
        pytest.param("Bool", True, "TRUE", True, id="truth"),
        pytest.param("Bool", "false", "true", False, id="untruth"),
        pytest.param("BinaryEquals", "QQ==", "QQ==", True, id="binary"),
        pytest.param("IpAddress", "10.0.0.0/8", "10.255.0.1", True, id="network"),
        pytest.param("IpAddress", "10.0.0.1", "10.0.0.2", False, id="address"),
        pytest.param("IpAddress", "2001:db8::/32", "10.0.0.2", False, id="another-kind"),
        pytest.param("IpAddress", "10.0.0.0/8", "alice", False, id="no-address"),
        pytest.param("NotIpAddress", "10.0.0.0/8", "11.0.0.1", True, id="not-network"),
        pytest.param("NumericEquals", 5, "5.0", True, id="number"),
        pytest.param("NumericNotEquals", 5, "6", True, id="not-number"),
        pytest.param("NumericLessThan", 5, "5", False, id="less"),
        pytest.param("NumericLessThanEquals", 5, "5", True, id="less-or-equal"),
        pytest.param("NumericGreaterThan", 5, "5.5", True, id="greater"),
        pytest.param("NumericGreaterThanEquals", 5, "4", False, id="greater-or-equal"),
        pytest.param("NumericEquals", 5, "five", False, id="no-number"),
        pytest.param("NumericLessThanEquals", 5, "nan", False, id="not-a-number"),
        pytest.param("DateEquals", "2024-01-01T00:00:00Z", "1704067200", True, id="date"),
        pytest.param("DateLessThan", "2024-01-01T00:00:00", "2023-12-31T23:59Z", True, id="zone"),
        pytest.param("DateGreaterThan", "1704067200.5", "1704067200", False, id="fraction"),
        pytest.param("DateLessThan", "2024-01-01", "soon", False, id="no-date"),
        pytest.param("DateLessThan", "2024-01-01", "9" * 30, False, id="endless-date"),
        pytest.param("Null", "true", "there", False, id="there"),
        pytest.param("Null", False, "there", True, id="not-null"),
    ],
)
def test_operator_compares(operator: str, wanted: object, value: str, *, expected: bool) -> None:
    assert holds({operator: {KEY: wanted}}, value) == expected


@pytest.mark.parametrize(
    ("operator", "found", "expected"),
    [
        pytest.param("StringEquals", (), False, id="missing"),
        pytest.param("StringEqualsIfExists", (), True, id="if-exists"),
        pytest.param("StringEqualsIfExists", ("c",), False, id="exists"),
        pytest.param("StringNotEquals", (), True, id="negated-missing"),
        pytest.param("StringNotEquals", ("c", "a"), False, id="negated-some"),
        pytest.param("ForAllValues:StringEquals", (), True, id="all-of-none"),
        pytest.param("ForAllValues:StringEquals", ("a", "b"), True, id="all"),
        pytest.param("ForAllValues:StringEquals", ("a", "c"), False, id="not-all"),
        pytest.param("ForAnyValue:StringEquals", ("c", "a"), True, id="any"),
        pytest.param("ForAnyValue:StringEquals", (), False, id="any-of-none"),
        pytest.param("ForAnyValue:StringNotEquals", (), False, id="any-not-of-none"),
        pytest.param("ForAnyValue:StringNotEquals", ("a", "c"), True, id="any-not"),
        pytest.param("Null", (), False, id="null"),
    ],
)
def test_operator_counts_values(operator: str, found: tuple[str, ...], *, expected: bool) -> None:
    wanted = "false" if operator == "Null" else ["a", "b"]

    assert holds({operator: {KEY: wanted}}, *found) == expected


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        pytest.param([], "Condition must be an object", id="list"),
        pytest.param({"StringIs": {KEY: "a"}}, "unknown condition operator StringIs", id="name"),
        pytest.param({"String Equals": {KEY: "a"}}, "unknown condition operator", id="spaces"),
        pytest.param({"ForSome:StringEquals": {KEY: "a"}}, "unknown condition", id="qualifier"),
        pytest.param({"StringEquals": "a"}, "unknown condition operator", id="no-key"),
        pytest.param({"StringEquals": {KEY: []}}, "a condition needs a value", id="no-value"),
        pytest.param({"StringEquals": {KEY: {}}}, "must be texts, numbers or", id="object"),
        pytest.param({"StringEquals": {KEY: [None]}}, "must be texts, numbers or", id="null"),
        pytest.param({"NumericEquals": {KEY: "five"}}, "'five' does not fit", id="no-number"),
        pytest.param({"NumericEquals": {KEY: "nan"}}, "'nan' does not fit", id="not-a-number"),
        pytest.param({"DateEquals": {KEY: "soon"}}, "'soon' does not fit", id="no-date"),
        pytest.param({"DateEquals": {KEY: "9" * 20}}, "does not fit dateequals", id="endless-date"),
        pytest.param({"IpAddress": {KEY: "10.0.0.0/99"}}, "does not fit ipaddress", id="network"),
        pytest.param({"Bool": {KEY: "maybe"}}, "'maybe' does not fit bool", id="no-truth"),
        pytest.param({"Null": {KEY: "perhaps"}}, "'perhaps' does not fit null", id="no-null"),
    ],
)
def test_block_that_means_nothing_is_refused(block: object, complaint: str) -> None:
    with pytest.raises(InvalidConditionError, match=complaint):
        parse_conditions(block, has_variables=True)


def test_value_with_a_variable_is_read_when_it_is_known() -> None:
    (condition,) = parse_conditions(
        {"IpAddress": {KEY: "${aws:RequestTag/net}"}}, has_variables=True
    )

    answers = [
        condition.holds({KEY: ("10.0.0.1",), "aws:requesttag/net": (net,)})
        for net in ("10.0.0.0/8", "11.0.0.0/8", "nowhere")
    ]

    assert answers == [True, False, False]


@pytest.mark.parametrize(
    ("operator", "wanted", "of_tag", "value", "expected"),
    [
        pytest.param("StringLike", "${tag}", "*", "anything", False, id="star-in-a-value"),
        pytest.param("StringLike", "${tag}", "*", "*", True, id="the-star-itself"),
        pytest.param("StringLike", "${tag}", "a?c", "abc", False, id="mark-in-a-value"),
        pytest.param("StringLike", "x${tag}*", "*", "x*z", True, id="star-of-the-policy"),
        pytest.param("StringLike", "x${tag}*", "*", "xyz", False, id="only-that-one"),
        pytest.param("StringNotLike", "${tag}", "*", "anything", True, id="negated"),
        pytest.param("StringLike", "${*}${?}${$}", "", "*?$", True, id="written-literally"),
        pytest.param("StringLike", "${*}", "", "anything", False, id="literally-no-wildcard"),
        pytest.param("StringEquals", "${*}", "", "*", True, id="equals-literally"),
        pytest.param("StringEquals", "a*${tag}", "*", "a**", True, id="equals"),
        pytest.param("StringLike", "${none, '*'}", "", "anything", False, id="star-as-default"),
        pytest.param("StringLike", "${none}", "", "${none}", True, id="unknown-stays"),
        pytest.param("ArnLike", "arn:aws:iam::1:${tag}", "user/*", "arn:aws:iam::1:user/a", False),
        pytest.param("ArnLike", "arn:*:iam::1:${tag}", "user/*", "arn:aws:iam::1:user/*", True),
        pytest.param("ArnLike", "${tag}:*", "arn:aws:iam::1", "arn:aws:iam::1:user/a:b", True),
        pytest.param(
            "ArnEquals", "${tag}", "arn:aws:iam::*:user/a", "arn:aws:iam::1:user/a", False
        ),
    ],
)
def test_values_of_variables_are_no_wildcards(
    operator: str, wanted: str, of_tag: str, value: str, *, expected: bool
) -> None:
    name = "aws:RequestTag/x"
    block = {operator: {KEY: wanted.replace("tag", name)}}
    keys = {KEY: (value,), name.lower(): (of_tag,)}

    (condition,) = parse_conditions(block, has_variables=True)

    assert condition.holds(keys) == expected


def test_block_without_variables_is_taken_at_its_word() -> None:
    (condition,) = parse_conditions({"StringLike": {KEY: "${*}"}}, has_variables=False)

    assert condition.holds({KEY: ("${anything}",)})
    assert not condition.holds({KEY: ("*",)})


conditions = st.dictionaries(
    st.sampled_from(
        ["StringLike", "NumericLessThan", "DateEquals", "IpAddress", "Bool", "Null", "ArnLike"]
    ),
    st.dictionaries(st.sampled_from([KEY, "aws:sourceip", "aws:epochtime"]), ANYTHING, max_size=2),
    max_size=2,
)
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]), "Action": st.sampled_from(["*", "ecr:Put*"])},
    optional={
        "Condition": conditions | ANYTHING,
        "Principal": st.just("*") | ANYTHING,
        "Resource": st.text("*arn:${aws:username}", max_size=12) | ANYTHING,
    },
)
texts = st.builds(
    json.dumps, st.fixed_dictionaries({"Statement": st.lists(statements, max_size=2)}) | ANYTHING
)


@given(text=texts, kind=st.sampled_from(PolicyKind))
def test_any_policy_is_decided_on_or_refused(text: str, kind: PolicyKind) -> None:
    keys = {KEY: ("alice", "nan"), "aws:sourceip": ("not an address",), "aws:epochtime": ("1",)}
    request = Request(ALICE, "ecr:PutImage", "arn:aws:ecr:r:1:repository/a", keys)

    try:
        policies = [parse_policy(text, kind)]
    except InvalidPolicyError:
        policies = []
    decision = decide(request, policies, policies, owner="111111111111")

    assert decision.is_allowed <= bool(policies)
