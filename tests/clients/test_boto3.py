"""boto3 through the whole layer flow with a Debian root, and what it makes of odd parts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, make_image
from tests.support.server import ACCOUNT

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

MIB = 1024 * 1024


def upload(ecr: ECRClient, repository: str, blob: Blob, size: int = 10 * MIB) -> str:
    """Upload a blob in parts of a size and give the upload's id."""
    upload_id = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    for first in range(0, len(blob.content), size):
        piece = blob.content[first : first + size]
        put_part(ecr, repository, upload_id, first, piece)
    return upload_id


def put_part(ecr: ECRClient, repository: str, upload_id: str, first: int, piece: bytes) -> int:
    """Upload one part and give the last byte that the server says it has."""
    answer = ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=first,
        partLastByte=first + len(piece) - 1,
        layerPartBlob=piece,
    )
    return answer["lastByteReceived"]


def push(ecr: ECRClient, repository: str, image: MadeImage, tag: str, size: int = 10 * MIB) -> None:
    """Push a whole image."""
    for blob in image.blobs:
        upload_id = upload(ecr, repository, blob, size)
        # As every client takes it: what is there already is as good as uploaded.
        with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
            ecr.complete_layer_upload(
                repositoryName=repository, uploadId=upload_id, layerDigests=[blob.digest]
            )
    ecr.put_image(repositoryName=repository, imageManifest=image.manifest, imageTag=tag)


def download(ecr: ECRClient, repository: str, digest: str) -> bytes:
    """Fetch a layer's bytes from its download URL."""
    answer = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest)
    return httpx.get(answer["downloadUrl"]).content


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(5 * MIB, id="smallest-parts"),
        pytest.param(10 * MIB, id="parts-as-asked"),
        pytest.param(20 * MIB, id="largest-parts"),
    ],
)
def test_push_and_download_keep_every_layer(
    ecr: ECRClient, repository: str, debian: MadeImage, size: int
) -> None:
    push(ecr, repository, debian, "v1", size)

    contents = [download(ecr, repository, blob.digest) for blob in debian.blobs]

    (image,) = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])[
        "images"
    ]
    assert contents == [blob.content for blob in debian.blobs]
    assert image["imageManifest"] == debian.manifest


def test_put_image_of_an_index_keeps_it(
    ecr: ECRClient,
    repository: str,
    images: dict[str, MadeImage],
    index_document: str,
) -> None:
    push(ecr, repository, images["amd64"], "amd64")
    push(ecr, repository, images["arm64"], "arm64")

    ecr.put_image(repositoryName=repository, imageManifest=index_document, imageTag="multi")

    (image,) = ecr.batch_get_image(
        repositoryName=repository,
        imageIds=[{"imageTag": "multi"}],
        acceptedMediaTypes=[OCI_INDEX, OCI_MANIFEST],
    )["images"]
    assert image["imageManifest"] == index_document
    assert image["imageManifestMediaType"] == OCI_INDEX


def test_batch_delete_image_of_an_index_and_its_children(
    ecr: ECRClient,
    repository: str,
    images: dict[str, MadeImage],
    index_document: str,
) -> None:
    push(ecr, repository, images["amd64"], "amd64")
    push(ecr, repository, images["arm64"], "arm64")
    ecr.put_image(repositoryName=repository, imageManifest=index_document, imageTag="multi")
    ids = [{"imageTag": "amd64"}, {"imageTag": "multi"}, {"imageDigest": images["arm64"].digest}]

    answer = ecr.batch_delete_image(repositoryName=repository, imageIds=ids)  # type: ignore[arg-type]

    assert [failure["failureCode"] for failure in answer["failures"]] == [
        "ImageReferencedByManifestList"
    ]
    left = ecr.list_images(repositoryName=repository)["imageIds"]
    assert left == [{"imageDigest": images["amd64"].digest, "imageTag": "amd64"}]


def test_upload_layer_part_again_is_harmless(ecr: ECRClient, repository: str) -> None:
    layer = make_image(6 * MIB).layers[0]
    upload_id = upload(ecr, repository, layer, 5 * MIB)

    last = put_part(ecr, repository, upload_id, 5 * MIB, layer.content[5 * MIB :])

    done = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[layer.digest]
    )
    assert last == len(layer.content) - 1
    assert done["layerDigest"] == layer.digest


def test_upload_layer_part_out_of_order_tells_where_to_go_on(
    ecr: ECRClient, repository: str
) -> None:
    upload_id = upload(ecr, repository, make_image(5 * MIB).layers[0])

    with pytest.raises(ecr.exceptions.InvalidLayerPartException) as refused:
        put_part(ecr, repository, upload_id, 6 * MIB, b"part")

    assert refused.value.response["lastValidByteReceived"] == 5 * MIB - 1  # type: ignore[typeddict-item]
    assert refused.value.response["registryId"] == ACCOUNT  # type: ignore[typeddict-item]


def test_complete_layer_upload_with_a_short_part_in_the_middle_is_refused(
    ecr: ECRClient, repository: str
) -> None:
    layer = make_image(3 * MIB).layers[0]
    upload_id = upload(ecr, repository, layer, MIB)

    with pytest.raises(ecr.exceptions.LayerPartTooSmallException):
        ecr.complete_layer_upload(
            repositoryName=repository, uploadId=upload_id, layerDigests=[layer.digest]
        )


def test_complete_layer_upload_of_a_layer_that_is_there_says_so(
    ecr: ECRClient, repository: str
) -> None:
    layer = make_image().layers[0]
    first = upload(ecr, repository, layer)
    ecr.complete_layer_upload(
        repositoryName=repository, uploadId=first, layerDigests=[layer.digest]
    )
    second = upload(ecr, repository, layer)

    with pytest.raises(ecr.exceptions.LayerAlreadyExistsException):
        ecr.complete_layer_upload(
            repositoryName=repository, uploadId=second, layerDigests=[layer.digest]
        )
