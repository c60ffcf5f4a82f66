"""The operations this door offers: which function answers, and how large a request may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ecrate.aws import (
    images,
    layers,
    lifecycle,
    policies,
    pull_through,
    referrers,
    registry,
    replication,
    repositories,
    scanning,
    scans,
    tagging,
    templates,
    tokens,
)
from ecrate.aws.call import Call

KIB: Final = 1024
# 20 MiB of base64 with every `/` escaped, and the other members.
_PART: Final = 32 * KIB * KIB
# A manifest of 4 MiB with every quote escaped, and the other members.
_MANIFEST: Final = 9 * KIB * KIB
_ORDINARY: Final = 256 * KIB
# What a write of a few rows takes for its parameters; more of them may mean many rows.
_SHORT: Final = 4 * KIB
_SHORT_DOCUMENT: Final = 32 * KIB


@dataclass(frozen=True, slots=True)
class Entry:
    """`only_reads`: the operation is a few indexed reads, which a local database answers
    faster than another thread can be asked. With a body of up to `short_write` bytes it is one
    short write and nothing besides, with one of up to `mostly_reads` a few reads and hardly ever
    such a write. `body_limit` is in bytes.
    """

    handler: Callable[[Call[Any]], dict[str, Any]]
    only_reads: bool = False
    mostly_reads: int = 0
    short_write: int = 0
    body_limit: int = _ORDINARY


OPERATIONS: Final[dict[str, Entry]] = {
    "BatchCheckLayerAvailability": Entry(
        layers.batch_check_layer_availability, mostly_reads=_SHORT
    ),
    "BatchDeleteImage": Entry(images.batch_delete_image, short_write=KIB),
    "BatchGetImage": Entry(images.batch_get_image, mostly_reads=KIB),
    "BatchGetRepositoryScanningConfiguration": Entry(
        scanning.batch_get_repository_scanning_configuration, only_reads=True
    ),
    "CompleteLayerUpload": Entry(layers.complete_layer_upload),
    "CreatePullThroughCacheRule": Entry(pull_through.create_pull_through_cache_rule),
    "CreateRepository": Entry(repositories.create_repository, short_write=_SHORT),
    "CreateRepositoryCreationTemplate": Entry(
        templates.create_repository_creation_template, short_write=_SHORT_DOCUMENT
    ),
    "DeleteLifecyclePolicy": Entry(lifecycle.delete_lifecycle_policy, short_write=_SHORT),
    "DeletePullThroughCacheRule": Entry(pull_through.delete_pull_through_cache_rule),
    "DeleteRegistryPolicy": Entry(policies.delete_registry_policy, short_write=_SHORT),
    "DeleteRepository": Entry(repositories.delete_repository, short_write=_SHORT),
    "DeleteRepositoryCreationTemplate": Entry(
        templates.delete_repository_creation_template, short_write=_SHORT
    ),
    "DeleteRepositoryPolicy": Entry(policies.delete_repository_policy, short_write=_SHORT),
    "DeregisterPullTimeUpdateExclusion": Entry(
        registry.deregister_pull_time_update_exclusion, short_write=_SHORT
    ),
    "DescribeImageReplicationStatus": Entry(
        replication.describe_image_replication_status, only_reads=True
    ),
    "DescribeImageScanFindings": Entry(scans.describe_image_scan_findings),
    "DescribeImages": Entry(images.describe_images, only_reads=True),
    "DescribePullThroughCacheRules": Entry(
        pull_through.describe_pull_through_cache_rules, only_reads=True
    ),
    "DescribeRegistry": Entry(registry.describe_registry, only_reads=True),
    "DescribeReplicationBackfillResults": Entry(replication.describe_replication_backfill_results),
    "DescribeRepositories": Entry(repositories.describe_repositories, only_reads=True),
    "DescribeRepositoryCreationTemplates": Entry(
        templates.describe_repository_creation_templates, only_reads=True
    ),
    "GetAccountSetting": Entry(registry.get_account_setting, only_reads=True),
    "GetAuthorizationToken": Entry(tokens.get_authorization_token, only_reads=True),
    "GetDownloadUrlForLayer": Entry(layers.get_download_url_for_layer, only_reads=True),
    "GetLifecyclePolicy": Entry(lifecycle.get_lifecycle_policy, only_reads=True),
    "GetLifecyclePolicyPreview": Entry(lifecycle.get_lifecycle_policy_preview),
    "GetRegistryPolicy": Entry(policies.get_registry_policy, only_reads=True),
    "GetRegistryScanningConfiguration": Entry(
        scanning.get_registry_scanning_configuration, only_reads=True
    ),
    "GetRepositoryPolicy": Entry(policies.get_repository_policy, only_reads=True),
    "InitiateLayerUpload": Entry(layers.initiate_layer_upload, short_write=_SHORT),
    "ListImageReferrers": Entry(referrers.list_image_referrers, only_reads=True),
    "ListImages": Entry(images.list_images, only_reads=True),
    "ListPullTimeUpdateExclusions": Entry(
        registry.list_pull_time_update_exclusions, only_reads=True
    ),
    "ListReplicationBackfills": Entry(replication.list_replication_backfills),
    "ListTagsForResource": Entry(tagging.list_tags_for_resource, only_reads=True),
    "PutAccountSetting": Entry(registry.put_account_setting, short_write=_SHORT),
    "PutImage": Entry(images.put_image, short_write=_SHORT_DOCUMENT, body_limit=_MANIFEST),
    "PutImageScanningConfiguration": Entry(
        repositories.put_image_scanning_configuration, short_write=_SHORT
    ),
    "PutImageTagMutability": Entry(repositories.put_image_tag_mutability, short_write=_SHORT),
    "PutLifecyclePolicy": Entry(lifecycle.put_lifecycle_policy, short_write=_SHORT_DOCUMENT),
    "PutRegistryPolicy": Entry(policies.put_registry_policy, short_write=_SHORT_DOCUMENT),
    "PutRegistryScanningConfiguration": Entry(scanning.put_registry_scanning_configuration),
    "PutReplicationConfiguration": Entry(
        replication.put_replication_configuration, short_write=_SHORT_DOCUMENT
    ),
    "RegisterPullTimeUpdateExclusion": Entry(
        registry.register_pull_time_update_exclusion, short_write=_SHORT
    ),
    "SetRepositoryPolicy": Entry(policies.set_repository_policy, short_write=_SHORT_DOCUMENT),
    "StartImageScan": Entry(scans.start_image_scan),
    "StartLifecyclePolicyPreview": Entry(lifecycle.start_lifecycle_policy_preview),
    "StartReplicationBackfill": Entry(replication.start_replication_backfill, short_write=_SHORT),
    "StopReplicationBackfill": Entry(replication.stop_replication_backfill, short_write=_SHORT),
    "TagResource": Entry(tagging.tag_resource, short_write=_SHORT),
    "UntagResource": Entry(tagging.untag_resource, short_write=_SHORT),
    "UpdateImageStorageClass": Entry(images.update_image_storage_class),
    "UpdatePullThroughCacheRule": Entry(pull_through.update_pull_through_cache_rule),
    "UpdateRepositoryCreationTemplate": Entry(
        templates.update_repository_creation_template, short_write=_SHORT_DOCUMENT
    ),
    "UploadLayerPart": Entry(
        layers.upload_layer_part, short_write=_SHORT_DOCUMENT, body_limit=_PART
    ),
    "ValidatePullThroughCacheRule": Entry(
        pull_through.validate_pull_through_cache_rule, only_reads=True
    ),
}
