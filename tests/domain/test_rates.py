"""Rates: what a setting may say, and what the documentation says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecrate.domain.rates import RATES, parse_rates

DOCUMENT = Path(__file__).parents[2] / "docs/reference/quotas.md"


@pytest.mark.parametrize("text", ["", "off"])
def test_parse_rates_of_none(text: str) -> None:
    assert parse_rates(text) == {}


def test_parse_rates_of_ecr() -> None:
    assert parse_rates("ecr") == RATES


def test_parse_rates_changes_those_named() -> None:
    rates = parse_rates("PutImage=50, BatchGetImage=1")

    assert rates == {**RATES, "PutImage": 50, "BatchGetImage": 1}


@pytest.mark.parametrize(
    "pair",
    ["on", "ecr", "", "PutImage", "PutImage=", "PutImage=0", "PutImage=1.5", "DeleteImage=1"],
)
def test_parse_rates_names_what_it_refuses(pair: str) -> None:
    with pytest.raises(ValueError, match=f"^{pair}$"):
        parse_rates(f"BatchGetImage=5,{pair}")


def test_rates_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([0-9,]+) \|", DOCUMENT.read_text(), re.MULTILINE)

    assert {name: int(rate.replace(",", "")) for name, rate in rows} == RATES
