"""skopeo: what it pushes comes back byte for byte, blob by blob and manifest by manifest."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clients import Program
from tests.support.images import MadeImage, digest_of
from tests.support.layouts import read_blobs
from tests.support.server import ACCOUNT, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
_PUSH = ("copy", "--dest-tls-verify=false")
_PULL = ("copy", "--src-tls-verify=false")


@pytest.fixture
def make_remote(server: Server, make_repository: Callable[[], str]) -> Callable[[], str]:
    """Create repositories and tell where to push."""
    return lambda: f"docker://{server.host}/{make_repository()}"


@pytest.fixture
def remote(make_remote: Callable[[], str]) -> str:
    """Where to push: a new repository."""
    return make_remote()


@pytest.fixture
def pushed(skopeo: Program, layout: Path, remote: str) -> str:
    """A repository with the image `single` and the index `multi`."""
    skopeo.output(*_PUSH, "--all", f"oci:{layout}:multi", f"{remote}:multi")
    skopeo.output(*_PUSH, f"oci:{layout}:single", f"{remote}:single")
    return remote


def blobs_of(image: MadeImage) -> dict[str, bytes]:
    """Give what a layout with this image alone consists of."""
    blobs = {blob.digest: blob.content for blob in image.blobs}
    return blobs | {image.digest: image.manifest.encode()}


def test_copy_keeps_an_image_of_many_layers(
    skopeo: Program, layout: Path, remote: str, debian: MadeImage, tmp_path: Path
) -> None:
    skopeo.output(*_PUSH, "--preserve-digests", f"oci:{layout}:single", f"{remote}:single")

    skopeo.output(*_PULL, "--preserve-digests", f"{remote}:single", f"oci:{tmp_path}/pulled:x")

    assert read_blobs(tmp_path / "pulled") == blobs_of(debian)


def test_copy_keeps_an_index_of_many_platforms(
    skopeo: Program, layout: Path, remote: str, tmp_path: Path
) -> None:
    skopeo.output(*_PUSH, "--all", "--preserve-digests", f"oci:{layout}:multi", f"{remote}:multi")

    skopeo.output(*_PULL, "--all", f"{remote}:multi", f"oci:{tmp_path}/pulled:x")

    assert read_blobs(tmp_path / "pulled") == read_blobs(layout)


def test_copy_pulls_one_platform_of_an_index(
    skopeo: Program, pushed: str, images: dict[str, MadeImage], tmp_path: Path
) -> None:
    arm = skopeo.with_options("--override-arch=arm64")

    arm.output(*_PULL, f"{pushed}:multi", f"oci:{tmp_path}/pulled:x")

    assert read_blobs(tmp_path / "pulled") == blobs_of(images["arm64"])


def test_copy_keeps_a_docker_manifest(
    skopeo: Program, layout: Path, remote: str, debian: MadeImage, tmp_path: Path
) -> None:
    pulled = tmp_path / "pulled"
    options = ("--format=v2s2", f"--digestfile={tmp_path}/digest")
    skopeo.output(*_PUSH, *options, f"oci:{layout}:single", f"{remote}:docker")

    skopeo.output(*_PULL, f"{remote}:docker", f"dir:{pulled}")

    manifest = (pulled / "manifest.json").read_bytes()
    digests = [layer["digest"] for layer in json.loads(manifest)["layers"]]
    contents = [(pulled / digest.removeprefix("sha256:")).read_bytes() for digest in digests]
    assert digest_of(manifest) == (tmp_path / "digest").read_text()
    assert json.loads(manifest)["mediaType"] == SCHEMA_2
    assert contents == [layer.content for layer in debian.layers]


def test_copy_from_one_repository_to_another(
    skopeo: Program,
    pushed: str,
    make_remote: Callable[[], str],
    layout: Path,
    tmp_path: Path,
) -> None:
    other = make_remote()
    skopeo.output(*_PUSH, *_PULL[1:], "--all", f"{pushed}:multi", f"{other}:copy")

    skopeo.output(*_PULL, "--all", f"{other}:copy", f"oci:{tmp_path}/pulled:x")

    assert read_blobs(tmp_path / "pulled") == read_blobs(layout)


def test_copy_again_uploads_nothing(
    skopeo: Program, server: Server, layout: Path, pushed: str
) -> None:
    before = set((server.data / "blobs").rglob("*"))

    skopeo.output(*_PUSH, f"oci:{layout}:single", f"{pushed}:single")

    assert set((server.data / "blobs").rglob("*")) <= before


def test_copy_with_an_authorization_token(
    skopeo: Program, ecr: ECRClient, layout: Path, remote: str
) -> None:
    (data,) = ecr.get_authorization_token()["authorizationData"]
    credentials = f"--dest-creds=AWS:{_password(data['authorizationToken'])}"

    done = skopeo.run(*_PUSH, credentials, f"oci:{layout}:single", f"{remote}:single")

    assert done.returncode == 0, done.stderr


def _password(token: str) -> str:
    return b64decode(token).decode().removeprefix("AWS:")


def test_copy_with_a_wrong_secret_is_refused(
    skopeo: Program, server: Server, layout: Path, remote: str
) -> None:
    credentials = f"--dest-creds={server.key_id}:wrong"

    done = skopeo.run(*_PUSH, credentials, f"oci:{layout}:single", f"{remote}:single")

    assert done.returncode != 0
    assert "authentication required" in done.stderr


def test_copy_to_a_missing_repository_says_so(
    skopeo: Program, server: Server, layout: Path
) -> None:
    done = skopeo.run(*_PUSH, f"oci:{layout}:single", f"docker://{server.host}/no/such:1")

    assert done.returncode != 0
    assert (
        "name unknown: The repository with name 'no/such' does not exist in the registry "
        f"with id '{ACCOUNT}'"
    ) in done.stderr


def test_copy_of_a_missing_image_says_so(skopeo: Program, remote: str, tmp_path: Path) -> None:
    done = skopeo.run(*_PULL, f"{remote}:nothing", f"dir:{tmp_path}/pulled")

    assert done.returncode != 0
    assert "manifest unknown: Requested image not found" in done.stderr


def test_list_tags_lists_what_was_pushed(skopeo: Program, pushed: str) -> None:
    answer = skopeo.output("list-tags", "--tls-verify=false", pushed)

    assert json.loads(answer)["Tags"] == ["multi", "single"]


def test_inspect_tells_digest_and_layers(skopeo: Program, pushed: str, debian: MadeImage) -> None:
    answer = json.loads(skopeo.output("inspect", "--tls-verify=false", f"{pushed}:single"))

    assert answer["Digest"] == debian.digest
    assert answer["Layers"] == [layer.digest for layer in debian.layers]


def test_delete_removes_the_image(skopeo: Program, pushed: str) -> None:
    skopeo.output(
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--format=v2s2",
        f"{pushed}:single",
        f"{pushed}:gone",
    )

    skopeo.output("delete", "--tls-verify=false", f"{pushed}:gone")

    answer = skopeo.output("list-tags", "--tls-verify=false", pushed)
    assert json.loads(answer)["Tags"] == ["multi", "single"]


def test_delete_of_a_child_of_an_index_is_refused(skopeo: Program, pushed: str) -> None:
    done = skopeo.run("delete", "--tls-verify=false", f"{pushed}:single")

    assert done.returncode != 0
    assert "referenced by manifest list" in done.stderr
