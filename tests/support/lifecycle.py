"""Lifecycle policies and images to judge, and a judge that takes its time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ecrate.domain.lifecycle import Action, LifecycleImage, LifecycleRule, Verdict
from ecrate.domain.names import Digest
from tests.support.core import DAY, START
from tests.support.images import digest_of

EXPIRE = {"type": "expire"}
ARCHIVE = {"type": "transition", "targetStorageClass": "archive"}

# A subject and its followers, or whatever else is judged together, by name.
Group = tuple[str, int, Action, frozenset[str]]


def rule(priority: int, tag_status: str = "any", **members: Any) -> dict[str, Any]:
    """Give a rule that keeps the youngest image, unless `members` of its selection, or
    `action`, say otherwise; a member given as None is left out.
    """
    action = members.pop("action", EXPIRE)
    if str(members.get("countType", "")).startswith("since"):
        members.setdefault("countUnit", "days")
    selection = {
        "tagStatus": tag_status,
        "countType": "imageCountMoreThan",
        "countNumber": 1,
        **members,
    }
    return {
        "rulePriority": priority,
        "description": f"Rule {priority}",
        "selection": {name: value for name, value in selection.items() if value is not None},
        "action": action,
    }


def policy(*rules: Any, **members: Any) -> str:
    """Give the text of a policy, long enough to be one."""
    return json.dumps({"rules": list(rules), **members}).ljust(100)


def image(name: str, *tags: str, days: float, **members: Any) -> LifecycleImage:
    """Give an image pushed `days` ago. Times among `members` are in days ago as well, `subject`
    is another's name.
    """
    times = {
        member: START - members.pop(member) * DAY
        for member in ("last_pulled_at", "last_activated_at", "last_archived_at")
        if member in members
    }
    if "subject" in members:
        members["subject"] = digest_of(members["subject"].encode())
    digest = digest_of(name.encode())
    return LifecycleImage(
        id=int(digest[-12:], 16),
        digest=Digest(digest),
        tags=tags,
        pushed_at=START - days * DAY,
        **times,
        **members,
    )


def archived(name: str, *tags: str, days: float, **members: Any) -> LifecycleImage:
    """Give an image that was archived `days` ago, a year after it was pushed."""
    return image(name, *tags, days=days + 365, last_archived_at=days, is_archived=True, **members)


def names_of(verdicts: Sequence[Verdict], images: Sequence[LifecycleImage]) -> list[Any]:
    """Give (place among `images`, priority) of each verdict, places as letters from A."""
    places = {one.digest: chr(ord("A") + at) for at, one in enumerate(images)}
    return [(places[verdict.image.digest], verdict.rule_priority) for verdict in verdicts]


def groups_of(verdicts: Sequence[Verdict]) -> list[Group]:
    """Give each verdict with the set of what follows it."""
    groups: list[Group] = []
    for verdict in verdicts:
        digest = verdict.image.digest.text
        if verdict.is_following:
            root, priority, action, following = groups[-1]
            assert (priority, action) == (verdict.rule_priority, verdict.action)
            assert digest not in following
            groups[-1] = (root, priority, action, following | {digest})
        else:
            groups.append((digest, verdict.rule_priority, verdict.action, frozenset()))
    return groups


def judge_slowly(
    images: Sequence[LifecycleImage], rules: Sequence[LifecycleRule], now: float
) -> list[Group]:
    """Judge image by image: the first rule whose business it is decides."""
    digests = {one.digest.text for one in images}
    free = [one for one in images if one.subject not in digests and not _is_stray(one)]
    in_order = sorted(rules, key=lambda one: one.priority)
    groups: list[tuple[float, int, Group]] = []
    for one in free:
        governing = next((rule for rule in in_order if _concerns(rule, one)), None)
        if governing is None or one.is_protected(governing.action):
            continue
        if _selects(governing, one, free, images, now):
            following = _following(one, images, governing.action, {one.digest.text})
            group = (one.digest.text, governing.priority, governing.action, frozenset(following))
            groups.append((_age(one), images.index(one), group))
    return [group for _, _, group in sorted(groups, key=lambda entry: entry[:2])]


def _is_stray(one: LifecycleImage) -> bool:
    return one.has_lost_subject and one.tags == ()


def _age(one: LifecycleImage) -> float:
    restored = one.pushed_at if one.last_activated_at is None else one.last_activated_at
    since = one.last_archived_at if one.is_archived else restored
    return one.pushed_at if since is None else since


def _concerns(rule: LifecycleRule, one: LifecycleImage) -> bool:
    if one.is_archived != (rule.count_type == "sinceImageTransitioned"):
        return False
    if rule.tag_status == "untagged":
        return one.tags == ()
    texts = [".*".join(map(re.escape, pattern.literals)) for pattern in rule.patterns]
    return all(any(re.fullmatch(text, tag) for tag in one.tags) for text in texts)


def _selects(
    rule: LifecycleRule,
    one: LifecycleImage,
    free: Sequence[LifecycleImage],
    images: Sequence[LifecycleImage],
    now: float,
) -> bool:
    if rule.count_type == "imageCountMoreThan":
        mine = (_age(one), images.index(one))
        younger = [
            other
            for other in free
            if _concerns(rule, other) and (_age(other), images.index(other)) > mine
        ]
        return len(younger) >= rule.count_number
    since = _age(one)
    if rule.count_type == "sinceImagePulled" and one.last_pulled_at is not None:
        since = max(one.last_pulled_at, one.last_activated_at or 0)
    return now - since > rule.count_number * DAY


def _following(
    subject: LifecycleImage, images: Sequence[LifecycleImage], action: Action, known: set[str]
) -> set[str]:
    found: set[str] = set()
    for one in images:
        digest = one.digest.text
        if one.subject == subject.digest.text and digest not in known:
            known.add(digest)
            if one.is_protected(action):
                continue
            if action == "expire" or not one.is_archived:
                found.add(digest)
            found |= _following(one, images, action, known)
    return found
