"""The text of a lifecycle policy: what may stand in it, and what is said where it does not.

AWS checks it against a JSON schema with a Java library, whose texts these are; then follow
checks across members and rules. Sources: dossier sections 6.1 and 6.2; a text marked [A] is
assumed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.lifecycle import LifecyclePolicy, LifecycleRule, TagPattern

_MAX_RULES: Final = 50
_MAX_WILDCARDS: Final = 4
# AWS: user guide, lifecycle policy examples: archived images are kept for 90 days at least.
_MIN_DAYS_ARCHIVED: Final = 90
_MAX_INTEGER: Final = 2**31 - 1
_AGES: Final = frozenset({"sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"})
_NOT_A_POLICY: Final = "Could not map policyString into LifecyclePolicy."
_TYPES: Final = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def parse_lifecycle_policy(text: str) -> LifecyclePolicy:
    """Read a policy; raises `InvalidParameter` for what ECR refuses."""
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _refuse(_NOT_A_POLICY)
    if not isinstance(document, dict):
        _refuse(_NOT_A_POLICY)
    _check_members(document, required=("rules",))
    given = _typed(document["rules"], list)
    if not given:
        _refuse("array is too short: must have at least 1 elements but instance has 0 elements")
    if len(given) > _MAX_RULES:
        _refuse(
            f"array is too long: must have at most {_MAX_RULES} elements but instance has "
            f"{len(given)} elements"
        )
    rules = [_rule(one) for one in given]
    _check_together(rules, given)
    return LifecyclePolicy(text, tuple(sorted(rules, key=lambda rule: rule.priority)))


def _refuse(detail: str) -> NoReturn:
    raise InvalidParameter("LifecyclePolicyText", f"Lifecycle policy validation failure: {detail}")


def _refuse_all(schemas: int) -> NoReturn:
    # AWS: the closing quote stands on a line of its own, as console output of
    # terraform-provider-aws (pull request 45909) shows. There are four schemas of a selection,
    # one a count type (issue 45866 there), and two of an action (cloudposse/terraform-aws-ecr,
    # issue 158).
    _refuse(f"instance failed to match exactly one schema (matched 0 out of {schemas})\n")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _typed(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        _refuse(
            f"instance type ({_TYPES[type(value)]}) does not match any allowed primitive type "
            f'(allowed: ["{_TYPES[kind]}"])'
        )
    return value


def _check_members(
    value: Any, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Mapping[str, Any]:
    members: dict[str, Any] = _typed(value, dict)
    missing = set(required) - members.keys()
    if missing:
        _refuse(f"object has missing required properties ({_listed(missing)})")
    unknown = members.keys() - set(required) - set(optional)
    if unknown:
        _refuse(
            "object instance has properties which are not allowed by the schema: "
            f"({_listed(unknown)})"
        )
    return members


def _listed(names: set[str]) -> str:
    return json.dumps(sorted(names), separators=(",", ":"))


def _one_of(value: Any, *allowed: str) -> Any:
    if value not in allowed:
        _refuse(
            f"instance value ({json.dumps(value)}) not found in enum "
            f"(possible values: {_listed(set(allowed))})"
        )
    return value


def _at_least(least: int, value: Any) -> int:
    number: int = _typed(value, int)
    if number < least:
        # AWS: seen without its closing quote, so it is taken to break off as the other text does.
        _refuse(
            f"numeric instance is lower than the required minimum (minimum: {least}, "
            f"found: {number})\n"
        )
    if number > _MAX_INTEGER:
        _refuse(_NOT_A_POLICY)  # [A]
    return number


def _rule(value: Any) -> LifecycleRule:
    members = _check_members(
        value, required=("rulePriority", "selection", "action"), optional=("description",)
    )
    _typed(members.get("description", ""), str)
    priority = _at_least(1, members["rulePriority"])
    selection = _check_members(
        members["selection"],
        required=("tagStatus", "countType", "countNumber"),
        optional=("tagPatternList", "tagPrefixList", "storageClass", "countUnit"),
    )
    tag_status = _one_of(selection["tagStatus"], "tagged", "untagged", "any")
    count_number = _at_least(1, selection["countNumber"])
    count_type = _count_type(selection)
    action = _action(members["action"])
    if action not in _ACTIONS[count_type]:
        _refuse_all(schemas=2)
    if count_type == "sinceImageTransitioned":
        _at_least(_MIN_DAYS_ARCHIVED, count_number)  # [A]
    return LifecycleRule(
        priority=priority,
        tag_status=tag_status,
        patterns=_patterns(selection),
        count_type=count_type,
        count_number=count_number,
        action=action,
    )


_ACTIONS: Final[dict[str, Sequence[str]]] = {
    "imageCountMoreThan": ("expire", "transition"),
    "sinceImagePushed": ("expire", "transition"),
    # AWS: user guide, "Lifecycle policies": such images "are archived", and "are expired".
    "sinceImagePulled": ("transition",),
    "sinceImageTransitioned": ("expire",),
}


def _count_type(selection: Mapping[str, Any]) -> Any:
    """Give the count type; unit and storage class must be those that go with it."""
    kind = selection["countType"]
    if not isinstance(kind, str) or kind not in _ACTIONS:
        _refuse_all(schemas=4)
    has_unit = "countUnit" in selection
    if has_unit != (kind in _AGES) or (has_unit and selection["countUnit"] != "days"):
        _refuse_all(schemas=4)
    storage_class = "archive" if kind == "sinceImageTransitioned" else "standard"
    if selection.get("storageClass", "standard") != storage_class:
        _refuse_all(schemas=4)
    return kind


def _action(value: Any) -> Any:
    action = _check_members(value, required=("type",), optional=("targetStorageClass",))
    kind = _one_of(action["type"], "expire", "transition")
    target = {"targetStorageClass": "archive"} if kind == "transition" else {}
    if action != {"type": kind, **target}:
        _refuse_all(schemas=2)
    return kind


def _patterns(selection: Mapping[str, Any]) -> tuple[TagPattern, ...]:
    prefixes = _texts(selection.get("tagPrefixList", []))
    patterns = _texts(selection.get("tagPatternList", []))
    if selection["tagStatus"] != "tagged":
        if prefixes or patterns:
            _refuse("tagPrefixList and tagPatternList must be empty when tagStatus is not TAGGED.")
        return ()
    if not prefixes and not patterns:
        _refuse("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")
    if prefixes and patterns:
        _refuse("Only one of tagPrefixList and tagPatternList may be specified.")  # [A]
    if any(pattern.count("*") > _MAX_WILDCARDS for pattern in patterns):
        _refuse(f"tagPatternList may contain at most {_MAX_WILDCARDS} wildcards per pattern")  # [A]
    return (*map(TagPattern.prefix, prefixes), *map(TagPattern.wildcard, patterns))


def _texts(value: Any) -> Sequence[str]:
    texts: list[str] = [_typed(one, str) for one in _typed(value, list)]
    if "" in texts:
        # As a prefix it would be that of every tag: more likely a mistake than a wish. [A]
        _refuse('string "" is too short (length: 0, required minimum: 1)')
    return texts


def _check_together(rules: Sequence[LifecycleRule], given: Sequence[Any]) -> None:
    counts = Counter(rule.priority for rule in rules)
    twice = sorted(priority for priority, count in counts.items() if count > 1)
    if twice:
        _refuse(f"Duplicate rule priorities are not allowed: {json.dumps(twice)}")  # [A]
    by_class: dict[bool, list[LifecycleRule]] = defaultdict(list)
    for rule in rules:
        by_class[rule.is_for_archive].append(rule)
    for of_class in by_class.values():
        if sum(rule.tag_status == "untagged" for rule in of_class) > 1:
            _refuse("Only one rule can select Untagged images per storage class.")
        last = max(rule.priority for rule in of_class)
        if any(rule.tag_status == "any" and rule.priority < last for rule in of_class):
            _refuse("Rule for tagStatus=ANY must have the lowest priority per storage class")
    lists = Counter(map(_tag_list, given))
    lists.pop(None, None)
    if any(count > 1 for count in lists.values()):
        _refuse("Tag prefixes must be unique across rules")  # [A]


def _tag_list(given: Any) -> tuple[bool, str, frozenset[str]] | None:
    """Give what no two rules may have alike: storage class, kind and members of the list."""
    selection = given["selection"]
    is_for_archive = selection["countType"] == "sinceImageTransitioned"
    for kind in ("tagPrefixList", "tagPatternList"):
        if selection.get(kind):
            return is_for_archive, kind, frozenset(selection[kind])
    return None
