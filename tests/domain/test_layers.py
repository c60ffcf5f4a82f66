"""Parts of an upload, and the limits as the API reference has them."""

from __future__ import annotations

import pytest

from ecrate.domain import layers
from ecrate.domain.layers import Part, Upload

UPLOAD = Upload("u", 1, "p", size=15, parts=2, last_part_first_byte=10)


@pytest.mark.parametrize(
    ("first", "last", "size"),
    [pytest.param(0, 0, 1, id="byte"), pytest.param(5, 9, 5, id="five"), (3, 2, 0)],
)
def test_part_counts_both_ends(first: int, last: int, size: int) -> None:
    assert Part(first, last).size == size


@pytest.mark.parametrize(
    ("part", "upload", "expected"),
    [
        pytest.param(Part(10, 14), UPLOAD, True, id="last"),
        pytest.param(Part(0, 9), UPLOAD, False, id="earlier"),
        pytest.param(Part(9, 14), UPLOAD, False, id="longer"),
        pytest.param(Part(10, 13), UPLOAD, False, id="shorter"),
        pytest.param(Part(15, 19), UPLOAD, False, id="next"),
        pytest.param(Part(0, -1), Upload("u", 1, "p"), False, id="none-yet"),
    ],
)
def test_part_repeats_the_last_one_only(part: Part, upload: Upload, *, expected: bool) -> None:
    assert part.repeats(upload) == expected


def test_limits_are_those_of_the_api_reference() -> None:
    assert layers.PART_SIZE == 10_485_760
    assert layers.MAX_PART_SIZE == 20_971_520
    assert layers.MIN_PART_SIZE == 5_242_880
    assert layers.MAX_PARTS == 4_200
    assert layers.MAX_LAYER_SIZE == 52_000 * 1_048_576
