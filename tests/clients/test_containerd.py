"""containerd: `ctr` pushes, pulls and unpacks images and indexes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clients import Program
from tests.support.containerd import running_containerd
from tests.support.images import OCI_LAYER, MadeImage
from tests.support.layouts import read_blobs
from tests.support.registry import token_of
from tests.support.server import Server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
# Copies files instead of mounting them over each other: works wherever root is root.
SNAPSHOTTER = "--snapshotter=native"


@pytest.fixture(scope="session")
def ctr() -> Iterator[Program]:
    """The `ctr` command with a daemon of its own."""
    with running_containerd() as program:
        yield program


@pytest.fixture
def empty_ctr(ctr: Program) -> Iterator[Program]:
    """ctr whose daemon has no images and no content."""
    forget(ctr)
    yield ctr
    forget(ctr)


def forget(ctr: Program) -> None:
    """Make the daemon forget its images, and with them their content."""
    images = ctr.output("images", "list", "--quiet").split()
    if images:
        ctr.output("images", "remove", "--sync", *images)
    assert ctr.output("content", "list", "--quiet") == ""


@pytest.fixture
def remote(server: Server, repository: str) -> str:
    """Where to push: a new repository."""
    return f"{server.host}/{repository}"


@pytest.fixture
def user(server: Server) -> tuple[str, str]:
    """The options to reach the server with the root key."""
    return ("--plain-http", f"--user={server.key_id}:{server.secret}")


@pytest.fixture
def make_pushed(
    skopeo: Program, server: Server, new_repository: Callable[[], str]
) -> Callable[[Path, str], str]:
    """Put an image of a layout into a new repository, and tell where that is."""

    def push(layout: Path, name: str) -> str:
        remote = f"{server.host}/{new_repository()}:{name}"
        options = ("--all", "--preserve-digests", "--dest-tls-verify=false")
        skopeo.output("copy", *options, f"oci:{layout}:{name}", f"docker://{remote}")
        return remote

    return push


@dataclass(frozen=True)
class Stocked:
    """A ctr without content, and an image in a layout to begin with."""

    ctr: Program
    layout: Path
    image: MadeImage
    skopeo: Program


@pytest.fixture
def stocked(
    empty_ctr: Program, busybox_layout: Path, busybox: MadeImage, skopeo: Program, tmp_path: Path
) -> Stocked:
    # Without memory of blobs, which it would take again in the form it knows.
    new = Program(skopeo.command, skopeo.home, {**skopeo.env, "XDG_DATA_HOME": str(tmp_path)})
    return Stocked(empty_ctr, busybox_layout, busybox, new)


def load(ctr: Program, layout: Path, folder: Path) -> None:
    """Import a layout; its images are named `local` and as they are in there."""
    archive = folder / "layout.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, ".")
    options = ("--all-platforms", "--no-unpack", "--base-name=local")
    ctr.output("images", "import", *options, str(archive))


def save(ctr: Program, image: str, folder: Path) -> dict[str, bytes]:
    """Export an image and give its blobs."""
    archive = folder / "saved.tar"
    ctr.output("images", "export", "--all-platforms", str(archive), image)
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "saved", filter="data")
    return read_blobs(folder / "saved")


def unpacked(ctr: Program) -> list[str]:
    """Give the chain ids of unpacked layers; that of a lowest layer is its own digest."""
    lines = ctr.output("snapshots", SNAPSHOTTER, "list").splitlines()
    return [line.split()[0] for line in lines[1:]]


def diff_ids(image: MadeImage) -> list[str]:
    """Give the digests of the image's uncompressed layers."""
    return list(json.loads(image.config.content)["rootfs"]["diff_ids"])


def test_push_and_fetch_keep_an_index(
    empty_ctr: Program, layout: Path, remote: str, user: tuple[str, str], tmp_path: Path
) -> None:
    load(empty_ctr, layout, tmp_path)
    empty_ctr.output("images", "push", *user, f"{remote}:multi", "local:multi")
    forget(empty_ctr)

    empty_ctr.output("content", "fetch", *user, "--all-platforms", f"{remote}:multi")

    assert read_blobs(layout).items() <= save(empty_ctr, f"{remote}:multi", tmp_path).items()


