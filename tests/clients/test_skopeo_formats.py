"""skopeo: every format of manifests and layers, whole repositories at once, and long lists."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.clients import Program
from tests.support.images import OCI_LAYER, OCI_MANIFEST, Blob, MadeImage, digest_of, make_image
from tests.support.layouts import manifest_descriptor, write_layout
from tests.support.registry import DOCKER_LIST, DOCKER_MANIFEST, manifest_of, push_image
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ImageTypeDef

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

EMPTY = "application/vnd.oci.empty.v1+json"
BOM = "application/vnd.cyclonedx+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
PUSH = ("copy", "--dest-tls-verify=false")
PULL = ("copy", "--src-tls-verify=false")
SYNC = ("sync", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false")
PLAIN = "--tls-verify=false"


@pytest.fixture
def remote(server: Server, repository: str) -> str:
    """Where to push: a new repository."""
    return f"docker://{server.host}/{repository}"


@dataclass(frozen=True)
class Moving:
    """A skopeo that knows nothing, so that it takes no blob in another form than it is told to."""

    skopeo: Program
    layout: Path
    image: MadeImage
    folder: Path
    ecr: ECRClient


@pytest.fixture
def moving(
    skopeo: Program, busybox_layout: Path, busybox: MadeImage, tmp_path: Path, ecr: ECRClient
) -> Moving:
    new = Program(skopeo.command, skopeo.home, {**skopeo.env, "XDG_DATA_HOME": str(tmp_path)})
    return Moving(new, busybox_layout, busybox, tmp_path, ecr)


@dataclass(frozen=True)
class Bom:
    """A bill of materials of the busybox image, an artifact in a layout; and a client."""

    document: str
    layout: Path
    http: httpx.Client


@pytest.fixture
def bom(busybox: MadeImage, tmp_path: Path, http: httpx.Client) -> Bom:
    parts = MadeImage(Blob(b"{}", EMPTY), (Blob(b'{"bomFormat":"CycloneDX"}', BOM),))
    subject = manifest_descriptor(busybox.manifest, OCI_MANIFEST)
    document = manifest_of(parts, OCI_MANIFEST, artifactType=BOM, subject=subject)
    write_layout(tmp_path / "bom", [parts], {"bom": (document, OCI_MANIFEST)})
    return Bom(document, tmp_path / "bom", http)


def stored_image(ecr: ECRClient, remote: str, tag: str) -> ImageTypeDef:
    """Give the image as the AWS door tells it."""
    name = remote.removeprefix("docker://").partition("/")[2]
    (image,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": tag}])["images"]
    return image


@pytest.mark.parametrize(
    ("options", "manifest_type", "layer_type"),
    [
        pytest.param(["--format=oci"], OCI_MANIFEST, OCI_LAYER, id="oci"),
        pytest.param(["--format=v2s2"], DOCKER_MANIFEST, DOCKER_LAYER, id="docker"),
        pytest.param(["--dest-compress-format=zstd"], OCI_MANIFEST, ZSTD_LAYER, id="zstd"),
    ],
)
def test_copy_in_each_format_comes_back(
    moving: Moving, remote: str, options: list[str], manifest_type: str, layer_type: str
) -> None:
    moving.skopeo.output(*PUSH, *options, f"oci:{moving.layout}:busybox", f"{remote}:x")

    pulled = f"{moving.folder}/pulled"
    moving.skopeo.output(*PULL, "--dest-decompress", f"{remote}:x", f"dir:{pulled}")

    image = stored_image(moving.ecr, remote, "x")
    (pushed,) = json.loads(image["imageManifest"])["layers"]
    (plain,) = json.loads(Path(pulled, "manifest.json").read_text())["layers"]
    assert image["imageManifestMediaType"] == manifest_type
    assert pushed["mediaType"] == layer_type
    assert [plain["digest"]] == json.loads(moving.image.config.content)["rootfs"]["diff_ids"]


def test_copy_of_schema_1_is_refused_with_the_reason(
    skopeo: Program, busybox_layout: Path, remote: str
) -> None:
    done = skopeo.run(*PUSH, "--format=v2s1", f"oci:{busybox_layout}:busybox", f"{remote}:x")

    assert done.returncode != 0
    assert "Unsupported manifest media type 'application/vnd.docker.distribution.manifest.v1" in (
        done.stderr
    )


def test_copy_turns_an_index_into_a_docker_list(
    skopeo: Program, layout: Path, remote: str, ecr: ECRClient
) -> None:
    skopeo.output(*PUSH, "--all", "--format=v2s2", f"oci:{layout}:multi", f"{remote}:x")

    image = stored_image(ecr, remote, "x")
    children = json.loads(image["imageManifest"])["manifests"]
    assert image["imageManifestMediaType"] == DOCKER_LIST
    assert [child["mediaType"] for child in children] == [DOCKER_MANIFEST] * 2
    assert [child["platform"]["architecture"] for child in children] == ["amd64", "arm64"]


def test_copy_of_an_artifact_makes_it_a_referrer(
    skopeo: Program, busybox_layout: Path, busybox: MadeImage, remote: str, bom: Bom
) -> None:
    skopeo.output(*PUSH, f"oci:{busybox_layout}:busybox", f"{remote}:x")

    skopeo.output(*PUSH, "--preserve-digests", f"oci:{bom.layout}:bom", f"{remote}:bom")

    path = remote.removeprefix("docker://").partition("/")[2]
    index = bom.http.get(f"/v2/{path}/referrers/{busybox.digest}").json()
    (referrer,) = index["manifests"]
    assert referrer["digest"] == digest_of(bom.document.encode())
    assert referrer["artifactType"] == BOM


def test_sync_to_a_folder_and_back_keeps_all_tags(
    skopeo: Program, busybox_layout: Path, busybox: MadeImage, server: Server, tmp_path: Path
) -> None:
    ecr = server.ecr()
    for name in ("sync/from/it", "sync/to/it"):
        ecr.create_repository(repositoryName=name)
    for tag in ("one", "two"):
        remote = f"docker://{server.host}/sync/from/it:{tag}"
        skopeo.output(*PUSH, "--preserve-digests", f"oci:{busybox_layout}:busybox", remote)
    folder = str(tmp_path / "folder")

    skopeo.output(*SYNC, "--src=docker", "--dest=dir", f"{server.host}/sync/from/it", folder)
    skopeo.output(*SYNC, "--src=dir", "--dest=docker", folder, f"{server.host}/sync/to")

    images = ecr.list_images(repositoryName="sync/to/it")["imageIds"]
    assert sorted(image["imageTag"] for image in images) == ["one", "two"]
    assert {image["imageDigest"] for image in images} == {busybox.digest}


def test_sync_between_repositories_keeps_an_index(
    skopeo: Program, layout: Path, index_document: str, server: Server
) -> None:
    ecr = server.ecr()
    for name in ("sync/source/both", "sync/target/both"):
        ecr.create_repository(repositoryName=name)
    source = f"{server.host}/sync/source/both"
    skopeo.output(*PUSH, "--all", f"oci:{layout}:multi", f"docker://{source}:multi")

    skopeo.output(
        *SYNC, "--all", "--src=docker", "--dest=docker", source, f"{server.host}/sync/target"
    )

    image = stored_image(ecr, f"docker://{server.host}/sync/target/both", "multi")
    assert image["imageId"]["imageDigest"] == digest_of(index_document.encode())


def test_list_tags_follows_the_links_of_a_long_list(
    skopeo: Program, server: Server, http: httpx.Client, repository: str
) -> None:
    tags = [f"v{number:03}" for number in range(250)]
    push_image(http, repository, make_image(10), *tags)

    answer = skopeo.output("list-tags", PLAIN, f"docker://{server.host}/{repository}")

    assert json.loads(answer)["Tags"] == tags


def test_delete_of_a_tag_takes_the_image_with_all_its_tags(
    skopeo: Program, server: Server, http: httpx.Client, repository: str
) -> None:
    remote = f"docker://{server.host}/{repository}"
    push_image(http, repository, make_image(10), "one", "same")
    push_image(http, repository, make_image(10), "other")

    skopeo.output("delete", PLAIN, f"{remote}:one")  # looks its digest up and deletes that

    answer = skopeo.output("list-tags", PLAIN, remote)
    assert json.loads(answer)["Tags"] == ["other"]


def test_inspect_gives_manifest_and_config_as_they_were_pushed(
    skopeo: Program, busybox_layout: Path, busybox: MadeImage, remote: str
) -> None:
    skopeo.output(*PUSH, "--preserve-digests", f"oci:{busybox_layout}:busybox", f"{remote}:x")

    manifest = skopeo.output("inspect", PLAIN, "--raw", f"{remote}:x")
    config = skopeo.output("inspect", PLAIN, "--raw", "--config", f"{remote}@{busybox.digest}")

    assert manifest == busybox.manifest
    assert config.encode() == busybox.config.content
