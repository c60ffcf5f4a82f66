"""The aws command through the whole layer flow, as its reference describes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.clients import Program
from tests.support.images import OCI_MANIFEST, Blob, MadeImage
from tests.support.layouts import pack_image
from tests.support.server import ACCOUNT, REGION, Server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

PART_SIZE = 10 * 1024 * 1024


@dataclass(frozen=True)
class Shop:
    """A repository as the command sees it; `answers` are those of the push, by operation."""

    aws: Program
    folder: Path
    repository: str
    image: MadeImage
    answers: dict[str, list[dict[str, Any]]]

    def call(self, operation: str, *options: str) -> dict[str, Any]:
        """Call an operation on the repository and give its answer."""
        words = ("ecr", operation, "--repository-name", self.repository, "--output", "json")
        answer: dict[str, Any] = json.loads(self.aws.output(*words, *options))
        self.answers.setdefault(operation, []).append(answer)
        return answer

    def refusal(self, operation: str, *options: str) -> str:
        """Call an operation that is to fail, and give what the command says then."""
        done = self.aws.run("ecr", operation, "--repository-name", self.repository, *options)
        assert done.returncode != 0
        return done.stderr.strip()

    def upload(self, blob: Blob) -> str:
        """Upload a layer in parts of the size the server asks for, and give the upload's id."""
        started = self.call("initiate-layer-upload")
        upload = ("--upload-id", started["uploadId"])
        for first in range(0, len(blob.content), started["partSize"]):
            piece = blob.content[first : first + started["partSize"]]
            self.call("upload-layer-part", *upload, *self.part(first, piece))
        self.call("complete-layer-upload", *upload, "--layer-digests", blob.digest)
        return str(started["uploadId"])

    def part(self, first: int, piece: bytes) -> tuple[str, ...]:
        """Put a part's bytes into a file and give the options that lead to it."""
        file = self.folder / "part"
        file.write_bytes(piece)
        span = ("--part-first-byte", str(first), "--part-last-byte", str(first + len(piece) - 1))
        return (*span, "--layer-part-blob", f"fileb://{file}")

    def put(self, tag: str) -> tuple[str, ...]:
        """Put the manifest into a file and give put-image's options."""
        file = self.folder / "manifest.json"
        file.write_text(self.image.manifest)
        return ("--image-tag", tag, "--image-manifest", f"file://{file}")


