"""The operations this door offers: which function answers, and how large a request may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ecrate.aws import images, layers, policies, repositories, tokens
from ecrate.aws.call import Call

KIB: Final = 1024
# 20 MiB of base64 with every `/` escaped, and the other members.
_PART: Final = 32 * KIB * KIB
# A manifest of 4 MiB with every quote escaped, and the other members.
_MANIFEST: Final = 9 * KIB * KIB
_ORDINARY: Final = 256 * KIB


@dataclass(frozen=True, slots=True)
class Entry:
    """`only_reads`: the operation is a few indexed reads, which a local database answers
    faster than another thread can be asked. `body_limit` is in bytes.
    """

    handler: Callable[[Call[Any]], dict[str, Any]]
    only_reads: bool = False
    body_limit: int = _ORDINARY


OPERATIONS: Final[dict[str, Entry]] = {
    "BatchCheckLayerAvailability": Entry(layers.batch_check_layer_availability),
    "BatchDeleteImage": Entry(images.batch_delete_image),
    "BatchGetImage": Entry(images.batch_get_image),
    "CompleteLayerUpload": Entry(layers.complete_layer_upload),
    "CreateRepository": Entry(repositories.create_repository),
    "DeleteRegistryPolicy": Entry(policies.delete_registry_policy),
    "DeleteRepositoryPolicy": Entry(policies.delete_repository_policy),
    "GetRegistryPolicy": Entry(policies.get_registry_policy, only_reads=True),
    "GetRepositoryPolicy": Entry(policies.get_repository_policy, only_reads=True),
    "PutRegistryPolicy": Entry(policies.put_registry_policy),
    "SetRepositoryPolicy": Entry(policies.set_repository_policy),
    "DeleteRepository": Entry(repositories.delete_repository),
    "DescribeImages": Entry(images.describe_images, only_reads=True),
    "DescribeRepositories": Entry(repositories.describe_repositories, only_reads=True),
    "GetAuthorizationToken": Entry(tokens.get_authorization_token, only_reads=True),
    "GetDownloadUrlForLayer": Entry(layers.get_download_url_for_layer, only_reads=True),
    "InitiateLayerUpload": Entry(layers.initiate_layer_upload),
    "ListImages": Entry(images.list_images, only_reads=True),
    "PutImage": Entry(images.put_image, body_limit=_MANIFEST),
    "UploadLayerPart": Entry(layers.upload_layer_part, body_limit=_PART),
}
