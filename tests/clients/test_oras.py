"""oras, the Python client: artifacts, chunked uploads, referrers, tags."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from oras.client import OrasClient
from oras.oci import Subject

from tests.support.images import OCI_MANIFEST, make_image
from tests.support.registry import MIB, push_image, some_bytes
from tests.support.server import Server

pytestmark = pytest.mark.clients

BOM = "application/vnd.cyclonedx+json"


@pytest.fixture
def oras(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrasClient]:
    """A client that is logged in with the root key."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # it leaves some there
    client = OrasClient(hostname=server.host, insecure=True, auth_backend="basic")
    client.login(server.key_id, server.secret, config_path=str(tmp_path / "config.json"))
    yield client
    client.session.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a file and a folder."""
    folder = tmp_path / "files"
    (folder / "texts" / "deep").mkdir(parents=True)
    (folder / "bom.json").write_text('{"bomFormat": "CycloneDX"}')
    (folder / "texts" / "deep" / "hello").write_text("hello")
    return folder


def push(oras: OrasClient, target: str, *files: str, **options: Any) -> str:
    """Push and give the artifact's digest."""
    answer = oras.push(target=target, files=list(files), disable_path_validation=True, **options)
    assert answer.status_code == 201
    return str(answer.headers["Docker-Content-Digest"])


def test_pushed_files_and_folders_come_back(
    oras: OrasClient, server: Server, repository: str, files: Path, tmp_path: Path
) -> None:
    target = f"{server.host}/{repository}:v1"
    push(oras, target, f"{files}/bom.json:{BOM}", f"{files}/texts")

    pulled = oras.pull(target=target, outdir=str(tmp_path / "pulled"))

    assert [Path(one).name for one in pulled] == ["bom.json", "texts"]
    assert (tmp_path / "pulled" / "bom.json").read_text() == (files / "bom.json").read_text()
    assert (tmp_path / "pulled" / "texts" / "deep" / "hello").read_text() == "hello"


def test_manifest_keeps_annotations_and_media_types(
    oras: OrasClient, server: Server, repository: str, files: Path
) -> None:
    target = f"{server.host}/{repository}:v1"
    push(oras, target, f"{files}/bom.json:{BOM}", manifest_annotations={"org.example": "yes"})

    manifest = oras.get_manifest(target)

    assert manifest["annotations"] == {"org.example": "yes"}
    assert [layer["mediaType"] for layer in manifest["layers"]] == [BOM]


def test_file_pushed_in_chunks_comes_back(
    oras: OrasClient, server: Server, repository: str, tmp_path: Path
) -> None:
    target = f"{server.host}/{repository}:large"
    (tmp_path / "large").write_bytes(some_bytes(7 * MIB))
    push(oras, target, f"{tmp_path}/large", do_chunked=True, chunk_size=3 * MIB)

    oras.pull(target=target, outdir=str(tmp_path / "pulled"))

    assert (tmp_path / "pulled" / "large").read_bytes() == some_bytes(7 * MIB)


def test_bill_of_materials_is_found_from_its_image(
    oras: OrasClient, server: Server, http: httpx.Client, repository: str, files: Path
) -> None:
    image = make_image()
    push_image(http, repository, image, "app")
    subject = Subject(OCI_MANIFEST, image.digest, len(image.manifest))
    digest = push(
        oras, f"{server.host}/{repository}:bom", f"{files}/bom.json:{BOM}", subject=subject
    )

    index = http.get(f"/v2/{repository}/referrers/{image.digest}").json()

    (referrer,) = index["manifests"]
    found = oras.get_manifest(f"{server.host}/{repository}@{referrer['digest']}")
    assert referrer["digest"] == digest
    assert found["subject"] == {
        "mediaType": OCI_MANIFEST,
        "digest": image.digest,
        "size": len(image.manifest),
    }


def test_get_tags_follows_the_links_of_a_long_list(
    oras: OrasClient, server: Server, http: httpx.Client, repository: str
) -> None:
    tags = [f"v{number:03}" for number in range(120)]
    push_image(http, repository, make_image(10), *tags)

    assert oras.get_tags(f"{server.host}/{repository}") == tags


def test_delete_tag_removes_the_artifact(
    oras: OrasClient, server: Server, repository: str, files: Path
) -> None:
    target = f"{server.host}/{repository}"
    push(oras, f"{target}:kept", f"{files}/bom.json:{BOM}")
    push(oras, f"{target}:gone", f"{files}/texts")

    is_deleted = oras.delete_tag(target, "gone")

    assert is_deleted
    assert oras.get_tags(target) == ["kept"]


def test_push_to_a_missing_repository_says_so(
    oras: OrasClient, server: Server, files: Path
) -> None:
    with pytest.raises(ValueError, match="The repository with name 'no/such' does not exist"):
        push(oras, f"{server.host}/no/such:v1", f"{files}/bom.json")


def test_pull_with_a_wrong_secret_is_refused(
    oras: OrasClient, server: Server, repository: str, files: Path
) -> None:
    push(oras, f"{server.host}/{repository}:v1", f"{files}/bom.json")
    oras.auth.set_basic_auth(server.key_id, "wrong")

    with pytest.raises(ValueError, match="Unauthorized"):
        oras.get_manifest(f"{server.host}/{repository}:v1")
