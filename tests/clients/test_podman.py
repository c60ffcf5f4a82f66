"""podman: login, push, pull of images and indexes, search, and what it prints when it may not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clients import Program
from tests.support.containers import container_program, login
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of
from tests.support.registry import token_of
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ImageTypeDef

pytestmark = pytest.mark.clients

PLAIN = "--tls-verify=false"
ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA_2_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@pytest.fixture(scope="module")
def podman(server: Server) -> Iterator[Program]:
    """The `podman` command, logged in with the root key."""
    with container_program("podman") as program:
        yield login(program, server)


@pytest.fixture
def empty_podman(podman: Program) -> Iterator[Program]:
    """podman without any image, and without what it remembers of layers: it puts one that it has
    seen at the server, compressed otherwise, in the place of the one it is to push.
    """
    podman.output("image", "rm", "--all", "--force")
    shutil.rmtree(podman.home / "var-lib" / "containers" / "cache", ignore_errors=True)
    yield podman
    podman.output("image", "rm", "--all", "--force")


@pytest.fixture
def remote(server: Server, repository: str) -> str:
    """Where to push: a new repository."""
    return f"{server.host}/{repository}"


@pytest.fixture
def make_pushed(
    skopeo: Program, server: Server, new_repository: Callable[[], str]
) -> Callable[[Path, str], str]:
    """Put an image of a layout into a new repository, and tell where that is."""

    def push(layout: Path, name: str) -> str:
        remote = f"{server.host}/{new_repository()}"
        options = ("--all", "--preserve-digests", "--dest-tls-verify=false")
        skopeo.output("copy", *options, f"oci:{layout}:{name}", f"docker://{remote}:{name}")
        return f"{remote}:{name}"

    return push


@dataclass(frozen=True)
class FreshPodman:
    """A podman that knows nothing but one image, so that it finds no other form of its layers."""

    podman: Program
    image: str
    diff_ids: list[str]
    ecr: ECRClient


@pytest.fixture
def fresh_podman(
    server: Server, busybox_layout: Path, busybox: MadeImage, ecr: ECRClient
) -> Iterator[FreshPodman]:
    with container_program("podman") as program:
        podman = login(program, server)
        image = podman.output("pull", "--quiet", f"oci:{busybox_layout}:busybox").strip()
        yield FreshPodman(podman, image, diff_ids(busybox), ecr)


def stored_image(ecr: ECRClient, remote: str) -> ImageTypeDef:
    """Give the image as the AWS door tells it."""
    path, _, tag = remote.partition("/")[2].partition(":")
    (image,) = ecr.batch_get_image(repositoryName=path, imageIds=[{"imageTag": tag}])["images"]
    return image


def inspect(podman: Program, image: str) -> dict[str, Any]:
    (found,) = json.loads(podman.output("image", "inspect", image))
    assert isinstance(found, dict)
    return found


def diff_ids(image: MadeImage) -> list[str]:
    """Give the digests of the image's uncompressed layers."""
    return list(json.loads(image.config.content)["rootfs"]["diff_ids"])


def test_login_with_an_authorization_token(podman: Program, server: Server, tmp_path: Path) -> None:
    options = (PLAIN, f"--authfile={tmp_path}/auth.json", "--username=AWS", "--password-stdin")

    answer = podman.output("login", *options, server.host, text=token_of(server))

    assert "Login Succeeded!" in answer


def test_login_with_a_wrong_secret_is_refused(
    podman: Program, server: Server, tmp_path: Path
) -> None:
    user = f"--username={server.key_id}"
    options = (PLAIN, f"--authfile={tmp_path}/auth.json", user, "--password-stdin")

    done = podman.run("login", *options, server.host, text="wrong")

    assert done.returncode != 0
    assert "invalid username/password" in done.stderr


def test_pull_gets_a_debian_root(
    empty_podman: Program,
    make_pushed: Callable[[Path, str], str],
    layout: Path,
    debian: MadeImage,
) -> None:
    remote = make_pushed(layout, "single")

    pulled = empty_podman.output("pull", "--quiet", PLAIN, remote).strip()

    found = inspect(empty_podman, remote)
    assert f"sha256:{pulled}" == debian.config.digest
    assert found["Digest"] == debian.digest
    assert found["RootFS"]["Layers"] == diff_ids(debian)
    assert found["Config"]["Cmd"] == ["/bin/bash"]


