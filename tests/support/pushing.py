"""Layers and images pushed through the AWS door."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.images import OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, digest_of

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

MIB = 1024 * 1024
PART = 10 * MIB


def start_upload(ecr: ECRClient, repository: str, *parts: bytes) -> str:
    """Begin an upload, send `parts` one behind the other, and give the upload's id."""
    upload_id = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    first = 0
    for part in parts:
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
        first += len(part)
    return upload_id


def push_layer(ecr: ECRClient, repository: str, content: bytes) -> str:
    """Upload a layer in parts of 10 MiB and give its digest."""
    parts = [content[first : first + PART] for first in range(0, len(content), PART)]
    upload_id = start_upload(ecr, repository, *parts)
    digest = Blob(content).digest
    answer = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[digest]
    )
    return answer["layerDigest"]


def push_image(ecr: ECRClient, repository: str, image: MadeImage, *tags: str) -> str:
    """Push the layers, then the manifest under each of `tags`, or without any; give its digest."""
    for blob in image.blobs:
        push_layer(ecr, repository, blob.content)
    if not tags:
        ecr.put_image(repositoryName=repository, imageManifest=image.manifest)
    for tag in tags:
        ecr.put_image(repositoryName=repository, imageManifest=image.manifest, imageTag=tag)
    return image.digest


def make_index(*children: MadeImage, **members: Any) -> str:
    """Give an index of these images; `members` are added to it."""
    entries = [Blob(one.manifest.encode(), OCI_MANIFEST).descriptor for one in children]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **members}
    return json.dumps(document)


def push_index(ecr: ECRClient, repository: str, *children: MadeImage, tag: str = "all") -> str:
    """Push the images untagged and an index of them under `tag`; give the index's digest."""
    for child in children:
        push_image(ecr, repository, child)
    index = make_index(*children)
    ecr.put_image(repositoryName=repository, imageManifest=index, imageTag=tag)
    return digest_of(index.encode())


def ids_of(ecr: ECRClient, repository: str) -> list[tuple[str, str | None]]:
    """Give (digest, tag) of all that ListImages lists."""
    listed = ecr.list_images(repositoryName=repository)["imageIds"]
    return [(one["imageDigest"], one.get("imageTag")) for one in listed]
