"""IAM policies: the grammar, and the decision over all that apply to a request.

Source: IAM User Guide, "Grammar of the IAM JSON policy language" and "Policy evaluation logic".
Three kinds meet here: identity policies (what a principal may do), repository policies and the
registry policy (who may do what here). An explicit deny in any of them ends the matter. Within
an account one allow is enough; from another account both sides must allow.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ecrate.domain.conditions import Condition, InvalidConditionError, parse_conditions
from ecrate.domain.patterns import Keys, Pattern, Text, like, pattern_of
from ecrate.domain.values import value

_VERSIONS: Final = ("2008-10-17", "2012-10-17")
_AWS_PRINCIPAL: Final = re.compile(
    r"\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::(\d{12}):(root|(user|role|assumed-role)/[\w+=,.@/-]+)",
    re.ASCII,
)
_ELEMENTS: Final = frozenset(
    [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ]
)


class PolicyKind(Enum):
    """Which of the elements a policy of this kind has."""

    IDENTITY = "identity"
    REPOSITORY = "repository"
    REGISTRY = "registry"
    TRUST = "trust"


class InvalidPolicyError(Exception):
    """The text is not a policy of its kind; the message says why."""


@value
class Principal:
    """Who asks, as policies see it. `arn` may be a session's; `role_arn` is then its role's."""

    arn: str
    account: str
    is_root: bool = False
    is_anonymous: bool = False
    role_arn: str = ""


@value
class Request:
    """What is asked: `action` as `ecr:PutImage`, `resource` an ARN or `*`, condition keys."""

    principal: Principal
    action: str
    resource: str
    keys: Keys


class Match(Enum):
    """How a statement's principal covers the one who asks."""

    NO = 0
    ACCOUNT = 1  # by its account, which still has to pass it on by an identity policy
    YES = 2


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; a list that was not given is None."""

    sid: str
    allows: bool
    principals: tuple[str, ...] | None
    not_principals: tuple[str, ...] | None
    actions: tuple[Pattern, ...]
    is_not_action: bool
    resources: tuple[Text, ...] | None
    is_not_resource: bool
    conditions: tuple[Condition, ...]

    def covers(self, request: Request) -> bool:
        """Tell whether action, resource and conditions are those of the request."""
        action = request.action.lower()
        named = any(like(action, one) for one in self.actions)
        if named == self.is_not_action:
            return False
        if self.resources is not None:
            fits = any(like(request.resource, one.pattern(request.keys)) for one in self.resources)
            if fits == self.is_not_resource:
                return False
        return all(condition.holds(request.keys) for condition in self.conditions)

    def match(self, principal: Principal) -> Match:
        """Tell how the statement's principals cover the one who asks."""
        if self.not_principals is not None:
            named = _match_any(self.not_principals, principal)
            return Match.YES if named is Match.NO else Match.NO
        return _match_any(self.principals or (), principal)


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy."""

    statements: tuple[Statement, ...]


@value
class Decision:
    """The outcome. `reason` is the end of IAM's text for a denial; `statement` is the Sid and
    kind of the policy that decided, empty where nothing matched.
    """

    is_allowed: bool
    reason: str
    statement: str = ""


def decide(
    request: Request,
    identity: Sequence[Policy],
    resource: Sequence[Policy],
    *,
    owner: str,
) -> Decision:
    """Decide over all policies; `owner` is the account the resource belongs to."""
    in_identity = _verdict(request, identity, by_principal=False)
    in_resource = _verdict(request, resource, by_principal=True)
    for verdict, kind in ((in_identity, "identity-based"), (in_resource, "resource-based")):
        if verdict.denied is not None:
            name = f"{kind} policy, statement '{verdict.denied}'"
            return _denied(f"with an explicit deny in a{_n(kind)} {kind} policy", name)
    principal = request.principal
    may = principal.is_root or in_identity.allowed is not None
    if principal.is_anonymous or principal.account != owner:
        if in_resource.allowed is None:
            return _denied(_missing("resource-based", request))
        if principal.is_anonymous or may:
            return _allowed(f"resource-based policy, statement '{in_resource.allowed}'")
        return _denied(_missing("identity-based", request))
    if principal.is_root:
        return _allowed("root of the account")
    if may:
        return _allowed(f"identity-based policy, statement '{in_identity.allowed}'")
    if in_resource.allowed is not None and in_resource.is_direct:
        return _allowed(f"resource-based policy, statement '{in_resource.allowed}'")
    return _denied(_missing("identity-based", request))


def _allowed(statement: str) -> Decision:
    return Decision(is_allowed=True, reason="", statement=statement)


def _denied(reason: str, statement: str = "") -> Decision:
    return Decision(is_allowed=False, reason=reason, statement=statement)


def _n(kind: str) -> str:
    return "n" if kind.startswith("i") else ""


def _missing(kind: str, request: Request) -> str:
    return f"because no {kind} policy allows the {request.action} action"


@value
class _Verdict:
    denied: str | None = None
    allowed: str | None = None
    is_direct: bool = False


def _verdict(request: Request, policies: Sequence[Policy], *, by_principal: bool) -> _Verdict:
    allowed: str | None = None
    is_direct = False
    for policy in policies:
        for statement in policy.statements:
            match = statement.match(request.principal) if by_principal else Match.YES
            if match is Match.NO or not statement.covers(request):
                continue
            if not statement.allows:
                return _Verdict(denied=statement.sid)
            if allowed is None or not is_direct:
                allowed, is_direct = statement.sid, match is Match.YES
    return _Verdict(allowed=allowed, is_direct=is_direct)


def _match_any(named: Sequence[str], principal: Principal) -> Match:
    best = Match.NO
    for one in named:
        if one == "*" or (
            not principal.is_anonymous and one in {principal.arn, principal.role_arn}
        ):
            return Match.YES
        if principal.is_anonymous:
            continue
        if one == principal.account or one.endswith(f"::{principal.account}:root"):
            if principal.is_root:
                return Match.YES
            best = Match.ACCOUNT
    return best


@functools.lru_cache(maxsize=1024)
def parse_policy(text: str, kind: PolicyKind) -> Policy:
    """Read a policy's text; raises `InvalidPolicyError`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidPolicyError("the policy is not JSON") from None
    if not isinstance(document, dict) or not set(document) <= {"Version", "Id", "Statement"}:
        raise InvalidPolicyError("a policy has Version, Id and Statement, and nothing else")
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise InvalidPolicyError(f"Version must be one of {', '.join(_VERSIONS)}")
    given = document.get("Statement")
    statements = given if isinstance(given, list) else [given]
    if not statements:
        raise InvalidPolicyError("a policy needs a statement")
    # AWS: the older version has no variables.
    has_variables = version == _VERSIONS[1]
    return Policy(tuple(_statement(one, kind, has_variables=has_variables) for one in statements))