def test_pull_fetches_the_platform_of_this_machine_only(
    empty_ctr: Program,
    make_pushed: Callable[[Path, str], str],
    layout: Path,
    user: tuple[str, str],
    images: dict[str, MadeImage],
) -> None:
    remote = make_pushed(layout, "multi")

    empty_ctr.output("content", "fetch", *user, "--platform=linux/arm64", remote)

    here = empty_ctr.output("content", "list", "--quiet").split()
    assert {blob.digest for blob in images["arm64"].blobs} <= set(here)
    assert images["amd64"].layers[1].digest not in here


@pytest.mark.parametrize(
    ("option", "layer_type"),
    [
        pytest.param("--format=oci", OCI_LAYER, id="gzip"),
        pytest.param("--format=v2s2", DOCKER_LAYER, id="docker"),
        pytest.param("--dest-compress-format=zstd", ZSTD_LAYER, id="zstd"),
    ],
)
def test_pull_unpacks_layers_of_each_format(
    stocked: Stocked, remote: str, user: tuple[str, str], option: str, layer_type: str
) -> None:
    push = ("copy", "--dest-tls-verify=false", option)
    stocked.skopeo.output(*push, f"oci:{stocked.layout}:busybox", f"docker://{remote}:x")

    stocked.ctr.output("images", "pull", *user, SNAPSHOTTER, f"{remote}:x")

    raw = stocked.skopeo.output("inspect", "--tls-verify=false", "--raw", f"docker://{remote}:x")
    assert [layer["mediaType"] for layer in json.loads(raw)["layers"]] == [layer_type]
    assert unpacked(stocked.ctr) == diff_ids(stocked.image)


def test_pull_again_downloads_nothing(
    empty_ctr: Program,
    make_pushed: Callable[[Path, str], str],
    busybox_layout: Path,
    user: tuple[str, str],
) -> None:
    remote = make_pushed(busybox_layout, "busybox")
    empty_ctr.output("content", "fetch", *user, remote)

    again = empty_ctr.run("--debug", "content", "fetch", *user, "--http-dump", remote).stderr

    assert "/manifests/busybox" in again
    assert "/blobs/" not in again


def test_push_again_uploads_nothing(
    stocked: Stocked, remote: str, user: tuple[str, str], tmp_path: Path
) -> None:
    load(stocked.ctr, stocked.layout, tmp_path)
    push = ("--debug", "images", "push", *user, "--http-dump", f"{remote}:x", "local:busybox")
    first = stocked.ctr.run(*push).stderr

    again = stocked.ctr.run(*push).stderr

    assert "POST /v2/" in first

    assert "HEAD /v2/" in again
    assert "POST /v2/" not in again
    assert "PUT /v2/" not in again


def test_pull_with_an_authorization_token(
    empty_ctr: Program,
    make_pushed: Callable[[Path, str], str],
    busybox_layout: Path,
    busybox: MadeImage,
    server: Server,
) -> None:
    remote = make_pushed(busybox_layout, "busybox")

    empty_ctr.output("content", "fetch", "--plain-http", f"--user=AWS:{token_of(server)}", remote)

    assert busybox.digest in empty_ctr.output("images", "list")


@pytest.mark.parametrize(
    "user",
    [pytest.param([], id="without-a-name"), pytest.param(["--user=AKIA:wrong"], id="wrong-key")],
)
def test_pull_is_refused(
    empty_ctr: Program,
    make_pushed: Callable[[Path, str], str],
    busybox_layout: Path,
    user: list[str],
) -> None:
    remote = make_pushed(busybox_layout, "busybox")

    done = empty_ctr.run("content", "fetch", "--plain-http", *user, remote)

    assert done.returncode != 0
    assert "401 Unauthorized" in done.stderr


def test_pull_of_a_missing_image_says_so(
    empty_ctr: Program, remote: str, user: tuple[str, str]
) -> None:
    done = empty_ctr.run("content", "fetch", *user, f"{remote}:nothing")

    assert done.returncode != 0
    assert f"{remote}:nothing: not found" in done.stderr
