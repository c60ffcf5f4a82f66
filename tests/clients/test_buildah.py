"""buildah: builds on what it pulls, pushes what it builds, and keeps its cache in a registry."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clients import Program
from tests.support.containers import container_program, login
from tests.support.images import OCI_LAYER, OCI_MANIFEST, MadeImage
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ImageTypeDef

pytestmark = pytest.mark.clients

PLAIN = "--tls-verify=false"
SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA_2_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
STEPS = """\
FROM {base}
COPY hello /hello
RUN ["/bin/busybox", "cp", "/hello", "/copied"]
"""


@pytest.fixture
def make_buildah(server: Server) -> Iterator[Callable[[], Program]]:
    """Make logged in `buildah` commands that share nothing, as on machines of their own."""
    with contextlib.ExitStack() as programs:
        yield lambda: login(programs.enter_context(container_program("buildah")), server)


@pytest.fixture
def buildah(make_buildah: Callable[[], Program]) -> Program:
    return make_buildah()


@pytest.fixture
def remote(server: Server, repository: str) -> str:
    """Where to push: a new repository."""
    return f"{server.host}/{repository}"


@pytest.fixture(scope="session")
def base(
    skopeo: Program, server: Server, new_repository: Callable[[], str], busybox_layout: Path
) -> str:
    """An image in the registry to build on."""
    base = f"{server.host}/{new_repository()}:base"
    options = ("--preserve-digests", "--dest-tls-verify=false")
    skopeo.output("copy", *options, f"oci:{busybox_layout}:busybox", f"docker://{base}")
    return base


@pytest.fixture
def context(tmp_path: Path, base: str) -> Path:
    """A folder to build from."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "hello").write_text("hello")
    (folder / "Containerfile").write_text(STEPS.format(base=base))
    return folder


def build(buildah: Program, context: Path, image: str, *options: str) -> str:
    """Build, and give what it prints on the way."""
    done = buildah.run(
        "build", PLAIN, "--isolation=chroot", "--layers", *options, "-t", image, str(context)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(buildah: Program, image: str, *command: str) -> str:
    """Run a command in a container of the image, pulled first if need be."""
    container = buildah.output("from", "--quiet", PLAIN, image).strip()
    return buildah.output("run", "--isolation=chroot", container, *command)


def image_id(buildah: Program, image: str) -> str:
    return buildah.output("images", "--quiet", "--no-trunc", image).strip()


@dataclass(frozen=True)
class Built:
    """An image of one layer in the store of a buildah that knows nothing else."""

    buildah: Program
    image: str
    ecr: ECRClient


@pytest.fixture
def built(buildah: Program, tmp_path: Path, ecr: ECRClient, root_layers: list[Path]) -> Built:
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "root.tar").hardlink_to(root_layers[-1])
    (folder / "hello").write_text("hello")
    (folder / "Containerfile").write_text("FROM scratch\nADD root.tar /\nCOPY hello /hello\n")
    options = ("--isolation=chroot", "--squash", "--quiet")
    image = buildah.output("build", *options, str(folder)).strip()
    return Built(buildah, image, ecr)


def stored_image(ecr: ECRClient, remote: str) -> ImageTypeDef:
    """Give the image as the AWS door tells it."""
    path, _, tag = remote.partition("/")[2].partition(":")
    (image,) = ecr.batch_get_image(repositoryName=path, imageIds=[{"imageTag": tag}])["images"]
    return image


def test_image_built_on_a_pulled_one_runs_elsewhere(
    make_buildah: Callable[[], Program],
    context: Path,
    remote: str,
    ecr: ECRClient,
    busybox: MadeImage,
) -> None:
    here, there = make_buildah(), make_buildah()
    build(here, context, f"{remote}:built")

    here.output("push", PLAIN, f"{remote}:built")

    layers = json.loads(stored_image(ecr, f"{remote}:built")["imageManifest"])["layers"]
    assert run(there, f"{remote}:built", "/bin/busybox", "cat", "/copied") == "hello"
    # Not packed again: mounted from the repository it was pulled from.
    assert layers[0]["digest"] == busybox.layers[0].digest
    assert len(layers) == 3


def test_build_takes_its_cache_from_a_registry(
    make_buildah: Callable[[], Program],
    context: Path,
    server: Server,
    make_repository: Callable[[], str],
) -> None:
    app, cache = (f"{server.host}/{make_repository()}" for _ in range(2))
    options = (f"--cache-to={cache}", f"--cache-from={cache}")
    first, second = make_buildah(), make_buildah()
    told = build(first, context, f"{app}:first", *options)
    assert told.count(f"--> Pushing cache {cache}:") == 2

    told = build(second, context, f"{app}:second", *options)

    assert told.count(f"--> Cache pulled from remote {cache}:") == 2
    assert "--> Pushing cache" not in told
    assert image_id(first, f"{app}:first") == image_id(second, f"{app}:second")


@pytest.mark.parametrize(
    ("option", "manifest_type", "layer_type"),
    [
        pytest.param("--format=oci", OCI_MANIFEST, OCI_LAYER, id="oci"),
        pytest.param("--format=v2s2", SCHEMA_2, SCHEMA_2_LAYER, id="docker"),
        pytest.param("--compression-format=zstd", OCI_MANIFEST, ZSTD_LAYER, id="zstd"),
    ],
)
def test_push_in_each_format(
    built: Built, remote: str, option: str, manifest_type: str, layer_type: str
) -> None:
    built.buildah.output("push", PLAIN, option, built.image, f"docker://{remote}:pushed")

    image = stored_image(built.ecr, f"{remote}:pushed")
    (layer,) = json.loads(image["imageManifest"])["layers"]
    assert image["imageManifestMediaType"] == manifest_type
    assert layer["mediaType"] == layer_type
    assert run(built.buildah, f"{remote}:pushed", "/bin/busybox", "cat", "/hello") == "hello"


def test_push_to_a_missing_repository_says_so(built: Built, server: Server) -> None:
    done = built.buildah.run("push", PLAIN, built.image, f"docker://{server.host}/no/such:1")

    assert done.returncode != 0
    assert "name unknown: The repository with name 'no/such' does not exist" in done.stderr
