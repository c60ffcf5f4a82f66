"""Lifecycle rules, and which images they act on: one evaluation for preview and execution.

Sources: ECR user guide, "Lifecycle policies", evaluation rules; dossier section 6.3.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal

from ecrate.domain.names import Digest

TagStatus = Literal["tagged", "untagged", "any"]
CountType = Literal[
    "imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"
]
Action = Literal["expire", "transition"]

_DAY: Final = 24 * 3600.0
_LAST_CHARACTER: Final = chr(0x10FFFF)


@dataclass(frozen=True, slots=True)
class TagPattern:
    """A pattern as its literals in order, any run of characters between each two.

    `("prod",)` is one tag, `("prod", "")` all that begin with prod.
    """

    literals: tuple[str, ...]
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first, *rest = (re.escape(literal) for literal in self.literals)
        # The leftmost place is as good as any for each literal but the last. Atomic groups say
        # so, which keeps a match linear.
        middle = "".join(f"(?>.*?{literal})" for literal in rest[:-1])
        last = f".*{rest[-1]}" if rest else ""
        object.__setattr__(self, "_regex", re.compile(first + middle + last, re.DOTALL))

    @classmethod
    def prefix(cls, text: str) -> TagPattern:
        return cls((text, ""))

    @classmethod
    def wildcard(cls, text: str) -> TagPattern:
        return cls(tuple(text.split("*")))

    def matches(self, tag: str) -> bool:
        return self._regex.fullmatch(tag) is not None


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule. `patterns` are those of a rule for tagged images: an image must match them all,
    each with any of its tags.
    """

    priority: int
    tag_status: TagStatus
    patterns: tuple[TagPattern, ...]
    count_type: CountType
    count_number: int
    action: Action

    @property
    def is_for_archive(self) -> bool:
        """Whether the rule sees archived images, and no others."""
        return self.count_type == "sinceImageTransitioned"

    def matches(self, tags: Sequence[str]) -> bool:
        """Tell whether an image with these tags is the rule's business."""
        if self.tag_status == "any":
            return True
        if self.tag_status == "untagged":
            return not tags
        return all(any(pattern.matches(tag) for tag in tags) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class LifecyclePolicy:
    """A policy as it was written, and its rules in order of priority."""

    text: str
    rules: tuple[LifecycleRule, ...]


@dataclass(frozen=True, slots=True)
class LifecycleImage:
    """What rules look at in an image; times are seconds since the epoch.

    `last_activated_at` lies in the future while the image is being restored from the archive.
    `is_referenced_by_active_index` leaves out indexes in the archive. `subject` is the digest of
    the image that this one is about, `has_lost_subject` says that it was here and was deleted.
    """

    id: int
    digest: Digest
    tags: tuple[str, ...]
    pushed_at: float
    last_pulled_at: float | None = None
    last_activated_at: float | None = None
    last_archived_at: float | None = None
    is_archived: bool = False
    is_referenced_by_index: bool = False
    is_referenced_by_active_index: bool = False
    subject: str | None = None
    has_lost_subject: bool = False

    @property
    def aged_since(self) -> float:
        """Since when the image has been in its storage class: what orders images by age."""
        if self.is_archived:
            return self.pushed_at if self.last_archived_at is None else self.last_archived_at
        return self.pushed_at if self.last_activated_at is None else self.last_activated_at

    @property
    def used_at(self) -> float:
        """When the image was last pulled or restored, or else pushed."""
        if self.last_pulled_at is None:
            return self.aged_since
        return max(self.last_pulled_at, self.last_activated_at or 0.0)

    @property
    def is_stray(self) -> bool:
        """Whether the image was about another that is gone, and has no tag of its own."""
        return self.has_lost_subject and not self.tags

    def is_protected(self, action: Action) -> bool:
        """Tell whether an index forbids `action`."""
        if action == "expire":
            return self.is_referenced_by_index
        return self.is_referenced_by_active_index


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with an image, by which rule. `is_following`: not for its own sake but
    because it is about an image in front of it, its subject.
    """

    image: LifecycleImage
    rule_priority: int
    action: Action
    is_following: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The verdicts, oldest image first, each followed by those on its referrers.

    `strays` are verdicts of no rule (priority 0) on what has lost its subject, or is about an
    archived one. `kept` has, for each rule that keeps a number of images and condemns others,
    the images it keeps: as long as all of them are there, its verdicts hold.
    """

    verdicts: tuple[Verdict, ...]
    strays: tuple[Verdict, ...]
    kept: Mapping[int, Sequence[LifecycleImage]]


def evaluate(
    images: Sequence[LifecycleImage], rules: Sequence[LifecycleRule], now: float
) -> Evaluation:
    """Judge the images of one repository; `images` come in the order they were pushed.

    Each rule is evaluated as if there were no other. Then they are applied in order of priority:
    what matches a rule's tags is beyond the reach of later rules, whether the rule selects it or
    not. An image that an index refers to is counted and then spared; one that is about another
    image (its `subject`) is not the business of rules at all and follows its subject.
    """
    census = _Census(images)
    chosen: dict[int, LifecycleRule] = {}
    first: dict[int, int] = {}
    seen = gone = 0
    for rule in sorted(rules, key=lambda rule: rule.priority):
        matched = census.matching(rule)
        selected = census.select(matched, rule, now)
        condemned = selected & ~seen & ~census.protected(rule.action)
        seen |= matched
        if condemned:
            gone |= condemned
            chosen.update((index, rule) for index in census.indices(condemned))
            if rule.count_type == "imageCountMoreThan":
                first[rule.priority] = matched & ~selected
    verdicts: list[Verdict] = []
    for index in sorted(chosen, reverse=True):
        rule = chosen[index]
        verdicts.extend(census.judge(census.images[index], rule.priority, rule.action))
    return Evaluation(
        tuple(verdicts),
        tuple(census.strays(gone)),
        {
            # What another rule condemns may go without making this rule's verdicts wrong.
            priority: [census.images[index] for index in census.indices(members & ~gone)]
            for priority, members in first.items()
        },
    )


class _Census:
    """The images of a repository, youngest first, with what makes 50 rules over 100,000 fast.

    A set of images is a number with a byte an image, 0 or 1: sets are joined and cut in
    microseconds, and "all but the n youngest" is cutting off the lower end.
    """

    def __init__(self, images: Sequence[LifecycleImage]) -> None:
        # Sorting is stable: of two equally old ones, the one that came later is younger.
        self.images = sorted(images, key=lambda image: image.aged_since)
        self.images.reverse()
        self.size = len(self.images)
        self._ages = [-image.aged_since for image in self.images]
        tags = sorted((tag, at) for at, image in enumerate(self.images) for tag in image.tags)
        self._tags = [tag for tag, _ in tags]
        self._owners = [at for _, at in tags]
        self._text = "".join(f"{tag}\n" for tag in self._tags)
        self._starts = list(accumulate((len(tag) + 1 for tag in self._tags), initial=0))
        self._by_pattern: dict[tuple[str, ...], int] = {}
        digests = {image.digest.text for image in self.images}
        self._referrers: dict[str, list[LifecycleImage]] = defaultdict(list)
        for image in reversed(self.images):
            if image.subject in digests:
                self._referrers[image.subject].append(image)
        self._stray = self._set(lambda image: image.is_stray)
        attached = self._stray | self._set(lambda image: image.subject in digests)
        everything = int.from_bytes(b"\1" * self.size, "little")
        self._untagged = self._set(lambda image: not image.tags)
        self._ruled = everything & ~attached
        self._archived = self._set(lambda image: image.is_archived)
        self._in_index = self._set(lambda image: image.is_referenced_by_index)
        self._in_active_index = self._set(lambda image: image.is_referenced_by_active_index)

    def _set(self, belongs: Callable[[LifecycleImage], bool]) -> int:
        return int.from_bytes(bytes(map(belongs, self.images)), "little")

    def indices(self, members: int) -> Iterator[int]:
        flags = members.to_bytes(self.size, "little")
        index = flags.find(1)
        while index >= 0:
            yield index
            index = flags.find(1, index + 1)

    def protected(self, action: Action) -> int:
        return self._in_index if action == "expire" else self._in_active_index

    def matching(self, rule: LifecycleRule) -> int:
        """Give the set of images whose storage class and tags are the rule's."""
        storage_class = self._archived if rule.is_for_archive else ~self._archived
        found = self._ruled & storage_class
        if rule.tag_status == "untagged":
            return found & self._untagged
        for pattern in rule.patterns:
            found &= self._tagged(pattern)
        return found

    def _tagged(self, pattern: TagPattern) -> int:
        """Give the set of images that have a tag of this pattern."""
        known = self._by_pattern.get(pattern.literals)
        if known is None:
            flags = bytearray(self.size)
            for owner in self._owners_of(pattern):
                flags[owner] = 1
            known = self._by_pattern[pattern.literals] = int.from_bytes(flags, "little")
        return known

    def _owners_of(self, pattern: TagPattern) -> Sequence[int]:
        first, *rest = pattern.literals
        start = bisect_left(self._tags, first)
        end = bisect_left(self._tags, first + (_LAST_CHARACTER if rest else "\0"), lo=start)
        if rest in ([], [""]):
            return self._owners[start:end]
        return list(self._find(pattern, start, end))

    def _find(self, pattern: TagPattern, start: int, end: int) -> Iterator[int]:
        """Look for the pattern's longest literal in the text of all tags, a line each."""
        *middle, last = pattern.literals[1:]
        literal = max(*middle, f"{last}\n", key=len) if middle else f"{last}\n"
        text, matches = self._text, pattern.matches
        position, stop = self._starts[start], self._starts[end]
        while (position := text.find(literal, position, stop)) >= 0:
            line_end = text.index("\n", position)
            line = text.rfind("\n", 0, position) + 1
            if matches(text[line:line_end]):
                yield self._owners[bisect_left(self._starts, line)]
            position = line_end + 1

    def select(self, matched: int, rule: LifecycleRule, now: float) -> int:
        """Give those that the rule's count or age picks out of `matched`."""
        if rule.count_type == "sinceImagePulled":
            limit = now - rule.count_number * _DAY
            return matched & self._set(lambda image: image.used_at < limit)
        if rule.count_type == "imageCountMoreThan":
            end = self._end_of(matched, rule.count_number)
        else:
            end = bisect_right(self._ages, rule.count_number * _DAY - now)
        youngest = (1 << 8 * end) - 1
        return matched & ~youngest

    def _end_of(self, members: int, count: int) -> int:
        """Give how many of the youngest images it takes to have `count` members among them."""
        flags = members.to_bytes(self.size, "little")
        if flags.count(1) <= count:
            return self.size
        end = 0
        for _ in range(count):
            end = flags.find(1, end) + 1
        return end

    def strays(self, gone: int) -> Iterator[Verdict]:
        """Give the verdicts on strays, and on what is about archived images but those `gone`."""
        for index in self.indices(self._stray & ~self._in_index):
            yield from self.judge(self.images[index], 0, "expire")
        for index in self.indices(self._archived & ~gone & ~self._stray):
            for image in self._referrers.get(self.images[index].digest.text, ()):
                if not image.is_archived and not image.is_protected("transition"):
                    yield from self.judge(image, 0, "transition")

    def judge(self, image: LifecycleImage, priority: int, action: Action) -> Iterator[Verdict]:
        """Give the verdict on an image and those that come with it."""
        yield Verdict(image, priority, action)
        for one in self._followers(image, action):
            yield Verdict(one, priority, action, is_following=True)

    def _followers(self, subject: LifecycleImage, action: Action) -> Iterator[LifecycleImage]:
        """Give what is about `subject`, directly or not, as far as `action` is possible."""
        waiting, known = [subject], {subject.id}
        while waiting:
            for image in self._referrers.get(waiting.pop().digest.text, ()):
                if image.id in known:
                    continue
                known.add(image.id)
                if image.is_protected(action):
                    continue
                waiting.append(image)
                if action == "expire" or not image.is_archived:
                    yield image
