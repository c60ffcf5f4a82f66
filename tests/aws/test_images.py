"""PutImage, BatchGetImage, ListImages, DescribeImages, BatchDeleteImage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, digest_of, make_image
from tests.support.pushing import push_image, push_layer
from tests.support.server import ACCOUNT, Server
from tests.support.signing import call, error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_ecr.client import ECRClient

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
UNKNOWN = "sha256:" + "0" * 64


def make_index(*children: MadeImage, **members: Any) -> str:
    entries = [Blob(one.manifest.encode(), OCI_MANIFEST).descriptor for one in children]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **members}
    return json.dumps(document)


def push_index(ecr: ECRClient, repository: str, *children: MadeImage, tag: str = "all") -> str:
    for child in children:
        push_image(ecr, repository, child)
    index = make_index(*children)
    ecr.put_image(repositoryName=repository, imageManifest=index, imageTag=tag)
    return digest_of(index.encode())


def ids_of(ecr: ECRClient, repository: str) -> list[tuple[str, str | None]]:
    """Give (digest, tag) of all that ListImages lists."""
    listed = ecr.list_images(repositoryName=repository)["imageIds"]
    return [(one["imageDigest"], one.get("imageTag")) for one in listed]


def put(server: Server, parameters: dict[str, Any]) -> tuple[int, str, str]:
    """Put an image; give status, code and message of the refusal."""
    return error_of(call(server, "PutImage", json.dumps(parameters).encode()))


def test_put_image_gives_the_image_back(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    for blob in image.blobs:
        push_layer(ecr, repository, blob.content)

    answer = ecr.put_image(
        repositoryName=repository,
        imageManifest=image.manifest,
        imageManifestMediaType=OCI_MANIFEST,
        imageTag="v1",
        imageDigest=image.digest,
    )

    assert answer["image"] == {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageId": {"imageDigest": image.digest, "imageTag": "v1"},
        "imageManifest": image.manifest,
        "imageManifestMediaType": OCI_MANIFEST,
    }


def test_put_image_keeps_every_byte(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_image(ecr, repository, image)
    spaced = "\n " + json.dumps(json.loads(image.manifest), indent=7) + "\t\n\N{SNOWMAN}".strip("☃")
    ecr.put_image(repositoryName=repository, imageManifest=spaced, imageTag="spaced")

    got = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "spaced"}])

    assert got["images"][0]["imageManifest"] == spaced
    assert got["images"][0]["imageId"]["imageDigest"] == digest_of(spaced.encode())


def test_put_image_under_sha512(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_image(ecr, repository, image)
    digest = "sha512:" + __import__("hashlib").sha512(image.manifest.encode()).hexdigest()

    put_answer = ecr.put_image(
        repositoryName=repository, imageManifest=image.manifest, imageDigest=digest
    )

    assert put_answer["image"]["imageId"] == {"imageDigest": digest}


def test_put_image_moves_a_tag_and_leaves_the_image(ecr: ECRClient, repository: str) -> None:
    old, new = make_image(), make_image()
    push_image(ecr, repository, old, "latest")

    push_image(ecr, repository, new, "latest")

    assert ids_of(ecr, repository) == [(old.digest, None), (new.digest, "latest")]


@pytest.mark.parametrize(
    ("tags", "again", "tag"),
    [
        pytest.param(["v1"], "v1", "v1", id="tagged"),
        pytest.param([], None, "null", id="untagged"),
        pytest.param(["v1"], None, "null", id="without-its-tag"),
    ],
)
def test_put_image_again_already_exists(
    server: Server, ecr: ECRClient, repository: str, tags: list[str], again: str | None, tag: str
) -> None:
    image = make_image()
    push_image(ecr, repository, image, *tags)

    refusal = put(
        server,
        {"repositoryName": repository, "imageManifest": image.manifest, "imageTag": again},
    )

    assert refusal == (
        400,
        "ImageAlreadyExistsException",
        (
            f"Image with digest '{image.digest}' and tag '{tag}' already exists in the repository "
            f"with name '{repository}' in registry with id '{ACCOUNT}'"
        ),
    )


def test_put_image_lists_the_layers_that_are_missing(
    server: Server, ecr: ECRClient, repository: str
) -> None:
    image = make_image(10, 20, 30)
    push_layer(ecr, repository, image.layers[1].content)

    refusal = put(server, {"repositoryName": repository, "imageManifest": image.manifest})

    missing = f"{image.config.digest}, {image.layers[0].digest}, {image.layers[2].digest}"
    assert refusal == (
        400,
        "LayersNotFoundException",
        (
            f"Layers with digests '[{missing}]' required for pushing image into repository with "
            f"name '{repository}' in the registry with id '{ACCOUNT}' do not exist"
        ),
    )
    assert ids_of(ecr, repository) == []


def test_put_image_does_not_see_layers_of_another_repository(
    server: Server, ecr: ECRClient, make_repository: Callable[[], str]
) -> None:
    image, here, there = make_image(), make_repository(), make_repository()
    push_image(ecr, there, image)

    refusal = put(server, {"repositoryName": here, "imageManifest": image.manifest})

    assert refusal[1] == "LayersNotFoundException"


def test_put_image_does_not_ask_for_foreign_layers(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_layer(ecr, repository, image.config.content)
    document = json.loads(image.manifest)
    document["layers"][0]["urls"] = ["https://elsewhere.example/layer"]

    answer = ecr.put_image(repositoryName=repository, imageManifest=json.dumps(document))

    assert answer["image"]["imageId"].keys() == {"imageDigest"}


def test_put_image_lists_the_images_that_an_index_misses(
    server: Server, ecr: ECRClient, repository: str
) -> None:
    there, missing = make_image(), make_image()
    push_image(ecr, repository, there)
    index = make_index(there, missing)

    refusal = put(server, {"repositoryName": repository, "imageManifest": index})

    assert refusal == (
        400,
        "ReferencedImagesNotFoundException",
        (
            f"Images with digests '[{missing.digest}]' required for pushing image into repository "
            f"with name '{repository}' in the registry with id '{ACCOUNT}' do not exist"
        ),
    )


def test_put_image_refuses_another_digest(server: Server, repository: str) -> None:
    image = make_image()

    refusal = put(
        server,
        {
            "repositoryName": repository,
            "imageManifest": image.manifest,
            "imageDigest": UNKNOWN,
        },
    )

    assert refusal == (
        400,
        "ImageDigestDoesNotMatchException",
        f"The digest '{UNKNOWN}' does not match the calculated digest '{image.digest}'",
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"imageManifest": "{"}, "Invalid JSON syntax", id="json"),
        pytest.param({"imageManifest": "[]"}, "Invalid JSON syntax", id="list"),
        pytest.param(
            {"imageManifest": "{}"}, "Manifest media type must be provided", id="no-media-type"
        ),
        pytest.param(
            {"imageManifestMediaType": "text/plain"},
            "differs from the declared 'text/plain'",
            id="another-media-type",
        ),
        pytest.param({"imageTag": "-v1"}, "image tag should satisfy the regex", id="tag"),
        pytest.param({"imageTag": "v" * 129}, "image tag should satisfy the regex", id="long-tag"),
        pytest.param({"imageDigest": "sha256:12"}, "regular expression pattern", id="digest"),
        pytest.param({"imageDigest": "md5:" + "0" * 32}, "regular expression pattern", id="md5"),
    ],
)
def test_put_image_refuses_what_is_no_image(
    server: Server, repository: str, parameters: dict[str, str], message: str
) -> None:
    image = {"repositoryName": repository, "imageManifest": make_image().manifest}

    status, code, text = put(server, image | parameters)

    assert (status, code) == (400, "InvalidParameterException")
    assert message in text


def test_put_image_accepts_the_largest_manifest(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_image(ecr, repository, image)
    padded = image.manifest.ljust(4 * 1024 * 1024)

    answer = ecr.put_image(repositoryName=repository, imageManifest=padded)

    assert answer["image"]["imageId"] == {"imageDigest": digest_of(padded.encode())}


def test_put_image_refuses_a_larger_manifest(server: Server, repository: str) -> None:
    manifest = make_image().manifest.ljust(4 * 1024 * 1024 + 1)

    refusal = put(server, {"repositoryName": repository, "imageManifest": manifest})

    assert refusal[1] == "InvalidParameterException"
    assert "length less than or equal to 4194304" in refusal[2]


@pytest.mark.parametrize(
    ("mode", "filters", "tag", "reason"),
    [
        pytest.param("IMMUTABLE", None, "v1", "repository", id="immutable"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", "dev*", "v1", "tag", id="not-excluded"),
        pytest.param("MUTABLE_WITH_EXCLUSION", "v*", "v1", "tag", id="excluded"),
    ],
)
def test_put_image_does_not_move_an_immutable_tag(  # noqa: PLR0917 - a table
    server: Server, ecr: ECRClient, mode: Any, filters: str | None, tag: str, reason: str
) -> None:
    name = f"immutable/{mode.lower()}"
    exclusion: Any = {}
    if filters:
        exclusion["imageTagMutabilityExclusionFilters"] = [
            {"filterType": "WILDCARD", "filter": filters}
        ]
    ecr.create_repository(repositoryName=name, imageTagMutability=mode, **exclusion)
    old, new = make_image(), make_image()
    push_image(ecr, name, old, tag)
    push_image(ecr, name, new)

    refusal = put(
        server, {"repositoryName": name, "imageManifest": new.manifest, "imageTag": tag}
    )

    assert refusal == (
        400,
        "ImageTagAlreadyExistsException",
        (
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be "
            f"overwritten because the {reason} is immutable."
        ),
    )
    assert (old.digest, tag) in ids_of(ecr, name)
