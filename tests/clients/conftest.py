"""Client programs and what they push; a missing one skips here and fails in CI."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clients import Program, find_program, miss
from tests.support.debian import make_root_layers
from tests.support.dockerd import running_dockerd
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage
from tests.support.layouts import pack_image, pack_index, write_layout
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def new_repository(ecr: ECRClient) -> Callable[[], str]:
    """Create repositories for fixtures that outlive a test."""

    def make() -> str:
        name = f"clients/repository-{next(_NUMBERS)}"
        ecr.create_repository(repositoryName=name)
        return name

    return make


@pytest.fixture(scope="session")
def root_layers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Tar files with a Debian root, one a layer."""
    return make_root_layers(tmp_path_factory.mktemp("debian"))


@pytest.fixture(scope="session")
def debian(root_layers: list[Path]) -> MadeImage:
    """A Debian root as an image of three layers, the largest above 10 MiB."""
    return pack_image(root_layers)


@pytest.fixture(scope="session")
def images(debian: MadeImage, root_layers: list[Path]) -> dict[str, MadeImage]:
    """The image by architecture; arm64 has one layer only, which both share."""
    return {"amd64": debian, "arm64": pack_image(root_layers[:1], architecture="arm64")}


@pytest.fixture(scope="session")
def index_document(images: dict[str, MadeImage]) -> str:
    """The multi-arch index of both."""
    return pack_index(images)


@pytest.fixture(scope="session")
def layout(
    tmp_path_factory: pytest.TempPathFactory, images: dict[str, MadeImage], index_document: str
) -> Path:
    """An OCI layout with `single`, the image for amd64, and `multi`, the index."""
    folder = tmp_path_factory.mktemp("layouts") / "debian"
    named = {
        "single": (images["amd64"].manifest, OCI_MANIFEST),
        "multi": (index_document, OCI_INDEX),
    }
    write_layout(folder, images.values(), named)
    return folder


@pytest.fixture(scope="session")
def busybox(root_layers: list[Path]) -> MadeImage:
    """A smaller image that can still run, of one layer."""
    return pack_image(root_layers[-1:])


@pytest.fixture(scope="session")
def busybox_layout(tmp_path_factory: pytest.TempPathFactory, busybox: MadeImage) -> Path:
    """An OCI layout with the smaller image as `busybox`."""
    folder = tmp_path_factory.mktemp("layouts") / "busybox"
    write_layout(folder, [busybox], {"busybox": (busybox.manifest, OCI_MANIFEST)})
    return folder


@pytest.fixture(scope="session")
def skopeo(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Program:
    """The `skopeo` command, logged in at the server."""
    home = tmp_path_factory.mktemp("skopeo")
    env = {
        "REGISTRY_AUTH_FILE": str(home / "auth.json"),
        # Root's cache of blobs would lie in /var/lib; this makes skopeo keep it in `home`.
        "_CONTAINERS_ROOTLESS_UID": "1",
        "XDG_DATA_HOME": str(home),
    }
    program = Program((find_program("skopeo"), "--insecure-policy"), home, env)
    login = ["login", "--tls-verify=false", "--username", server.key_id, "--password-stdin"]
    program.output(*login, server.host, text=server.secret)
    return program


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Program]:
    """The `docker` command with a daemon of its own, logged in nowhere."""
    with running_dockerd() as docker:
        yield docker


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(Path(sys.executable).with_name("aws"), id="aws-1"),
        pytest.param(Path("/usr/bin/aws"), id="aws-2"),
    ],
)
def aws(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: Server
) -> Program:
    """The `aws` command, version 1 from PyPI and version 2 from Debian."""
    if not os.access(request.param, os.X_OK):
        miss(f"{request.param} is not installed")
    env = {**server.env, "AWS_PAGER": ""}
    # Debian's version is from before AWS_ENDPOINT_URL.
    command = (str(request.param), "--endpoint-url", server.endpoint)
    return Program(command, tmp_path_factory.mktemp("aws"), env)
