"""What a release consists of, built once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecrate import __version__
from ecrate.cli import main as ecrate
from tests.support.clients import Program, find_program
from tests.support.dockerd import running_dockerd
from tests.support.server import Server
from tools.release.image import build_image
from tools.release.python import build_python
from tools.release.tree import export

EPOCH = 1_700_000_000
_IMAGE = "own/ecrate:it"


@dataclass(frozen=True)
class Built:
    """Sdist and wheel, and what they were built of."""

    tree: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The Python packages of this tree."""
    tree = tmp_path_factory.mktemp("exported") / "tree"
    export(Path(__file__).parents[2], tree, EPOCH)
    return Built(tree, *build_python(tree, tmp_path_factory.mktemp("dist"), EPOCH))


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


@pytest.fixture(scope="session")
def docker(image: BuiltImage, server: Server) -> Iterator[Program]:
    """A docker that has pulled the image from the registry, to which `ecrate` has pushed it; there
    it is named `it`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        assert ecrate(["push", "--create", "--quiet", str(image.archive), _IMAGE]) == 0
    with running_dockerd() as program:
        login = ("--username", server.key_id, "--password-stdin", server.host)
        program.output("login", *login, text=server.secret)
        program.output("pull", "--quiet", f"{server.host}/{_IMAGE}")
        program.output("tag", f"{server.host}/{_IMAGE}", "it")
        yield program
