"""A core on a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.core import Bench


@pytest.fixture
def bench(tmp_path: Path, database_url: str) -> Iterator[Bench]:
    """A core with the usual limits."""
    with closing(Bench(tmp_path, database_url)) as made:
        yield made
