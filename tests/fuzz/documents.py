"""Policy documents under attack: lifecycle policies, IAM's policies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.lifecycle import evaluate
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.policies import (
    InvalidPolicyError,
    PolicyKind,
    Principal,
    Request,
    decide,
    parse_policy,
)
from tests.fuzz.target import Target, attempt
from tests.fuzz.texts import anything, as_json, spoiled_bytes
from tests.support.core import START
from tests.support.lifecycle import archived, image

_ACCOUNT = "123456789012"
_ARN = f"arn:aws:iam::{_ACCOUNT}:user/alice"
_RESOURCE = f"arn:aws:ecr:us-east-1:{_ACCOUNT}:repository/one"
_IMAGES = [image("a", "v1", days=9), image("b", days=99), archived("c", "v2", days=100)]


def check_lifecycle_policy(content: bytes) -> None:
    """What is accepted keeps every rule of the grammar, and can be carried out."""
    text = content.decode(errors="replace")
    found = attempt((InvalidParameter,), parse_lifecycle_policy, text)
    if isinstance(found, InvalidParameter):
        assert found.member == "LifecyclePolicyText"
        assert found.constraint.encode()
        return
    document = json.loads(text)
    assert document.keys() == {"rules"}
    assert 1 <= len(document["rules"]) <= 50
    assert len(found.rules) == len({rule.priority for rule in found.rules})
    assert all(map(_is_rule, document["rules"]))
    for storage_class in ("standard", "archive"):
        _check_together([rule for rule in document["rules"] if _class(rule) == storage_class])
    evaluate(_IMAGES, found.rules, START)


def _class(rule: Any) -> str:
    return str(rule["selection"].get("storageClass", "standard"))


def _is_rule(rule: Any) -> bool:
    """Read section 6.1 of the grammar once more, all rules of one rule."""
    selection, action = rule["selection"], rule["action"]
    kind, is_tagged = selection["countType"], selection["tagStatus"] == "tagged"
    lists = [selection.get(name) or [] for name in ("tagPatternList", "tagPrefixList")]
    actions = {
        "imageCountMoreThan": {"expire", "transition"},
        "sinceImagePushed": {"expire", "transition"},
        "sinceImagePulled": {"transition"},
        "sinceImageTransitioned": {"expire"},
    }
    return all(
        [
            rule.keys() <= {"rulePriority", "description", "selection", "action"},
            isinstance(rule.get("description", ""), str),
            rule["rulePriority"] >= 1 and selection["countNumber"] >= 1,
            selection["tagStatus"] in {"tagged", "untagged", "any"},
            sum(map(bool, lists)) == (1 if is_tagged else 0),
            all(isinstance(tag, str) and tag for tags in lists for tag in tags),
            all(pattern.count("*") <= 4 for pattern in lists[0]),
            selection.get("countUnit") == (None if kind == "imageCountMoreThan" else "days"),
            (_class(rule) == "archive") == (kind == "sinceImageTransitioned"),
            action["type"] in actions[kind],
            action.get("targetStorageClass")
            == ("archive" if action["type"] == "transition" else None),
            kind != "sinceImageTransitioned" or selection["countNumber"] >= 90,
        ]
    )


def _check_together(rules: list[Any]) -> None:
    """Per storage class: one rule for the untagged, one for any, and that one comes last."""
    statuses = [rule["selection"]["tagStatus"] for rule in rules]
    assert statuses.count("untagged") <= 1
    assert statuses.count("any") <= 1
    last = max((rule["rulePriority"] for rule in rules), default=0)
    assert all(
        rule["rulePriority"] == last for rule in rules if rule["selection"]["tagStatus"] == "any"
    )


_selections = st.fixed_dictionaries(
    {
        "tagStatus": st.sampled_from(["tagged", "untagged", "any"]),
        "countType": st.sampled_from(
            ["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]
        ),
        "countNumber": st.sampled_from([1, 2, 90, 365]),
    },
    optional={
        "tagPatternList": st.lists(st.sampled_from(["v*", "*", "a*b*c*d*e", "*****"]), max_size=2),
        "tagPrefixList": st.lists(st.sampled_from(["v", "", "prod"]), max_size=2),
        "storageClass": st.sampled_from(["standard", "archive"]),
        "countUnit": st.just("days"),
    },
)
_rules = st.fixed_dictionaries(
    {
        "rulePriority": st.integers(1, 4),
        "selection": _selections,
        "action": st.sampled_from(
            [{"type": "expire"}, {"type": "transition", "targetStorageClass": "archive"}]
        ),
    },
    optional={"description": st.text(max_size=5)},
)


def _with_anything(
    good: st.SearchStrategy[dict[str, Any]], *names: str
) -> st.SearchStrategy[dict[str, Any]]:
    """Give good objects, and such with a member replaced by anything, or added."""
    spoilt = st.builds(
        lambda one, name, value: {**one, name: value}, good, st.sampled_from(names), anything
    )
    return good | spoilt


_lifecycle = st.lists(
    _with_anything(_rules, "rulePriority", "selection", "action", "description", "more"), max_size=4
).map(lambda rules: as_json({"rules": rules}))


def check_policy(given: tuple[PolicyKind, bytes]) -> None:
    """What is accepted as a policy decides about a request; an explicit deny always wins."""
    kind, content = given
    text = content.decode(errors="replace")
    found = attempt((InvalidPolicyError,), parse_policy, text, kind)
    if isinstance(found, InvalidPolicyError):
        assert str(found)
        return
    keys = {"aws:username": ("alice",), "aws:sourceip": ("192.0.2.1",), "ecr:resourcetag/a": ("b",)}
    request = Request(Principal(_ARN, _ACCOUNT), "ecr:ListImages", _RESOURCE, keys)
    identity = [found] if kind is PolicyKind.IDENTITY else []
    resource = [] if kind is PolicyKind.IDENTITY else [found]
    decision = decide(request, identity, resource, owner=_ACCOUNT)
    everything = parse_policy(_EVERYTHING, PolicyKind.IDENTITY)
    nothing = parse_policy(_NOTHING, PolicyKind.IDENTITY)
    assert not decide(request, [*identity, nothing], resource, owner=_ACCOUNT).is_allowed
    assert not decision.is_allowed or all(
        statement["Effect"] in ("Allow", "Deny") for statement in _statements(text)
    )
    if not any(statement["Effect"] == "Deny" for statement in _statements(text)):
        assert decide(request, [*identity, everything], resource, owner=_ACCOUNT).is_allowed


def _statements(text: str) -> list[Any]:
    given = json.loads(text)["Statement"]
    return given if isinstance(given, list) else [given]


_EVERYTHING = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
_NOTHING = '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'
_actions = st.sampled_from(["*", "ecr:*", "ecr:List*", "ecr:listimages", "ecr:PutImage", "s3:x"])
_resources = st.sampled_from(["*", _RESOURCE, "arn:aws:ecr:*:*:repository/${aws:username}", "${*}"])
_principals = st.sampled_from(
    ["*", {"AWS": "*"}, {"AWS": [_ACCOUNT, _ARN]}, {"Service": "x.amazonaws.com"}]
)
_conditions = st.dictionaries(
    st.sampled_from(
        [
            "StringEquals", "StringLike", "StringNotEqualsIfExists", "ForAllValues:StringLike",
            "ForAnyValue:StringEquals", "NumericLessThan", "DateGreaterThan", "Bool", "IpAddress",
            "NotIpAddress", "ArnLike", "Null", "BinaryEquals", "Nonsense",
        ]
    ),
    st.dictionaries(
        st.sampled_from(["aws:username", "aws:SourceIp", "ecr:ResourceTag/a", "aws:none", ""]),
        st.sampled_from(
            ["alice", "a*", "192.0.2.0/24", "::1", "true", "2026-01-01T00:00:00Z", "5", "1e999",
             "${aws:username}", "nan", "", ["b", "c"], [], True, 5]
        ) | anything,
        max_size=2,
    ),
    max_size=2,
)  # fmt: skip
_statement = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"])},
    optional={
        "Sid": st.text(max_size=4),
        "Action": _actions | st.lists(_actions, max_size=3),
        "NotAction": _actions,
        "Resource": _resources | st.lists(_resources, max_size=2),
        "NotResource": _resources,
        "Principal": _principals,
        "NotPrincipal": _principals,
        "Condition": _conditions,
    },
)
_elements = ("Sid", "Effect", "Action", "Resource", "Principal", "Condition", "More")
_policies = st.builds(
    lambda version, statements: as_json({"Version": version, "Statement": statements}),
    st.sampled_from(["2012-10-17", "2008-10-17", "2020-01-01"]),
    _with_anything(_statement, *_elements)
    | st.lists(_with_anything(_statement, *_elements), max_size=3),
)

DOCUMENT_TARGETS: list[Target[Any]] = [
    Target("lifecycle-policy", spoiled_bytes(_lifecycle), check_lifecycle_policy),
    Target(
        "policy",
        st.tuples(st.sampled_from(list(PolicyKind)), spoiled_bytes(_policies)),
        check_policy,
    ),
]