def test_push_brings_back_the_same_image(
    empty_podman: Program, busybox_layout: Path, busybox: MadeImage, remote: str, tmp_path: Path
) -> None:
    podman = empty_podman
    image = podman.output("pull", "--quiet", f"oci:{busybox_layout}:busybox").strip()
    podman.output("push", PLAIN, f"--digestfile={tmp_path}/digest", image, f"{remote}:pushed")
    podman.output("image", "rm", "--all", "--force")

    pulled = podman.output("pull", "--quiet", PLAIN, f"{remote}:pushed").strip()

    found = inspect(podman, f"{remote}:pushed")
    assert pulled == image
    assert found["Digest"] == (tmp_path / "digest").read_text()
    assert found["RootFS"]["Layers"] == diff_ids(busybox)


@pytest.mark.parametrize(
    ("option", "manifest_type", "layer_type"),
    [
        pytest.param("--compression-format=zstd", OCI_MANIFEST, ZSTD_LAYER, id="zstd"),
        pytest.param("--format=v2s2", SCHEMA_2, SCHEMA_2_LAYER, id="docker"),
    ],
)
def test_push_in_another_format_can_be_pulled(
    fresh_podman: FreshPodman, remote: str, option: str, manifest_type: str, layer_type: str
) -> None:
    podman, image = fresh_podman.podman, fresh_podman.image
    podman.output("push", PLAIN, option, image, f"{remote}:pushed")
    podman.output("image", "rm", "--all", "--force")

    podman.output("pull", "--quiet", PLAIN, f"{remote}:pushed")

    stored = stored_image(fresh_podman.ecr, f"{remote}:pushed")
    layers = json.loads(stored["imageManifest"])["layers"]
    found = inspect(podman, f"{remote}:pushed")
    assert stored["imageManifestMediaType"] == manifest_type
    assert [layer["mediaType"] for layer in layers] == [layer_type]
    assert found["RootFS"]["Layers"] == fresh_podman.diff_ids


def test_pull_chooses_the_platform_of_an_index(
    empty_podman: Program,
    make_pushed: Callable[[Path, str], str],
    layout: Path,
    images: dict[str, MadeImage],
) -> None:
    remote = make_pushed(layout, "multi")

    pulled = empty_podman.output("pull", "--quiet", PLAIN, "--arch=arm64", remote).strip()

    assert f"sha256:{pulled}" == images["arm64"].config.digest


def test_manifest_push_makes_an_index(
    empty_podman: Program, layout: Path, remote: str, ecr: ECRClient, images: dict[str, MadeImage]
) -> None:
    podman = empty_podman
    podman.output("manifest", "create", "both")
    podman.output("manifest", "add", "--all", "both", f"oci:{layout}:multi")

    podman.output("manifest", "push", "--all", PLAIN, "both", f"docker://{remote}:both")

    index = stored_image(ecr, f"{remote}:both")
    platforms = {
        entry["platform"]["architecture"]: entry["digest"]
        for entry in json.loads(index["imageManifest"])["manifests"]
    }
    assert index["imageManifestMediaType"] == OCI_INDEX
    assert index["imageId"]["imageDigest"] == digest_of(index["imageManifest"].encode())
    assert platforms == {name: image.digest for name, image in images.items()}


def test_search_lists_tags(
    podman: Program, make_pushed: Callable[[Path, str], str], busybox_layout: Path
) -> None:
    remote = make_pushed(busybox_layout, "busybox")
    name = remote.rpartition(":")[0]

    answer = podman.output("search", "--list-tags", PLAIN, "--format=json", name)

    assert json.loads(answer) == [{"Name": name, "Tags": ["busybox"]}]


def test_search_finds_a_repository(podman: Program, server: Server, remote: str) -> None:
    rows = podman.output("search", PLAIN, "--limit=1000", "--format={{.Name}}", f"{server.host}/")

    assert remote in rows.splitlines()


def test_push_to_a_missing_repository_says_so(
    empty_podman: Program, server: Server, busybox_layout: Path
) -> None:
    image = empty_podman.output("pull", "--quiet", f"oci:{busybox_layout}:busybox").strip()

    done = empty_podman.run("push", PLAIN, image, f"{server.host}/no/such:1")

    assert done.returncode != 0
    assert "name unknown: The repository with name 'no/such' does not exist" in done.stderr


def test_pull_of_a_missing_image_says_so(podman: Program, remote: str) -> None:
    done = podman.run("pull", PLAIN, f"{remote}:nothing")

    assert done.returncode != 0
    assert "manifest unknown: Requested image not found" in done.stderr


def test_pull_without_a_login_is_refused(
    podman: Program, make_pushed: Callable[[Path, str], str], busybox_layout: Path, tmp_path: Path
) -> None:
    remote = make_pushed(busybox_layout, "busybox")
    (tmp_path / "auth.json").write_text("{}")

    done = podman.run("pull", PLAIN, f"--authfile={tmp_path}/auth.json", remote)

    assert done.returncode != 0
    assert "unauthorized: authentication required" in done.stderr