@pytest.fixture(scope="module")
def shop(
    aws: Program,
    new_repository: Callable[[], str],
    root_layers: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    """A repository with an image, pushed by the command, whose layer takes two parts."""
    image = pack_image(root_layers[1:2])
    made = Shop(aws, tmp_path_factory.mktemp("parts"), new_repository(), image, {})
    for blob in image.blobs:
        made.upload(blob)
    made.call("put-image", *made.put("v1"))
    return made


@pytest.fixture
def other(shop: Shop, make_repository: Callable[[], str]) -> Shop:
    """An empty repository."""
    return Shop(shop.aws, shop.folder, make_repository(), shop.image, {})


def test_upload_in_parts(shop: Shop) -> None:
    """Each call of the push answered what the reference says; the last upload was the layer's."""
    layer = shop.image.layers[0]
    upload_id = shop.answers["initiate-layer-upload"][-1]["uploadId"]
    whole = {"registryId": ACCOUNT, "repositoryName": shop.repository, "uploadId": upload_id}

    assert shop.answers["initiate-layer-upload"][-1]["partSize"] == PART_SIZE
    assert shop.answers["upload-layer-part"][-2:] == [
        whole | {"lastByteReceived": PART_SIZE - 1},
        whole | {"lastByteReceived": len(layer.content) - 1},
    ]
    assert shop.answers["complete-layer-upload"][-1] == whole | {"layerDigest": layer.digest}


def test_put_image_answers_with_the_image(shop: Shop) -> None:
    (answer,) = shop.answers["put-image"]

    assert answer["image"] == {
        "registryId": ACCOUNT,
        "repositoryName": shop.repository,
        "imageId": {"imageDigest": shop.image.digest, "imageTag": "v1"},
        "imageManifest": shop.image.manifest,
        "imageManifestMediaType": OCI_MANIFEST,
    }


def test_batch_check_layer_availability_tells_what_is_there(shop: Shop) -> None:
    layer = shop.image.layers[0]
    missing = "sha256:" + "0" * 64

    answer = shop.call("batch-check-layer-availability", "--layer-digests", layer.digest, missing)

    assert answer["failures"] == []
    assert answer["layers"] == [
        {
            "layerDigest": layer.digest,
            "layerAvailability": "AVAILABLE",
            "layerSize": len(layer.content),
            "mediaType": layer.media_type,
        },
        {"layerDigest": missing, "layerAvailability": "UNAVAILABLE"},
    ]


def test_batch_get_image_gives_the_manifest_as_it_was_put(shop: Shop) -> None:
    answer = shop.call("batch-get-image", "--image-ids", "imageTag=v1")

    (image,) = answer["images"]
    assert image["imageManifest"] == shop.image.manifest
    assert image["imageId"] == {"imageDigest": shop.image.digest, "imageTag": "v1"}
    assert answer["failures"] == []


def test_get_download_url_for_layer_leads_to_the_layer(shop: Shop) -> None:
    layer = shop.image.layers[0]

    answer = shop.call("get-download-url-for-layer", "--layer-digest", layer.digest)

    assert answer["layerDigest"] == layer.digest
    assert httpx.get(answer["downloadUrl"]).content == layer.content


def test_list_images_lists_the_tag(shop: Shop) -> None:
    answer = shop.call("list-images", "--filter", "tagStatus=TAGGED")

    assert {"imageDigest": shop.image.digest, "imageTag": "v1"} in answer["imageIds"]


def test_describe_images_tells_size_and_tags(shop: Shop) -> None:
    answer = shop.call("describe-images", "--image-ids", f"imageDigest={shop.image.digest}")

    (image,) = answer["imageDetails"]
    assert image["imageSizeInBytes"] == sum(len(blob.content) for blob in shop.image.blobs)
    assert "v1" in image["imageTags"]
    assert image["imageManifestMediaType"] == OCI_MANIFEST


def test_batch_delete_image_removes_a_tag(shop: Shop) -> None:
    shop.call("put-image", *shop.put("gone"))

    answer = shop.call("batch-delete-image", "--image-ids", "imageTag=gone", "imageTag=never")

    left = shop.call("describe-images", "--image-ids", f"imageDigest={shop.image.digest}")
    assert answer["imageIds"] == [{"imageDigest": shop.image.digest, "imageTag": "gone"}]
    assert [failure["failureCode"] for failure in answer["failures"]] == ["ImageNotFound"]
    assert "gone" not in left["imageDetails"][0]["imageTags"]


def test_put_image_again_is_refused(shop: Shop) -> None:
    refusal = shop.refusal("put-image", *shop.put("v1"))

    assert refusal == (
        "An error occurred (ImageAlreadyExistsException) when calling the PutImage operation: "
        f"Image with digest '{shop.image.digest}' and tag 'v1' already exists in the repository "
        f"with name '{shop.repository}' in registry with id '{ACCOUNT}'"
    )


def test_put_image_without_its_layers_is_refused(other: Shop) -> None:
    refusal = other.refusal("put-image", *other.put("v1"))

    assert "(LayersNotFoundException)" in refusal
    assert all(blob.digest in refusal for blob in other.image.blobs)


def test_upload_layer_part_that_leaves_a_gap_is_refused(other: Shop) -> None:
    upload = ("--upload-id", other.call("initiate-layer-upload")["uploadId"])

    refusal = other.refusal("upload-layer-part", *upload, *other.part(10, b"part"))

    assert refusal.splitlines()[0] == (
        "An error occurred (InvalidLayerPartException) when calling the UploadLayerPart "
        "operation: First byte of the layer part is 10 instead of 0"
    )


def test_complete_layer_upload_with_another_digest_is_refused(other: Shop) -> None:
    upload = ("--upload-id", other.call("initiate-layer-upload")["uploadId"])
    other.call("upload-layer-part", *upload, *other.part(0, b"part"))

    refusal = other.refusal(
        "complete-layer-upload", *upload, "--layer-digests", other.image.layers[0].digest
    )

    assert "(InvalidLayerException)" in refusal


def test_initiate_layer_upload_in_a_missing_repository_is_refused(aws: Program) -> None:
    done = aws.run("ecr", "initiate-layer-upload", "--repository-name", "no/such")

    assert done.returncode != 0
    assert done.stderr.strip() == (
        "An error occurred (RepositoryNotFoundException) when calling the InitiateLayerUpload "
        f"operation: The repository with name 'no/such' does not exist in the registry with id "
        f"'{ACCOUNT}'"
    )


def test_initiate_layer_upload_takes_a_skeleton(other: Shop, tmp_path: Path) -> None:
    skeleton = json.loads(
        other.aws.output("ecr", "initiate-layer-upload", "--generate-cli-skeleton")
    )
    file = tmp_path / "input.json"
    file.write_text(json.dumps({"registryId": ACCOUNT, "repositoryName": other.repository}))

    answer = json.loads(
        other.aws.output("ecr", "initiate-layer-upload", "--cli-input-json", f"file://{file}")
    )

    assert set(skeleton) == {"registryId", "repositoryName"}
    assert set(answer) == {"uploadId", "partSize"}


def test_describe_repositories_leads_back_to_the_server(shop: Shop, server: Server) -> None:
    answer = json.loads(
        shop.aws.output("ecr", "describe-repositories", "--repository-names", shop.repository)
    )

    (repository,) = answer["repositories"]
    arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{shop.repository}"
    assert repository["repositoryArn"] == arn
    assert repository["repositoryUri"] == f"{server.host}/{shop.repository}"


def test_delete_repository_takes_the_images_along(other: Shop) -> None:
    config = other.image.config
    other.upload(config)

    other.call("delete-repository", "--force")

    assert "(RepositoryNotFoundException)" in other.refusal("describe-images")
