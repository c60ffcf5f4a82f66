"""What a release consists of, built once for all tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ecrate import __version__
from tests.support.clients import find_program
from tools.release.image import build_image
from tools.release.python import build_python

EPOCH = 1_700_000_000


@dataclass(frozen=True)
class Built:
    """Sdist and wheel."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The Python packages of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    return Built(*build_python(folder, tmp_path_factory.mktemp("tree") / "tree", EPOCH))


@dataclass(frozen=True)
class BuiltImage:
    """The image's archive, and what its build may use again."""

    archive: Path
    work: Path


@pytest.fixture(scope="session")
def image(built: Built, tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The container image of this tree."""
    find_program("apt-get")
    folder = tmp_path_factory.mktemp("image")
    archive = folder / f"ecrate-{__version__}.image.tar"
    build_image(built.wheel, archive, folder, EPOCH)
    return BuiltImage(archive, folder)
