"""The documents' blocks where docker is."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import Program
from tests.support.documents import ROOT, run_blocks, write_archive
from tests.support.images import make_image

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


@pytest.fixture
def docker(dockerd: Program) -> Iterator[dict[str, str]]:
    """What makes `docker` talk to the daemon; in the end that has no image."""
    yield {"DOCKER_HOST": dockerd.command[-1], **dockerd.env}
    dockerd.output("image", "prune", "--all", "--force")


def test_blocks_of_the_readme_run(dockerd: Program, docker: dict[str, str], tmp_path: Path) -> None:
    write_archive(tmp_path / "image.tar", make_image(1000))
    with tarfile.open(tmp_path / "root.tar", "w"):
        dockerd.output("import", str(tmp_path / "root.tar"), "busybox")

    run_blocks((ROOT / "README.md").read_text(), tmp_path, docker, docker=True)


def test_blocks_of_the_tutorial_do_what_they_say(docker: dict[str, str], tmp_path: Path) -> None:
    tutorial = ROOT / "docs" / "tutorial" / "first-image.md"

    run_blocks(tutorial.read_text(), tmp_path, docker, docker=True)
