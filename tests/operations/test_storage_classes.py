"""What passes with time between the storage classes, and nested indexes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import ImageInaccessible
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import images
from ecrate.operations.core import Limits
from tests.support.core import START, Bench
from tests.support.images import OCI_INDEX, make_image
from tests.support.registry import index_of

SECONDS = 60.0


@pytest.fixture
def slow(make_bench: Callable[..., Bench]) -> Bench:
    """A bench on which a restore takes a minute."""
    return make_bench(limits=Limits(activation=SECONDS))


def move(bench: Bench, ref: RepositoryRef, digest: Digest, *, is_archive: bool) -> str:
    """Archive or restore an image; give its status."""
    detail = images.update_image_storage_class(
        bench.core, bench.caller, ref, ImageId(digest), is_archive=is_archive
    )
    return detail.image.storage.status_at(bench.clock())
