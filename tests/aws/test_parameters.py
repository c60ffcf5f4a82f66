"""Every parameter of a built operation is read by its handler: none is accepted and ignored.

The handlers get their parameters in dictionaries that note which members are taken out, by name;
a copy, a look whether it is there, or a loop over all of them does not count, nor what was read
for a request that was refused in the end.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from typing_extensions import override

from ecrate.aws.call import Call
from ecrate.aws.table import OPERATIONS, Entry
from tests.support.door import Account
from tests.support.rules import members_of
from tests.support.scenarios import SCENARIOS


class Watched(dict[str, Any]):
    """A structure that adds to `read` the path of each member that is taken out."""

    def __init__(self, members: dict[str, Any], path: str, read: set[str]) -> None:
        super().__init__(
            (name, _watched(value, f"{path}.{name}".lstrip("."), read))
            for name, value in members.items()
        )
        self._path, self._read = path, read

    @override
    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        self._read.add(f"{self._path}.{name}".lstrip("."))
        return value

    @override
    def get(self, name: str, default: Any = None) -> Any:
        with contextlib.suppress(KeyError):
            return self[name]
        return default


def _watched(value: Any, path: str, read: set[str]) -> Any:
    if isinstance(value, dict):
        return Watched(value, path, read)
    if isinstance(value, list):
        return [_watched(one, f"{path}[]", read) for one in value]
    return value


def _paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            inner = f"{path}.{name}".lstrip(".")
            yield inner
            yield from _paths(member, inner)
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, f"{path}[]")


@dataclass
class Ledger:
    """What calls that succeeded gave, and what was read of it, by operation."""

    given: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    read: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def watch(self, name: str, entry: Entry) -> Callable[[Call[Any]], dict[str, Any]]:
        def handler(call: Call[Any]) -> dict[str, Any]:
            read: set[str] = set()
            parameters = Watched(call.parameters, "", read)
            answer = entry.handler(replace(call, parameters=parameters))
            self.given[name].update(_paths(call.parameters))
            self.read[name].update(read)
            return answer

        return handler


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    """Watch all handlers while this module's tests run."""
    ledger = Ledger()
    with pytest.MonkeyPatch.context() as patch:
        for name, entry in OPERATIONS.items():
            patch.setitem(OPERATIONS, name, replace(entry, handler=ledger.watch(name, entry)))
        yield ledger


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_parameter_is_read(ledger: Ledger, account: Account, name: str) -> None:
    SCENARIOS[name](account)

    expected = members_of(name)
    assert expected - ledger.given[name] == set(), "the scenario does not give them"
    assert expected - ledger.read[name] == set(), "the handler does not read them"


def test_scenarios_are_those_of_all_operations() -> None:
    assert SCENARIOS.keys() == OPERATIONS.keys()
