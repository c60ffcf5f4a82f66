"""Uploads to a service stricter than ours: Amazon's refuses a part that it has already.

Source: the API reference of UploadLayerPart, InvalidLayerPartException.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.strict_service import StrictService
from tests.support.images import OCI_MANIFEST, make_image
from tests.support.layouts import write_layout


@pytest.fixture
def push(run_strict: Run, tmp_path: Path) -> Run:
    """Push an image with a layer of 3500 bytes to the service."""
    image = make_image(3500)
    write_layout(tmp_path / "layout", [image], {"x": (image.manifest, OCI_MANIFEST)})
    return lambda: run_strict("push", str(tmp_path / "layout"), "app")


def test_upload_sends_parts_of_the_size_asked_for(push: Run, service: StrictService) -> None:
    ran = push()

    assert ran.code == 0
    assert service.first_bytes == [0, 1000, 2000, 3000]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        # The first answer that is lost, the same part again, and on behind the last valid byte.
        pytest.param({2}, [0, 1000, 1000, 2000, 3000], id="one"),
        pytest.param({2, 3}, [0, 1000, 1000, 1000, 2000, 3000], id="two in a row"),
        pytest.param({4}, [0, 1000, 2000, 3000, 3000], id="the last"),
    ],
)
def test_upload_resumes_behind_the_last_valid_byte(
    push: Run, service: StrictService, lost: set[int], expected: list[int]
) -> None:
    service.lost = lost

    ran = push()

    assert ran.code == 0
    assert service.first_bytes == expected


def test_upload_resumes_where_the_service_has_less(push: Run, service: StrictService) -> None:
    service.keeps_at = (3000, 1000)

    ran = push()

    assert ran.code == 0
    assert service.first_bytes == [0, 1000, 2000, 3000, 1000, 2000, 3000]


def test_upload_begins_anew_where_it_was_given_up(push: Run, service: StrictService) -> None:
    service.forgets_at = 2000

    ran = push()

    assert (ran.code, service.uploads) == (0, 2)
    assert service.first_bytes == [0, 1000, 2000, 0, 1000, 2000, 3000]
