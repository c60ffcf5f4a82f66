"""PutImage and BatchGetImage, and what all image operations refuse."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.support.images import OCI_MANIFEST, digest_of, make_image
from tests.support.pushing import ids_of, make_index, push_image, push_layer
from tests.support.server import ACCOUNT, Server
from tests.support.signing import call, error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_ecr.client import ECRClient

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
UNKNOWN = "sha256:" + "0" * 64


def excluding(mode: str, *filters: str) -> dict[str, Any]:
    """Give the parameters that choose a mutability with exclusion."""
    return {
        "imageTagMutability": f"{mode}_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [
            {"filterType": "WILDCARD", "filter": one} for one in filters
        ],
    }


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
    document = json.loads(image.manifest) | {"annotations": {"note": "\N{SNOWMAN}"}}
    spaced = "\n " + json.dumps(document, indent=7, ensure_ascii=False) + "\t\n"
    ecr.put_image(repositoryName=repository, imageManifest=spaced, imageTag="spaced")

    got = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "spaced"}])

    assert got["images"][0]["imageManifest"] == spaced
    assert got["images"][0]["imageId"]["imageDigest"] == digest_of(spaced.encode())


def test_put_image_under_sha512(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_image(ecr, repository, image)
    digest = f"sha512:{hashlib.sha512(image.manifest.encode()).hexdigest()}"

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
    ("tags", "again"),
    [
        pytest.param(["v1"], {"imageTag": "v1"}, id="tagged"),
        pytest.param([], {}, id="untagged"),
        pytest.param(["v1"], {}, id="without-its-tag"),
    ],
)
def test_put_image_again_already_exists(
    server: Server, ecr: ECRClient, repository: str, tags: list[str], again: dict[str, str]
) -> None:
    image = make_image()
    push_image(ecr, repository, image, *tags)

    refusal = put(server, {"repositoryName": repository, "imageManifest": image.manifest, **again})

    assert refusal == (
        400,
        "ImageAlreadyExistsException",
        (
            f"Image with digest '{image.digest}' and tag '{again.get('imageTag', 'null')}' already "
            f"exists in the repository with name '{repository}' in registry with id '{ACCOUNT}'"
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
    ("mutability", "reason"),
    [
        pytest.param({"imageTagMutability": "IMMUTABLE"}, "repository", id="immutable"),
        pytest.param(excluding("IMMUTABLE", "dev*"), "tag", id="not-excluded"),
        pytest.param(excluding("MUTABLE", "dev*", "v*"), "tag", id="excluded"),
    ],
)
def test_put_image_does_not_move_an_immutable_tag(
    server: Server, ecr: ECRClient, mutability: Any, reason: str
) -> None:
    name, tag = f"immutable/{mutability['imageTagMutability'].lower()}", "v1"
    ecr.create_repository(repositoryName=name, **mutability)
    old, new = make_image(), make_image()
    push_image(ecr, name, old, tag)
    push_image(ecr, name, new)

    refusal = put(server, {"repositoryName": name, "imageManifest": new.manifest, "imageTag": tag})

    assert refusal == (
        400,
        "ImageTagAlreadyExistsException",
        (
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be "
            f"overwritten because the {reason} is immutable."
        ),
    )
    assert (old.digest, tag) in ids_of(ecr, name)


@pytest.mark.parametrize(
    "mutability",
    [
        pytest.param({"imageTagMutability": "MUTABLE"}, id="mutable"),
        pytest.param(excluding("IMMUTABLE", "la*st", "v*"), id="excluded"),
        pytest.param(excluding("MUTABLE", "v1.*"), id="not-excluded"),
    ],
)
def test_put_image_moves_a_mutable_tag(ecr: ECRClient, repository: str, mutability: Any) -> None:
    name = f"{repository}/mutable"
    ecr.create_repository(repositoryName=name, **mutability)
    push_image(ecr, name, make_image(), "v1")
    new = make_image()

    push_image(ecr, name, new, "v1")

    assert (new.digest, "v1") in ids_of(ecr, name)


def test_put_image_again_under_an_immutable_tag_already_exists(
    server: Server, ecr: ECRClient, repository: str
) -> None:
    name, image = f"{repository}/again", make_image()
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    push_image(ecr, name, image, "v1")

    refusal = put(
        server, {"repositoryName": name, "imageManifest": image.manifest, "imageTag": "v1"}
    )

    assert refusal[1] == "ImageAlreadyExistsException"


def test_put_image_in_an_unknown_repository_is_refused(server: Server) -> None:
    refusal = put(server, {"repositoryName": "never/made", "imageManifest": make_image().manifest})

    assert refusal == (
        400,
        "RepositoryNotFoundException",
        (
            "The repository with name 'never/made' does not exist in the registry with id "
            f"'{ACCOUNT}'"
        ),
    )


def test_batch_get_image_answers_each_entry(ecr: ECRClient, repository: str) -> None:
    image = make_image()
    push_image(ecr, repository, image, "v1", "v2")
    both: Any = {"imageDigest": image.digest, "imageTag": "v2"}

    got = ecr.batch_get_image(
        repositoryName=repository,
        imageIds=[{"imageTag": "v1"}, {"imageDigest": image.digest}, both],
    )

    assert got["failures"] == []
    assert [one["imageId"] for one in got["images"]] == [
        {"imageDigest": image.digest, "imageTag": "v1"},
        {"imageDigest": image.digest},
        both,
    ]
    assert {one["imageManifest"] for one in got["images"]} == {image.manifest}


@pytest.mark.parametrize(
    ("image_id", "code", "reason"),
    [
        pytest.param(
            {"imageTag": "none"}, "ImageNotFound", "Requested image not found", id="unknown-tag"
        ),
        pytest.param(
            {"imageDigest": UNKNOWN},
            "ImageNotFound",
            "Requested image not found",
            id="unknown-digest",
        ),
        pytest.param(
            {"imageDigest": UNKNOWN, "imageTag": "v1"},
            "ImageTagDoesNotMatchDigest",
            "Requested image tag and digest do not match",
            id="mismatch",
        ),
        pytest.param(
            {},
            "MissingDigestAndTag",
            "Invalid request parameters: both tag and digest cannot be null",
            id="neither",
        ),
        pytest.param(
            {"imageDigest": "sha256:12"},
            "InvalidImageDigest",
            "Invalid request parameters: image digest should satisfy the regex "
            "'[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
            id="bad-digest",
        ),
        pytest.param(
            {"imageTag": "v1!"},
            "InvalidImageTag",
            "Invalid request parameters: image tag should satisfy the regex "
            "'[a-zA-Z0-9_][a-zA-Z0-9._-]*'",
            id="bad-tag",
        ),
    ],
)
@pytest.mark.parametrize("operation", ["BatchGetImage", "BatchDeleteImage"])
def test_batch_tells_what_failed(
    server: Server, operation: str, image_id: dict[str, str], code: str, reason: str
) -> None:
    name = f"batch/{uuid4()}"
    server.ecr().create_repository(repositoryName=name)
    push_image(server.ecr(), name, make_image(), "v1")
    body = json.dumps({"repositoryName": name, "imageIds": [image_id]}).encode()

    answer = call(server, operation, body)

    assert answer.status_code == 200
    assert answer.json()["failures"] == [
        {"imageId": image_id, "failureCode": code, "failureReason": reason}
    ]


@pytest.mark.parametrize(
    ("accepted", "found"),
    [
        pytest.param([OCI_MANIFEST], 1, id="stored"),
        pytest.param([DOCKER_MANIFEST, OCI_MANIFEST], 1, id="among-others"),
        pytest.param([DOCKER_MANIFEST], 0, id="another"),
    ],
)
def test_batch_get_image_gives_accepted_media_types_only(
    ecr: ECRClient, repository: str, accepted: list[str], found: int
) -> None:
    push_image(ecr, repository, make_image(), "v1")

    got = ecr.batch_get_image(
        repositoryName=repository, imageIds=[{"imageTag": "v1"}], acceptedMediaTypes=accepted
    )

    assert len(got["images"]) == found
    assert [one["failureCode"] for one in got["failures"]] == ["ImageNotFound"] * (1 - found)


@pytest.mark.parametrize(
    "operation", ["BatchGetImage", "BatchDeleteImage", "DescribeImages", "ListImages"]
)
def test_images_of_an_unknown_repository_are_refused(server: Server, operation: str) -> None:
    body = json.dumps({"repositoryName": "never/made", "imageIds": [{"imageTag": "a"}]}).encode()

    answer = call(server, operation, body)

    assert error_of(answer)[1] == "RepositoryNotFoundException"


@pytest.mark.parametrize("operation", ["BatchGetImage", "BatchDeleteImage"])
def test_batch_of_entries_that_name_nothing_needs_a_repository(
    server: Server, operation: str
) -> None:
    body = b'{"repositoryName": "never/made", "imageIds": [{}, {"imageTag": "-"}]}'

    answer = call(server, operation, body)

    assert error_of(answer)[1] == "RepositoryNotFoundException"


@pytest.mark.parametrize("operation", ["DescribeImages", "ListImages"])
def test_lists_of_an_unknown_repository_are_refused_whatever_the_filter(
    server: Server, operation: str
) -> None:
    body = b'{"repositoryName": "never/made", "filter": {"imageStatus": "ARCHIVED"}}'

    answer = call(server, operation, body)

    assert error_of(answer)[1] == "RepositoryNotFoundException"
