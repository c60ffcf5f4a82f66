"""A few seconds of fuzzing; `make fuzz` does the same for as long as one likes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", [pytest.param(one, id=one.name) for one in TARGETS])
def test_parser_raises_nothing_but_what_it_declares(target: Target[Any]) -> None:
    check = given(target.values)(target.check)

    settings(max_examples=150, suppress_health_check=list(HealthCheck))(check)()
