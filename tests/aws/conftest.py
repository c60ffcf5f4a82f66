"""The door in this process, for tests that need small limits or a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.door import Account, Door, open_door


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("door")) as opened:
        yield opened


@pytest.fixture
def account(door: Door) -> Iterator[Account]:
    """An account that has nothing yet."""
    yield door.account()
    door.database.is_broken = False
