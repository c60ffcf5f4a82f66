"""Policies: their grammar, and decisions by IAM's rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecrate.domain.policies import (
    InvalidPolicyError,
    Policy,
    PolicyKind,
    Principal,
    Request,
    decide,
    parse_policy,
)
from tests.support.policies import allow, deny, policy

OWNER, OTHER = "111111111111", "222222222222"
ALICE = Principal(f"arn:aws:iam::{OWNER}:user/alice", OWNER)
ROOT = Principal(f"arn:aws:iam::{OWNER}:root", OWNER, is_root=True)
STRANGER = Principal(f"arn:aws:iam::{OTHER}:user/eve", OTHER)
SESSION = Principal(
    f"arn:aws:sts::{OWNER}:assumed-role/ci/run-1",
    OWNER,
    role_arn=f"arn:aws:iam::{OWNER}:role/ci",
)
NAMELESS = Principal("anonymous", "", is_anonymous=True)
APP = f"arn:aws:ecr:us-east-1:{OWNER}:repository/team/app"


def identity(*statements: dict[str, Any], version: str = "2012-10-17") -> Policy:
    text = json.dumps({"Version": version, "Statement": list(statements)})
    return parse_policy(text, PolicyKind.IDENTITY)


def of_repository(*statements: dict[str, Any]) -> Policy:
    return parse_policy(policy(*statements), PolicyKind.REPOSITORY)


def ask(
    principal: Principal,
    *,
    mine: list[Policy] | None = None,
    theirs: list[Policy] | None = None,
    action: str = "ecr:PutImage",
    resource: str = APP,
    keys: dict[str, str] | None = None,
) -> tuple[bool, str]:
    found = {name: (value,) for name, value in (keys or {}).items()}
    request = Request(principal, action, resource, found)
    decision = decide(request, mine or [], theirs or [], owner=OWNER)
    return decision.is_allowed, decision.reason


ALL = identity(allow("ecr:*", Resource="*"))
NO_IDENTITY = "because no identity-based policy allows the ecr:PutImage action"
NO_RESOURCE = "because no resource-based policy allows the ecr:PutImage action"


@pytest.mark.parametrize(
    ("statement", "is_allowed"),
    [
        pytest.param(allow("ecr:PutImage", Resource="*"), True, id="action"),
        pytest.param(allow("ECR:putimage", Resource="*"), None, id="service-in-capitals"),
        pytest.param(allow("ecr:putIMAGE", Resource="*"), True, id="any-case"),
        pytest.param(allow("ecr:Put*", Resource="*"), True, id="star"),
        pytest.param(allow("ecr:Put?mage", Resource="*"), True, id="question-mark"),
        pytest.param(allow("*", Resource="*"), True, id="everything"),
        pytest.param(allow("ecr:GetImage", Resource="*"), False, id="other-action"),
        pytest.param(allow("ecr:PutImag", Resource="*"), False, id="shorter"),
        pytest.param(allow("ecr:*", Resource=APP), True, id="resource"),
        pytest.param(allow("ecr:*", Resource=f"{APP[:-3]}*"), True, id="resource-star"),
        pytest.param(allow("ecr:*", Resource=f"{APP}2"), False, id="other-resource"),
        pytest.param(allow("ecr:*", Resource=APP.upper()), False, id="resource-case"),
        pytest.param(
            {"Effect": "Allow", "NotAction": "ecr:Get*", "Resource": "*"}, True, id="not-action"
        ),
        pytest.param(
            {"Effect": "Allow", "NotAction": "ecr:Put*", "Resource": "*"}, False, id="not-this"
        ),
        pytest.param(
            {"Effect": "Allow", "Action": "ecr:*", "NotResource": APP}, False, id="not-resource"
        ),
        pytest.param(
            {"Effect": "Allow", "Action": "ecr:*", "NotResource": f"{APP}2"}, True, id="not-other"
        ),
    ],
)
def test_identity_policy_covers(statement: dict[str, Any], is_allowed: bool | None) -> None:  # noqa: FBT001 - a table's column
    if is_allowed is None:
        with pytest.raises(InvalidPolicyError):
            identity(statement)
        return

    answer = ask(ALICE, mine=[identity(statement)])

    assert answer == ((True, "") if is_allowed else (False, NO_IDENTITY))


def test_nothing_is_allowed_that_no_policy_allows() -> None:
    assert ask(ALICE) == (False, NO_IDENTITY)


def test_root_may_do_all_in_its_account() -> None:
    assert ask(ROOT) == (True, "")


def test_explicit_deny_ends_the_matter_even_for_root() -> None:
    everybody = of_repository(deny("ecr:PutImage", Principal="*"))

    answers = ask(ROOT, theirs=[everybody]), ask(ALICE, mine=[ALL], theirs=[everybody])

    assert answers == ((False, "with an explicit deny in a resource-based policy"),) * 2


def test_deny_in_an_identity_policy_wins_over_allows_everywhere() -> None:
    mine = [ALL, identity(deny("ecr:Put*", Resource="*"))]
    theirs = [of_repository(allow("ecr:*", Principal="*"))]

    answer = ask(ALICE, mine=mine, theirs=theirs)

    assert answer == (False, "with an explicit deny in an identity-based policy")


@pytest.mark.parametrize(
    ("principal", "named", "is_allowed"),
    [
        pytest.param(ALICE, ALICE.arn, True, id="user"),
        pytest.param(ALICE, "*", True, id="everybody"),
        pytest.param(ALICE, OWNER, False, id="account-passes-nothing-on-by-itself"),
        pytest.param(ALICE, f"arn:aws:iam::{OWNER}:root", False, id="root-arn-is-the-account"),
        pytest.param(ALICE, f"arn:aws:iam::{OWNER}:user/bob", False, id="other-user"),
        pytest.param(SESSION, SESSION.role_arn, True, id="role-of-a-session"),
        pytest.param(SESSION, SESSION.arn, True, id="session"),
    ],
)
def test_repository_policy_lets_in_within_the_account(
    principal: Principal,
    named: str,
    is_allowed: bool,  # noqa: FBT001 - a table's column
) -> None:
    theirs = [of_repository(allow("ecr:*", Principal={"AWS": named}))]

    answer = ask(principal, theirs=theirs)

    assert answer == ((True, "") if is_allowed else (False, NO_IDENTITY))


@pytest.mark.parametrize("named", [OTHER, f"arn:aws:iam::{OTHER}:root"])
def test_root_of_another_account_is_who_its_account_names(named: str) -> None:
    root = Principal(f"arn:aws:iam::{OTHER}:root", OTHER, is_root=True)
    theirs = [of_repository(allow("ecr:*", Principal={"AWS": named}))]

    answers = ask(root, theirs=theirs), ask(root)

    assert answers == ((True, ""), (False, NO_RESOURCE))


@pytest.mark.parametrize("named", ["*", OTHER, STRANGER.arn, f"arn:aws:iam::{OTHER}:root"])
def test_stranger_needs_both_sides(named: str) -> None:
    theirs = [of_repository(allow("ecr:*", Principal={"AWS": named}))]

    answers = (
        ask(STRANGER, mine=[ALL], theirs=theirs),
        ask(STRANGER, theirs=theirs),
        ask(STRANGER, mine=[ALL]),
    )

    assert answers == ((True, ""), (False, NO_IDENTITY), (False, NO_RESOURCE))


def test_nameless_is_let_in_by_everybody_only() -> None:
    every = of_repository(allow("ecr:*", Principal="*"))
    account = of_repository(allow("ecr:*", Principal={"AWS": OWNER}))

    answers = ask(NAMELESS, theirs=[every]), ask(NAMELESS, theirs=[account])

    assert answers == ((True, ""), (False, NO_RESOURCE))


def test_not_principal_denies_all_others() -> None:
    others = of_repository(
        {"Effect": "Deny", "NotPrincipal": {"AWS": ALICE.arn}, "Action": "ecr:*"}
    )

    answers = ask(ALICE, mine=[ALL], theirs=[others]), ask(SESSION, mine=[ALL], theirs=[others])

    assert [is_allowed for is_allowed, _ in answers] == [True, False]


CONDITIONS = [
    ("StringEquals", "aws:username", "alice", "alice", "bob"),
    ("StringNotEquals", "aws:username", "alice", "bob", "alice"),
    ("StringEqualsIgnoreCase", "aws:username", "Alice", "aLICE", "bob"),
    ("StringNotEqualsIgnoreCase", "aws:username", "Alice", "bob", "ALICE"),
    ("StringLike", "aws:username", "al*", "alice", "bob"),
    ("StringNotLike", "aws:username", "al*", "bob", "alice"),
    ("ArnLike", "aws:principalarn", "arn:aws:iam::*:user/a*", ALICE.arn, STRANGER.arn),
    ("ArnNotEquals", "aws:principalarn", ALICE.arn, STRANGER.arn, ALICE.arn),
    ("NumericLessThan", "aws:multifactorauthage", "300", "299.5", "300"),
    ("NumericGreaterThanEquals", "aws:multifactorauthage", 300, "300", "299"),
    ("NumericNotEquals", "aws:multifactorauthage", 300, "299", "300.0"),
    ("DateGreaterThan", "aws:currenttime", "2026-01-01T00:00:00Z", "2026-06-01", "2025-06-01"),
    ("DateLessThan", "aws:epochtime", "1700000000", "1699999999", "1700000001"),
    ("Bool", "aws:securetransport", True, "true", "false"),
    ("IpAddress", "aws:sourceip", "10.1.0.0/16", "10.1.2.3", "10.2.0.1"),
    ("IpAddress", "aws:sourceip", "fd00::/8", "fd00::1", "10.2.0.1"),
    ("NotIpAddress", "aws:sourceip", "10.1.0.0/16", "10.2.0.1", "10.1.2.3"),
]


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "good", "bad"),
    [pytest.param(*row, id=f"{row[0]}-{number}") for number, row in enumerate(CONDITIONS)],
)
def test_condition(operator: str, key: str, wanted: object, good: str, bad: str) -> None:
    mine = [identity(allow("ecr:*", Resource="*", Condition={operator: {key: wanted}}))]

    answers = [ask(ALICE, mine=mine, keys={key: value})[0] for value in (good, bad)]

    assert answers == [True, False]


@pytest.mark.parametrize(
    ("operator", "is_allowed"),
    [
        pytest.param("StringEquals", False, id="equal"),
        pytest.param("StringEqualsIfExists", True, id="if-exists"),
        pytest.param("StringNotEquals", True, id="negated"),
        pytest.param("ForAllValues:StringEquals", True, id="all-of-none"),
        pytest.param("ForAnyValue:StringEquals", False, id="any-of-none"),
        pytest.param("NumericLessThan", False, id="number"),
    ],
)
def test_condition_on_a_key_that_is_missing(operator: str, is_allowed: bool) -> None:  # noqa: FBT001 - a table's column
    condition = {operator: {"aws:RequestTag/stage": "1"}}
    mine = [identity(allow("ecr:*", Resource="*", Condition=condition))]

    assert ask(ALICE, mine=mine)[0] == is_allowed


@pytest.mark.parametrize(("wanted", "answers"), [("true", [True, False]), (False, [False, True])])
def test_null_asks_whether_a_key_is_missing(wanted: object, answers: list[bool]) -> None:
    condition = {"Null": {"aws:RequestTag/stage": wanted}}
    mine = [identity(allow("ecr:*", Resource="*", Condition=condition))]

    found = [ask(ALICE, mine=mine)[0], ask(ALICE, mine=mine, keys={"aws:requesttag/stage": "x"})[0]]

    assert found == answers


@pytest.mark.parametrize(
    ("qualifier", "tags", "is_allowed"),
    [
        pytest.param("ForAllValues", ("a", "b"), True, id="all"),
        pytest.param("ForAllValues", ("a", "c"), False, id="not-all"),
        pytest.param("ForAnyValue", ("a", "c"), True, id="any"),
        pytest.param("ForAnyValue", ("c",), False, id="not-any"),
    ],
)
def test_set_operators(qualifier: str, tags: tuple[str, ...], is_allowed: bool) -> None:  # noqa: FBT001 - a table's column
    condition = {f"{qualifier}:StringEquals": {"aws:TagKeys": ["a", "b"]}}
    mine = identity(allow("ecr:*", Resource="*", Condition=condition))
    request = Request(ALICE, "ecr:TagResource", APP, {"aws:tagkeys": tags})

    assert decide(request, [mine], [], owner=OWNER).is_allowed == is_allowed


@pytest.mark.parametrize(("version", "is_allowed"), [("2012-10-17", True), ("2008-10-17", False)])
def test_variables_are_put_in_by_the_newer_version_only(version: str, is_allowed: bool) -> None:  # noqa: FBT001 - a table's column
    mine = identity(allow("ecr:*", Resource="arn:*/${aws:username}/*"), version=version)
    resource = f"arn:aws:ecr:us-east-1:{OWNER}:repository/alice/app"

    answer = ask(ALICE, mine=[mine], resource=resource, keys={"aws:username": "alice"})

    assert answer[0] == is_allowed


@pytest.mark.parametrize(("resource", "is_allowed"), [("a*b", True), ("axb", False)])
def test_variable_of_a_special_character_stands_for_itself(
    resource: str, *, is_allowed: bool
) -> None:
    mine = identity(allow("ecr:*", Resource="a${*}b"))

    answer = ask(ALICE, mine=[mine], resource=resource)

    assert answer[0] == is_allowed


@pytest.mark.parametrize(
    ("agent", "is_allowed"),
    [
        pytest.param("app", True, id="named"),
        pytest.param("*", False, id="star"),
        pytest.param("a?p", False, id="question-mark"),
        pytest.param("another", False, id="another"),
    ],
)
def test_caller_widens_no_resource_by_what_it_says_of_itself(
    agent: str, *, is_allowed: bool
) -> None:
    mine = identity(allow("ecr:*", Resource="arn:*/team/${aws:UserAgent}"))

    answer = ask(ALICE, mine=[mine], keys={"aws:useragent": agent})

    assert answer[0] == is_allowed


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(PolicyKind.IDENTITY, "{", id="no-json"),
        pytest.param(PolicyKind.IDENTITY, "[]", id="a-list"),
        pytest.param(PolicyKind.IDENTITY, "{}", id="no-statement"),
        pytest.param(PolicyKind.IDENTITY, '{"Statement": []}', id="no-statements"),
        pytest.param(PolicyKind.IDENTITY, '{"Statement": [1]}', id="no-object"),
        pytest.param(PolicyKind.IDENTITY, policy({"Effect": "Allow"}), id="no-action"),
        pytest.param(PolicyKind.IDENTITY, policy(allow("ecr:*")), id="no-resource"),
        pytest.param(PolicyKind.IDENTITY, policy(allow(Resource="*")), id="empty-action"),
        pytest.param(PolicyKind.IDENTITY, policy(allow("PutImage", Resource="*")), id="no-service"),
        pytest.param(
            PolicyKind.IDENTITY, policy(allow("ecr:*", Resource="*", Principal="*")), id="principal"
        ),
        pytest.param(
            PolicyKind.IDENTITY,
            policy(allow("ecr:*", Resource="*", NotResource="*")),
            id="both-resources",
        ),
        pytest.param(
            PolicyKind.IDENTITY,
            policy(allow("ecr:*", Resource="*", Condition={"StringIs": {"a": "b"}})),
            id="operator",
        ),
        pytest.param(
            PolicyKind.IDENTITY,
            policy(allow("ecr:*", Resource="*", Condition={"IpAddress": {"a": "b"}})),
            id="address",
        ),
        pytest.param(
            PolicyKind.IDENTITY, policy(allow("ecr:*", Resource="*", Extra=1)), id="element"
        ),
        pytest.param(PolicyKind.REPOSITORY, policy(allow("ecr:*")), id="no-principal"),
        pytest.param(
            PolicyKind.REPOSITORY, policy(allow("ecr:*", Principal={"AWS": "alice"})), id="no-arn"
        ),
        pytest.param(
            PolicyKind.REPOSITORY,
            policy(allow("ecr:*", Principal={"AWS": "arn:aws:iam::123456789012:user/\u00e9"})),
            id="no-ascii",
        ),
        pytest.param(
            PolicyKind.REPOSITORY,
            policy(allow("ecr:*", Principal={"AWS": "\u0661" * 12})),
            id="other-digits",
        ),
        pytest.param(
            PolicyKind.REPOSITORY, policy(allow("ecr:*", Principal={"User": "x"})), id="no-kind"
        ),
        pytest.param(PolicyKind.REGISTRY, policy(allow("ecr:*", Principal="*")), id="registry"),
        pytest.param(
            PolicyKind.TRUST, policy(allow("sts:*", Principal="*", Resource="*")), id="trust"
        ),
        pytest.param(
            PolicyKind.IDENTITY,
            '{"Version": "2020-01-01", "Statement": {"Effect": "Allow", "Action": "*", '
            '"Resource": "*"}}',
            id="version",
        ),
        pytest.param(PolicyKind.IDENTITY, '{"a":' * 5000, id="deep"),
    ],
)
def test_malformed_policy_is_refused(kind: PolicyKind, text: str) -> None:
    with pytest.raises(InvalidPolicyError):
        parse_policy(text, kind)


@pytest.mark.parametrize("statement", ["allow", 5, None, {"Effect": "Allow", "Acton": "*"}])
def test_statement_that_is_none_is_refused(statement: object) -> None:
    text = json.dumps({"Statement": [statement]})

    with pytest.raises(InvalidPolicyError, match="an object of IAM's elements"):
        parse_policy(text, PolicyKind.IDENTITY)


def test_nameless_is_nobody_that_a_policy_names() -> None:
    named = of_repository(allow("ecr:*", Principal={"AWS": [OWNER, f"arn:aws:iam::{OWNER}:root"]}))

    assert not ask(NAMELESS, theirs=[named])[0]


@pytest.mark.parametrize("order", [1, -1], ids=["account-first", "name-first"])
def test_principal_that_is_named_needs_no_identity_policy(order: int) -> None:
    statements = [
        allow("ecr:*", Principal={"AWS": OWNER}),
        allow("ecr:*", Principal={"AWS": ALICE.arn}),
    ]

    assert ask(ALICE, theirs=[of_repository(*statements[::order])])[0]
    assert not ask(ALICE, theirs=[of_repository(statements[0])])[0]


def test_pattern_of_many_stars_is_matched_in_no_time() -> None:
    mine = [identity(allow("ecr:*", Resource="*a" * 2000 + "b"))]

    answer = ask(ALICE, mine=mine, resource="a" * 3000)

    assert answer == (False, NO_IDENTITY)
