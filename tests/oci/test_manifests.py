"""Manifests at the registry door: HEAD, GET, PUT and DELETE, by tag and by digest."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.registry import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    error_of,
    index_of,
    manifest_of,
    push_blobs,
    push_image,
    put_manifest,
)
from tests.support.server import ACCOUNT, Server, running_server
from tests.support.wire import Wire

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

NOT_FOUND = (404, "MANIFEST_UNKNOWN", "Requested image not found")
UNKNOWN_DIGEST = "sha256:" + "0" * 64


def document(media_type: str, image: MadeImage) -> str:
    """Give a document of any of the four types that needs nothing but the image."""
    if media_type == OCI_INDEX:
        return index_of(OCI_INDEX, OCI_MANIFEST, manifest_of(image, OCI_MANIFEST))
    if media_type == DOCKER_LIST:
        return index_of(DOCKER_LIST, DOCKER_MANIFEST, manifest_of(image, DOCKER_MANIFEST))
    return manifest_of(image, media_type)


@pytest.fixture
def image(http: httpx.Client, repository: str) -> MadeImage:
    """An image whose blobs are in the repository, and its manifest in both formats."""
    made = make_image(1000, 2000)
    push_blobs(http, repository, made)
    for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        content = manifest_of(made, media_type)
        answer = put_manifest(http, repository, digest_of(content.encode()), content)
        assert answer.status_code == 201, answer.text
    return made


ALL_TYPES = pytest.mark.parametrize(
    "media_type",
    [
        pytest.param(OCI_MANIFEST, id="oci-image"),
        pytest.param(OCI_INDEX, id="oci-index"),
        pytest.param(DOCKER_MANIFEST, id="docker-image"),
        pytest.param(DOCKER_LIST, id="docker-list"),
    ],
)


@ALL_TYPES
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_put_manifest_stores_it_byte_for_byte(
    http: httpx.Client, repository: str, image: MadeImage, media_type: str, by: str
) -> None:
    content = json.dumps(json.loads(document(media_type, image)), indent=3) + "\n\n "
    digest = digest_of(content.encode())
    reference = {"tag": "v1.0_a-B", "digest": digest}[by]

    put = put_manifest(http, repository, reference, content, media_type)

    assert put.status_code == 201, put.text
    assert put.headers["Location"] == f"/v2/{repository}/manifests/{digest}"
    assert put.headers["Docker-Content-Digest"] == digest
    got = http.get(f"/v2/{repository}/manifests/{reference}")
    assert got.status_code == 200
    assert got.text == content
    assert got.headers["Content-Type"] == media_type
    assert got.headers["Docker-Content-Digest"] == digest


@ALL_TYPES
def test_head_manifest_describes_it(
    http: httpx.Client, repository: str, image: MadeImage, media_type: str
) -> None:
    content = document(media_type, image)
    digest = digest_of(content.encode())
    put_manifest(http, repository, "latest", content, media_type)

    heads = [http.head(f"/v2/{repository}/manifests/{one}") for one in ("latest", digest)]

    assert [head.status_code for head in heads] == [200, 200]
    assert [head.content for head in heads] == [b"", b""]
    assert {head.headers["Content-Length"] for head in heads} == {str(len(content))}
    assert {head.headers["Content-Type"] for head in heads} == {media_type}
    assert {head.headers["Docker-Content-Digest"] for head in heads} == {digest}
    assert {head.headers["ETag"] for head in heads} == {f'"{digest}"'}


@pytest.mark.parametrize(
    ("declared", "inside"),
    [
        pytest.param("", OCI_MANIFEST, id="inside-only"),
        pytest.param(OCI_MANIFEST, None, id="declared-only"),
        pytest.param(f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST, id="with-a-parameter"),
        pytest.param("", None, id="neither"),
    ],
)
def test_put_manifest_finds_the_media_type(
    http: httpx.Client, repository: str, image: MadeImage, declared: str, inside: str | None
) -> None:
    content = manifest_of(image, OCI_MANIFEST, mediaType=inside)

    put = put_manifest(http, repository, "latest", content, declared)

    assert put.status_code == 201, put.text
    got = http.get(f"/v2/{repository}/manifests/latest")
    assert got.headers["Content-Type"] == OCI_MANIFEST


def test_put_manifest_again_succeeds(http: httpx.Client, repository: str, image: MadeImage) -> None:
    content = manifest_of(image, OCI_MANIFEST)
    references = ["latest", "latest", image.digest, image.digest, "other", "latest"]

    answers = [put_manifest(http, repository, one, content) for one in references]

    assert [answer.status_code for answer in answers] == [201] * 6
    assert {answer.headers["Docker-Content-Digest"] for answer in answers} == {image.digest}


def test_put_manifest_moves_the_tag(http: httpx.Client, repository: str) -> None:
    old, new = make_image(10), make_image(20)
    push_image(http, repository, old, "latest")

    push_image(http, repository, new, "latest")

    assert http.get(f"/v2/{repository}/manifests/latest").text == new.manifest
    assert http.get(f"/v2/{repository}/manifests/{old.digest}").text == old.manifest


def test_put_manifest_refuses_a_tag_that_is_immutable(
    http: httpx.Client, ecr: ECRClient, make_name: Callable[[], str]
) -> None:
    name = make_name()
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    old, new = make_image(10), make_image(20)
    push_image(http, name, old, "latest")
    push_blobs(http, name, new)

    moved = put_manifest(http, name, "latest", new.manifest)
    repeated = put_manifest(http, name, "latest", old.manifest)
    added = put_manifest(http, name, "next", new.manifest)

    message = (
        f"The image tag 'latest' already exists in the '{name}' repository and cannot be "
        "overwritten because the repository is immutable."
    )
    assert error_of(moved) == (400, "TAG_INVALID", message)
    assert repeated.status_code == 201
    assert added.status_code == 201
    assert http.get(f"/v2/{name}/manifests/latest").text == old.manifest


def test_put_manifest_refuses_a_digest_the_document_does_not_have(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    answer = put_manifest(http, repository, UNKNOWN_DIGEST, image.manifest)

    message = f"The digest '{UNKNOWN_DIGEST}' does not match the calculated digest '{image.digest}'"
    assert error_of(answer) == (400, "DIGEST_INVALID", message)
    assert error_of(http.get(f"/v2/{repository}/manifests/{UNKNOWN_DIGEST}")) == NOT_FOUND


def test_put_manifest_needs_its_layers(http: httpx.Client, repository: str) -> None:
    lacking = make_image(10, 20)

    answer = put_manifest(http, repository, "latest", lacking.manifest)

    digests = ", ".join(blob.digest for blob in lacking.blobs)
    message = (
        f"Layers with digests '[{digests}]' required for pushing image into repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}' do not exist"
    )
    assert error_of(answer) == (404, "MANIFEST_BLOB_UNKNOWN", message)


def test_put_manifest_needs_its_layers_in_the_same_repository(
    http: httpx.Client, ecr: ECRClient, repository: str, image: MadeImage
) -> None:
    ecr.create_repository(repositoryName=f"{repository}/other")

    answer = put_manifest(http, f"{repository}/other", "latest", image.manifest)

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")


def test_put_index_needs_its_images(http: httpx.Client, repository: str) -> None:
    lacking = make_image()
    content = index_of(OCI_INDEX, OCI_MANIFEST, lacking.manifest)

    answer = put_manifest(http, repository, "latest", content)

    message = (
        f"Images with digests '[{lacking.digest}]' required for pushing image into repository "
        f"with name '{repository}' in the registry with id '{ACCOUNT}' do not exist"
    )
    assert error_of(answer) == (404, "MANIFEST_BLOB_UNKNOWN", message)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("reference", ["latest", UNKNOWN_DIGEST], ids=["tag", "digest"])
def test_manifest_of_an_unknown_repository(http: httpx.Client, method: str, reference: str) -> None:
    content = make_image().manifest.encode()
    path = f"/v2/no/such/manifests/{reference.replace(UNKNOWN_DIGEST, digest_of(content))}"

    answer = http.request(method, path, content=content if method == "PUT" else b"")

    message = (
        f"The repository with name 'no/such' does not exist in the registry with id '{ACCOUNT}'"
    )
    assert error_of(answer) == (404, "NAME_UNKNOWN", message)


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param("latest", id="tag"),
        pytest.param(UNKNOWN_DIGEST, id="digest"),
        pytest.param(".hidden", id="no-tag"),
        pytest.param("sha256:abc", id="no-digest"),
        pytest.param("sha256:" + "0" * 64 + "%0a", id="digest-and-newline"),
        pytest.param("%ed%a0%80", id="half-a-surrogate"),
    ],
)
def test_manifest_that_is_not_there(http: httpx.Client, repository: str, reference: str) -> None:
    got, head = (
        http.request(method, f"/v2/{repository}/manifests/{reference}")
        for method in ("GET", "HEAD")
    )

    assert error_of(got) == NOT_FOUND
    assert (head.status_code, head.content) == (404, b"")


BAD_REFERENCES = pytest.mark.parametrize(
    ("reference", "code"),
    [
        pytest.param("%2e", "TAG_INVALID", id="dot"),
        pytest.param("%2e%2e", "TAG_INVALID", id="two-dots"),
        pytest.param(".hidden", "TAG_INVALID", id="leading-dot"),
        pytest.param("-x", "TAG_INVALID", id="leading-dash"),
        pytest.param("a%20b", "TAG_INVALID", id="space"),
        pytest.param("a+b", "TAG_INVALID", id="plus"),
        pytest.param("v1%0a", "TAG_INVALID", id="newline"),
        pytest.param("v1%00", "TAG_INVALID", id="nul"),
        pytest.param("%c3%a9", "TAG_INVALID", id="unicode"),
        pytest.param("%d9%a1", "TAG_INVALID", id="unicode-digit"),
        pytest.param("x" * 129, "TAG_INVALID", id="too-long"),
        pytest.param("x" * 10_000, "TAG_INVALID", id="far-too-long"),
        pytest.param("sha256:", "DIGEST_INVALID", id="no-hex"),
        pytest.param("sha256:" + "a" * 63, "DIGEST_INVALID", id="short-digest"),
        pytest.param("sha256:" + "A" * 64, "DIGEST_INVALID", id="capitals"),
        pytest.param("md5:" + "a" * 32, "DIGEST_INVALID", id="other-algorithm"),
        pytest.param(":", "DIGEST_INVALID", id="colon"),
    ],
)


@BAD_REFERENCES
def test_put_manifest_refuses_a_bad_reference(
    http: httpx.Client, repository: str, image: MadeImage, reference: str, code: str
) -> None:
    answer = put_manifest(http, repository, reference, image.manifest)

    assert error_of(answer)[:2] == (400, code)
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == []


@BAD_REFERENCES
def test_delete_manifest_refuses_a_bad_reference(
    http: httpx.Client, repository: str, reference: str, code: str
) -> None:
    answer = http.delete(f"/v2/{repository}/manifests/{reference}")

    assert error_of(answer)[:2] == (400, code)


@pytest.mark.parametrize("tag", ["x" * 128, "_", "0", "A.b-c_d", "latest", "sha256-abc.sig"])
def test_put_manifest_accepts_a_tag(
    http: httpx.Client, repository: str, image: MadeImage, tag: str
) -> None:
    answer = put_manifest(http, repository, tag, image.manifest)

    assert answer.status_code == 201
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == [tag]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("known", "status"),
    [
        pytest.param('"{digest}"', 304, id="same"),
        pytest.param('"other", W/"{digest}"', 304, id="one-of-two"),
        pytest.param('"other"', 200, id="other"),
    ],
)
def test_manifest_is_not_sent_to_whom_has_it(
    http: httpx.Client, repository: str, method: str, known: str, status: int
) -> None:
    image = make_image()
    digest = push_image(http, repository, image, "latest")

    answer = http.request(
        method,
        f"/v2/{repository}/manifests/latest",
        headers={"If-None-Match": known.format(digest=digest)},
    )

    assert answer.status_code == status
    assert answer.headers["ETag"] == f'"{digest}"'


def test_delete_manifest_by_tag_removes_only_the_tag(http: httpx.Client, repository: str) -> None:
    image = make_image()
    push_image(http, repository, image, "one", "two")

    answer = http.delete(f"/v2/{repository}/manifests/one")

    assert answer.status_code == 202
    assert error_of(http.get(f"/v2/{repository}/manifests/one")) == NOT_FOUND
    assert http.get(f"/v2/{repository}/manifests/two").text == image.manifest
    assert http.get(f"/v2/{repository}/manifests/{image.digest}").text == image.manifest


def test_delete_manifest_by_its_last_tag_keeps_the_image(
    http: httpx.Client, repository: str
) -> None:
    image = make_image()
    push_image(http, repository, image, "only")

    http.delete(f"/v2/{repository}/manifests/only")

    assert http.get(f"/v2/{repository}/manifests/{image.digest}").text == image.manifest


def test_delete_manifest_by_digest_removes_its_tags(http: httpx.Client, repository: str) -> None:
    image, other = make_image(), make_image()
    push_image(http, repository, image, "one", "two")
    push_image(http, repository, other, "three")
    references = [image.digest, "one", "two"]
    before = [http.get(f"/v2/{repository}/manifests/{one}") for one in references]

    answer = http.delete(f"/v2/{repository}/manifests/{image.digest}")

    assert answer.status_code == 202
    assert [one.status_code for one in before] == [200] * 3
    after = [http.get(f"/v2/{repository}/manifests/{one}") for one in references]
    assert [error_of(one) for one in after] == [NOT_FOUND] * 3
    assert http.get(f"/v2/{repository}/tags/list").json()["tags"] == ["three"]
    again = http.delete(f"/v2/{repository}/manifests/{image.digest}")
    assert error_of(again) == NOT_FOUND


@pytest.mark.parametrize("reference", ["latest", UNKNOWN_DIGEST], ids=["tag", "digest"])
def test_delete_manifest_that_is_not_there(
    http: httpx.Client, repository: str, reference: str
) -> None:
    answer = http.delete(f"/v2/{repository}/manifests/{reference}")

    assert error_of(answer) == NOT_FOUND


def test_delete_manifest_that_an_index_lists_is_refused(
    http: httpx.Client, repository: str, image: MadeImage
) -> None:
    index = index_of(OCI_INDEX, OCI_MANIFEST, manifest_of(image, OCI_MANIFEST))
    put_manifest(http, repository, "latest", index)

    refused = http.delete(f"/v2/{repository}/manifests/{image.digest}")
    parent = http.delete(f"/v2/{repository}/manifests/{digest_of(index.encode())}")
    done = http.delete(f"/v2/{repository}/manifests/{image.digest}")

    message = f"Requested image referenced by manifest list: [{digest_of(index.encode())}]"
    assert error_of(refused) == (405, "UNSUPPORTED", message)
    assert [parent.status_code, done.status_code] == [202, 202]


def test_inspection_is_no_pull(http: httpx.Client, ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_image(http, repository, image, "v1")
    path = f"/v2/{repository}/manifests/v1"
    looked = http.get(path, headers={"X-Ecrate-Purpose": "inspection"})
    before = ecr.describe_images(repositoryName=repository)["imageDetails"][0]

    http.get(path)

    after = ecr.describe_images(repositoryName=repository)["imageDetails"][0]
    assert looked.content == image.manifest.encode()
    assert "lastRecordedPullTime" not in before
    assert "lastRecordedPullTime" in after


def test_manifest_that_takes_long_to_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    members = ",".join(f'"{number:x}":{{}}' for number in range(330_000))
    content = f"{{{members}}}".encode()

    with running_server(tmp_path / "data", "--workers", "1") as single:
        single.ecr().create_repository(repositoryName="large")
        passed = [is_passed_by_another(single, content) for _ in range(5)]

    assert any(passed)


def is_passed_by_another(single: Server, content: bytes) -> bool:
    """Tell whether a request that comes after a manifest is answered before it."""
    with Wire(single) as slow, Wire(single) as quick:
        slow.head("PUT", "/v2/large/manifests/latest", {"Content-Length": len(content)})
        slow.send(content)
        time.sleep(0.1)  # by now it is being read
        quick.ask("GET", "/v2/")
        ready, _, _ = select.select([slow.socket], [], [], 0)
        assert slow.answer().status == 400
    return not ready
