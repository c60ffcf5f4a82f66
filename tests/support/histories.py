"""Histories of what clients did to the tags of a repository, and whether they are linearizable.

A tag is a register: a put writes a digest, a delete empties it, a get reads it, and a list reads of
all tags which are set. A history is linearizable where each call can be taken to have happened at
one moment between its beginning and its end so that every answer is right (Herlihy and Wing, 1990).

A call whose answer got lost may have happened at any moment since its beginning, or not at all. So
a client that tries again records two calls. The clock is CLOCK_MONOTONIC: all processes of the
machine share it, and nobody can set it.

The search is that of Wing and Gong (1993), with Lowe's memory of what was tried (2017).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

from typing_extensions import override

# A digest, or None without the tag; whether there was a tag to delete; the tags that are set.
Value: TypeAlias = str | bool | frozenset[str] | None
State: TypeAlias = frozenset[tuple[str, str]]
_MOST_CONFIGURATIONS: Final = 500_000


class Kind(StrEnum):
    PUT = "put"
    GET = "get"
    DELETE = "delete"
    LIST = "list"


class Refused(Exception):
    """A call was answered in a way that says that it changed nothing and tells nothing."""


class Lost(Exception):
    """Nobody knows whether a call happened."""


class Undecided(Exception):
    """A history has more orders than can be tried."""


@dataclass(frozen=True)
class Call:
    """One call, from nanosecond `invoked` to nanosecond `returned`, None where the answer got
    lost. `value` is what was written or read; nothing was read by a delete without an answer.
    """

    kind: Kind
    tag: str
    value: Value
    invoked: int
    returned: int | None = None
    client: str = ""

    @override
    def __str__(self) -> str:
        span = f"{self.invoked / 1e9:.6f}-"
        span += "lost" if self.returned is None else f"{self.returned / 1e9:.6f}"
        value = sorted(self.value) if isinstance(self.value, frozenset) else self.value
        return f"{span} {self.client}: {self.kind} {self.tag} {value}"


@dataclass
class Recorder:
    """Writes down the calls of any number of threads."""

    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(
        self,
        client: str,
        kind: Kind,
        attempt: Callable[[], Value],
        *,
        tag: str = "",
        digest: str | None = None,
    ) -> Value:
        """Do one attempt and write it down; it gives what it read. A put that gives a digest only
        read that it stands there already. `Refused` leaves no trace, and after `Lost` or any other
        error nobody knows; all are passed on.
        """
        call = Call(kind, tag, digest, time.monotonic_ns(), client=client)
        try:
            value = attempt()
            call = replace(call, returned=time.monotonic_ns())
        except Refused:
            raise
        except BaseException:
            self._add(call)
            raise
        if kind is not Kind.PUT:
            call = replace(call, value=value)
        elif value is not None:
            call = replace(call, kind=Kind.GET, value=value)
        self._add(call)
        return value

    def _add(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)


@dataclass(frozen=True)
class Violation:
    """Where the longest order that could be found ends: none of `stuck` can come next."""

    ordered: int
    state: State
    stuck: tuple[Call, ...]
    lost: tuple[Call, ...]

    @override
    def __str__(self) -> str:
        lines = [f"after {self.ordered} calls in order there is {dict(sorted(self.state))};"]
        lines += ["of these calls none can be next:", *(f"  {call}" for call in self.stuck)]
        if self.lost:
            lines += [
                "though of these any may have happened:",
                *(f"  {call}" for call in self.lost),
            ]
        return "\n".join(lines)


def find_violation(calls: Iterable[Call], start: Mapping[str, str] | None = None) -> str:
    """Say why a history is not linearizable, or nothing if it is. `start` holds the digests of the
    tags that were set when it began. Raises `Undecided`.

    First each tag is looked at alone, for that is quick and says most; then, as a list tells of
    all tags at one moment, all of them together, if there are lists.
    """
    history, start = list(calls), start or {}
    for tag, own in sorted(_by_tag(history, start).items()):
        known = frozenset((name, digest) for name, digest in start.items() if name == tag)
        if violation := _Search(own, known).run():
            return f"tag {tag}: {violation}"
    if not any(call.kind is Kind.LIST for call in history):
        return ""
    violation = _Search(history, frozenset(start.items())).run()
    return f"all tags: {violation}" if violation else ""


def _by_tag(history: list[Call], start: Mapping[str, str]) -> dict[str, list[Call]]:
    tags = {call.tag for call in history if call.kind is not Kind.LIST} | set(start)
    tags.update(*(call.value for call in history if isinstance(call.value, frozenset)))
    found: dict[str, list[Call]] = defaultdict(list)
    for call in history:
        if not isinstance(call.value, frozenset):
            found[call.tag].append(call)
            continue
        for tag in tags:
            found[tag].append(_about(tag, call))
    return found


@dataclass(frozen=True)
class _Configuration:
    """Which calls were put in order, and what there is after them. Of the answered calls those
    before number `low` were, and of the ones from there on those whose bit is set in `done`; of the
    lost ones those whose bit is set in `used`.
    """

    low: int
    done: int
    used: int
    state: State

    @property
    def ordered(self) -> int:
        return self.low + self.done.bit_count()

    def followed_by(self, number: int, used: int, state: State) -> _Configuration:
        done, low = self.done | 1 << (number - self.low), self.low
        while done & 1:
            done, low = done >> 1, low + 1
        return _Configuration(low, done, used, state)


class _Search:
    """Looks for an order of the calls."""

    def __init__(self, calls: list[Call], start: State) -> None:
        calls = sorted(calls, key=lambda call: call.invoked)
        self._calls = [call for call in calls if call.returned is not None]
        self._lost = [call for call in calls if call.returned is None and _is_write(call)]
        self._start = _Configuration(0, 0, 0, start)

    def run(self) -> Violation | None:
        """Go deep first, and never twice through the same configuration."""
        if not self._calls:
            return None
        seen, furthest = {self._start}, self._start
        paths = [self._next(self._start)]
        while paths:
            found = next(paths[-1], None)
            if found is None:
                paths.pop()
            elif found not in seen:
                if found.low == len(self._calls):
                    return None
                if len(seen) >= _MOST_CONFIGURATIONS:
                    raise Undecided(f"{len(self._calls)} calls, {len(self._lost)} of them lost")
                seen.add(found)
                furthest = max(furthest, found, key=lambda one: one.ordered)
                paths.append(self._next(found))
        return self._explain(furthest)

    def _next(self, at: _Configuration) -> Iterator[_Configuration]:
        """Give the configurations that one more answered call leads to."""
        numbers, horizon = self._candidates(at)
        right = [number for number in numbers if _is_right(self._calls[number], at.state)]
        for number in right:
            if not _is_write(self._calls[number]):
                # Nothing is lost by taking at once an answer that is right and changes nothing.
                yield at.followed_by(number, at.used, at.state)
                return
        for number in right:
            yield at.followed_by(number, at.used, _after(self._calls[number], at.state))
        # A lost call matters only where the next answer tells that it happened.
        for number in numbers:
            if number not in right:
                yield from self._explained_by_lost(at, number, horizon)

    def _candidates(self, at: _Configuration) -> tuple[list[int], int]:
        """Give the calls that began before any other that is left ended, and that moment."""
        numbers: list[int] = []
        horizon: float = float("inf")
        for number in range(at.low, len(self._calls)):
            call = self._calls[number]
            if call.invoked > horizon:
                break
            if not at.done >> (number - at.low) & 1:
                numbers.append(number)
                assert call.returned is not None
                horizon = min(horizon, call.returned)
        return numbers, int(horizon)

    def _explained_by_lost(
        self, at: _Configuration, number: int, horizon: int
    ) -> Iterator[_Configuration]:
        """Let lost calls happen, one for each tag at most, that make an answer right."""
        call = self._calls[number]
        choices = [
            self._lost_choices(at, call, tag, horizon) for tag in _wrong_tags(call, at.state)
        ]
        for chosen in itertools.product(*choices):
            used, state = at.used, at.state
            for one in chosen:
                used, state = used | 1 << one, _after(self._lost[one], state)
            yield at.followed_by(number, used, _after(call, state))

    def _lost_choices(self, at: _Configuration, call: Call, tag: str, horizon: int) -> list[int]:
        """Give the lost calls that make an answer right about a tag, of those alike the first."""
        found: dict[Value, int] = {}
        for number, lost in enumerate(self._lost):
            if lost.invoked > horizon:
                break
            if lost.tag == tag and not at.used >> number & 1:
                alone = frozenset(item for item in at.state if item[0] == tag)
                if _is_right(_about(tag, call), _after(lost, alone)):
                    found.setdefault(_written(lost), number)
        return list(found.values())

    def _explain(self, at: _Configuration) -> Violation:
        numbers, horizon = self._candidates(at)
        lost = (
            call
            for number, call in enumerate(self._lost)
            if call.invoked <= horizon and not at.used >> number & 1
        )
        stuck = tuple(self._calls[number] for number in numbers)
        return Violation(at.ordered, at.state, stuck, tuple(lost))


def _about(tag: str, call: Call) -> Call:
    """Give what a call tells of one tag."""
    told = call.value
    return replace(call, value=told & {tag}) if isinstance(told, frozenset) else call


def _is_write(call: Call) -> bool:
    """Tell whether a call changes something, or may have."""
    if call.kind is Kind.DELETE:
        return call.returned is None or call.value is True
    return call.kind is Kind.PUT


def _written(call: Call) -> Value:
    return call.value if call.kind is Kind.PUT else None


def _is_right(call: Call, state: State) -> bool:
    """Tell whether a call is answered so where it finds this."""
    there = dict(state)
    match call.kind:
        case Kind.PUT:
            return True
        case Kind.GET:
            return there.get(call.tag) == call.value
        case Kind.DELETE:
            return (call.tag in there) == call.value
        case Kind.LIST:
            return there.keys() == call.value


def _after(call: Call, state: State) -> State:
    """Give what a call leaves."""
    if not _is_write(call):
        return state
    rest = frozenset(item for item in state if item[0] != call.tag)
    return rest | {(call.tag, str(call.value))} if call.kind is Kind.PUT else rest


def _wrong_tags(call: Call, state: State) -> list[str]:
    """Give the tags about which an answer is not right."""
    if isinstance(call.value, frozenset):
        return sorted(call.value ^ {tag for tag, _ in state})
    return [call.tag]