def _statement(given: Any, kind: PolicyKind, *, has_variables: bool) -> Statement:
    if not isinstance(given, dict) or not set(given) <= _ELEMENTS:
        raise InvalidPolicyError("a statement is an object of IAM's elements")
    sid, effect = given.get("Sid", ""), given.get("Effect")
    if not isinstance(sid, str) or effect not in ("Allow", "Deny"):
        raise InvalidPolicyError("Sid must be a text, Effect must be Allow or Deny")
    has_principal = kind is not PolicyKind.IDENTITY
    if has_principal != (len({"Principal", "NotPrincipal"} & set(given)) == 1):
        raise InvalidPolicyError("resource policies, and only they, have one Principal element")
    actions = _one_of(given, "Action", "NotAction", required=True)
    resources = _one_of(
        given,
        "Resource",
        "NotResource",
        required=kind in (PolicyKind.IDENTITY, PolicyKind.REGISTRY),
    )
    if kind is PolicyKind.TRUST and resources is not None:
        raise InvalidPolicyError("a trust policy has no Resource")
    for action in actions or ():
        if re.fullmatch(r"\*|[a-z0-9*-]+:[A-Za-z0-9*?]+", action) is None:
            raise InvalidPolicyError(f"'{action}' is no action")
    try:
        conditions = parse_conditions(given.get("Condition", {}), has_variables=has_variables)
    except InvalidConditionError as error:
        raise InvalidPolicyError(str(error)) from None
    return Statement(
        sid=sid,
        allows=effect == "Allow",
        principals=_principals(given["Principal"]) if "Principal" in given else None,
        not_principals=_principals(given["NotPrincipal"]) if "NotPrincipal" in given else None,
        actions=tuple(pattern_of(action.lower()) for action in actions or ()),
        is_not_action="NotAction" in given,
        resources=None
        if resources is None
        else tuple(Text(one, has_variables=has_variables) for one in resources),
        is_not_resource="NotResource" in given,
        conditions=conditions,
    )


def _one_of(
    given: dict[str, Any], name: str, opposite: str, *, required: bool
) -> tuple[str, ...] | None:
    if name in given and opposite in given:
        raise InvalidPolicyError(f"{name} and {opposite} exclude each other")
    if name not in given and opposite not in given:
        if required:
            raise InvalidPolicyError(f"{name} is missing")
        return None
    return _texts(given.get(name, given.get(opposite)), name)


def _texts(given: Any, name: str) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    if not values or not all(isinstance(value, str) and value for value in values):
        raise InvalidPolicyError(f"{name} must be a text or a list of texts")
    return tuple(values)


def _principals(given: Any) -> tuple[str, ...]:
    """Give the principals of AWS; services and federations are nobody who can call here."""
    if given == "*":
        return ("*",)
    if not isinstance(given, dict) or not given:
        raise InvalidPolicyError("Principal must be '*' or an object")
    if not set(given) <= {"AWS", "Service", "Federated", "CanonicalUser"}:
        raise InvalidPolicyError("Principal has AWS, Service or Federated")
    for kind in given:
        _texts(given[kind], "Principal")
    named = _texts(given["AWS"], "Principal") if "AWS" in given else ()
    for one in named:
        if _AWS_PRINCIPAL.fullmatch(one) is None:
            raise InvalidPolicyError(f"'{one}' is no principal")
    return named
