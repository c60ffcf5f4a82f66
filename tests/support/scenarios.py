"""For each built operation, calls that succeed and that together give all of its parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from tests.support.door import Account, part_of
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, make_image
from tests.support.replicator import Replicator
from tests.support.rules import sample
from tests.support.scanning import image_with, import_feed, python, scan_all

Scenario = Callable[[Account], object]

_EXCLUSIONS: Final = {
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev*"}],
}


def _one(operation: str, *more: str, **members: Any) -> Scenario:
    """Call with the required members, and more of them, without anything to be prepared."""
    return lambda account: account.call(operation, **sample(operation, *more, **members))


def _in_one(operation: str, *more: str, **members: Any) -> Scenario:
    """Call for a repository that has an image with the tag v1."""

    def run(account: Account) -> None:
        name = account.create()
        account.push(name, "v1")
        given = sample(operation, *more, **members)
        account.call(operation, **given | {"registryId": account.id, "repositoryName": name})

    return run


def _pages(operation: str, **members: Any) -> Scenario:
    """Call for a first page of one image out of two, then for the next."""

    def run(account: Account) -> None:
        name = account.create()
        account.push(name, "v1")
        account.push(name, "v2")
        given = {"registryId": account.id, "repositoryName": name, "maxResults": 1, **members}
        token = account.call(operation, **given)["nextToken"]
        account.call(operation, **given, nextToken=token)

    return run


def _image_ids(account: Account, name: str) -> list[dict[str, str]]:
    image = account.push(name, "both", "v1")
    return [{"imageDigest": image.digest, "imageTag": "both"}]


def batch_check_layer_availability(account: Account) -> None:
    name = account.create()
    digests = [blob.digest for blob in account.push(name).blobs]
    account.call(
        "BatchCheckLayerAvailability",
        registryId=account.id,
        repositoryName=name,
        layerDigests=digests,
    )


def batch_delete_image(account: Account) -> None:
    name = account.create()
    account.call(
        "BatchDeleteImage",
        registryId=account.id,
        repositoryName=name,
        imageIds=_image_ids(account, name),
    )


def batch_get_image(account: Account) -> None:
    name = account.create()
    account.call(
        "BatchGetImage",
        registryId=account.id,
        repositoryName=name,
        imageIds=_image_ids(account, name),
        acceptedMediaTypes=[OCI_MANIFEST, OCI_INDEX],
    )


def complete_layer_upload(account: Account) -> None:
    name, blob = account.create(), make_image().config
    account.call(
        "CompleteLayerUpload",
        registryId=account.id,
        repositoryName=name,
        uploadId=account.begin(name, blob.content),
        layerDigests=[blob.digest],
    )


def create_repository(account: Account) -> None:
    key = f"arn:aws:kms:us-east-1:{account.id}:key/one"
    account.call(
        "CreateRepository",
        registryId=account.id,
        repositoryName="one",
        tags=[{"Key": "stage", "Value": "test"}],
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key},
        **_EXCLUSIONS,
    )


def _template(account: Account) -> dict[str, Any]:
    more = ("description", "repositoryPolicy", "lifecyclePolicy", "customRoleArn")
    key = f"arn:aws:kms:us-east-1:{account.id}:key/one"
    return sample(
        "CreateRepositoryCreationTemplate",
        *more,
        encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key},
        resourceTags=[{"Key": "stage", "Value": "test"}],
        appliedFor=["CREATE_ON_PUSH"],
        **_EXCLUSIONS,
    )


def create_repository_creation_template(account: Account) -> None:
    account.call("CreateRepositoryCreationTemplate", **_template(account))


def update_repository_creation_template(account: Account) -> None:
    _one("CreateRepositoryCreationTemplate")(account)
    account.call("UpdateRepositoryCreationTemplate", **_template(account))


def delete_repository_creation_template(account: Account) -> None:
    _one("CreateRepositoryCreationTemplate")(account)
    _one("DeleteRepositoryCreationTemplate")(account)


def describe_repository_creation_templates(account: Account) -> None:
    operation = "DescribeRepositoryCreationTemplates"
    for prefix in ("one", "two"):
        _one("CreateRepositoryCreationTemplate", prefix=prefix)(account)
    token = account.call(operation, maxResults=1)["nextToken"]
    account.call(operation, maxResults=1, nextToken=token)
    account.call(operation, prefixes=["one"])


def create_pull_through_cache_rule(account: Account) -> None:
    given = sample(
        "CreatePullThroughCacheRule",
        *("upstreamRegistry", "upstreamRepositoryPrefix", "customRoleArn"),
        credentialArn=account.secret("login"),
    )
    account.call("CreatePullThroughCacheRule", registryId=account.id, **given)


def update_pull_through_cache_rule(account: Account) -> None:
    account.cache("up")
    given = sample("UpdatePullThroughCacheRule", "customRoleArn", ecrRepositoryPrefix="up")
    account.call(
        "UpdatePullThroughCacheRule",
        registryId=account.id,
        **given | {"credentialArn": account.secret("login")},
    )


def _of_a_rule(operation: str) -> Scenario:
    def run(account: Account) -> None:
        account.cache("up")
        account.call(operation, registryId=account.id, ecrRepositoryPrefix="up")

    return run


def describe_pull_through_cache_rules(account: Account) -> None:
    operation, given = "DescribePullThroughCacheRules", {"registryId": account.id, "maxResults": 1}
    account.cache("one")
    account.cache("two")
    token = account.call(operation, **given)["nextToken"]
    account.call(operation, nextToken=token, **given)
    account.call(operation, ecrRepositoryPrefixes=["two", "one"])


def _with_lifecycle_policy(operation: str) -> Scenario:
    def run(account: Account) -> None:
        name = account.create()
        _put_lifecycle_policy(account, name)
        account.call(operation, registryId=account.id, repositoryName=name)

    return run


def _put_lifecycle_policy(account: Account, name: str) -> None:
    given = sample("PutLifecyclePolicy", repositoryName=name)
    account.call("PutLifecyclePolicy", registryId=account.id, **given)


def get_lifecycle_policy_preview(account: Account) -> None:
    name = account.create()
    ids = [*_image_ids(account, name), *_image_ids(account, name)]
    account.push(name, "youngest")
    given = {"repositoryName": name, "registryId": account.id, "filter": {"tagStatus": "ANY"}}
    account.call(
        "StartLifecyclePolicyPreview",
        **sample("StartLifecyclePolicyPreview", "lifecyclePolicyText", repositoryName=name),
    )
    token = account.call("GetLifecyclePolicyPreview", maxResults=1, **given)["nextToken"]
    account.call("GetLifecyclePolicyPreview", maxResults=1, nextToken=token, **given)
    account.call("GetLifecyclePolicyPreview", imageIds=ids, **given)


def _with_repository_policy(operation: str) -> Scenario:
    def run(account: Account) -> None:
        name = account.create()
        _set_repository_policy(account, name)
        account.call(operation, registryId=account.id, repositoryName=name)

    return run


def _set_repository_policy(account: Account, name: str) -> None:
    given = sample("SetRepositoryPolicy", "force", repositoryName=name)
    account.call("SetRepositoryPolicy", registryId=account.id, **given)


def _with_registry_policy(operation: str) -> Scenario:
    def run(account: Account) -> None:
        _one("PutRegistryPolicy")(account)
        account.call(operation)

    return run


def describe_images(account: Account) -> None:
    wanted = {"tagStatus": "TAGGED", "imageStatus": "ACTIVE"}
    _pages("DescribeImages", filter=wanted)(account)
    account.call(
        "DescribeImages",
        repositoryName="one",
        imageIds=_image_ids(account, "one"),
    )


def describe_repositories(account: Account) -> None:
    names = [account.create("one"), account.create("two")]
    given = {"registryId": account.id, "maxResults": 1}
    token = account.call("DescribeRepositories", **given)["nextToken"]
    account.call("DescribeRepositories", nextToken=token, **given)
    account.call("DescribeRepositories", registryId=account.id, repositoryNames=names)


def get_download_url_for_layer(account: Account) -> None:
    name = account.create()
    account.call(
        "GetDownloadUrlForLayer",
        registryId=account.id,
        repositoryName=name,
        layerDigest=account.push(name).config.digest,
    )


def batch_get_repository_scanning_configuration(account: Account) -> None:
    account.create()
    account.call("BatchGetRepositoryScanningConfiguration", repositoryNames=["one", "two"])


def put_registry_scanning_configuration(account: Account) -> None:
    filters = [{"filter": "prod*", "filterType": "WILDCARD"}]
    rules = [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": filters}]
    account.call("PutRegistryScanningConfiguration", scanType="ENHANCED", rules=rules)


def start_image_scan(account: Account) -> None:
    name = account.create()
    image_id = _image_ids(account, name)[0]
    account.call("StartImageScan", registryId=account.id, repositoryName=name, imageId=image_id)


def describe_image_scan_findings(account: Account) -> None:
    name, core = account.create(), account.door.bench.core
    import_feed(core)
    image = account.upload(name, image_with(python("one", "1.0"), python("two", "1.0")))
    account.put(name, image.manifest, "v1")
    image_id = {"imageDigest": image.digest, "imageTag": "v1"}
    given = {"registryId": account.id, "repositoryName": name, "imageId": image_id}
    account.call("StartImageScan", **given)
    scan_all(core)
    token = account.call("DescribeImageScanFindings", maxResults=1, **given)["nextToken"]
    account.call("DescribeImageScanFindings", maxResults=1, nextToken=token, **given)


def list_image_referrers(account: Account) -> None:
    name = account.create()
    subject = account.push(name)
    for _ in range(2):
        account.upload(name, artifact := make_image(10))
        account.put(name, _about(subject, artifact))
    given = {
        "registryId": account.id,
        "repositoryName": name,
        "subjectId": {"imageDigest": subject.digest},
        "filter": {"artifactTypes": ["application/sbom"], "artifactStatus": "ACTIVE"},
        "maxResults": 1,
    }
    token = account.call("ListImageReferrers", **given)["nextToken"]
    account.call("ListImageReferrers", nextToken=token, **given)


def _about(subject: MadeImage, artifact: MadeImage) -> str:
    descriptor = {"mediaType": OCI_MANIFEST, "digest": subject.digest, "size": 1}
    document = {**artifact.document, "artifactType": "application/sbom", "subject": descriptor}
    return json.dumps(document)


def list_pull_time_update_exclusions(account: Account) -> None:
    for name in "ab":
        arn = f"arn:aws:iam::{account.id}:user/{name}"
        account.call("RegisterPullTimeUpdateExclusion", principalArn=arn)
    token = account.call("ListPullTimeUpdateExclusions", maxResults=1)["nextToken"]
    account.call("ListPullTimeUpdateExclusions", maxResults=1, nextToken=token)


def deregister_pull_time_update_exclusion(account: Account) -> None:
    _one("RegisterPullTimeUpdateExclusion")(account)
    _one("DeregisterPullTimeUpdateExclusion")(account)


def _for_resource(operation: str, **members: Any) -> Scenario:
    return lambda account: account.call(
        operation, resourceArn=account.arn(account.create()), **members
    )


def _places(*regions: str) -> list[dict[str, Any]]:
    return [
        {
            "destinations": [{"region": region, "registryId": "222222222222"}],
            "repositoryFilters": [{"filter": "on", "filterType": "PREFIX_MATCH"}],
            "deleteReplication": {"enabled": True},
        }
        for region in regions
    ]


def _put_rules(account: Account, *regions: str) -> None:
    given = {"rules": _places(*regions)}
    account.call("PutReplicationConfiguration", replicationConfiguration=given)


def _begin_backfill(account: Account, region: str) -> str:
    place = {"region": region, "registryId": "222222222222"}
    given = {"registryId": account.id, "destination": place}
    return str(account.call("StartReplicationBackfill", **given)["replicationBackfillId"])


def start_replication_backfill(account: Account) -> None:
    _put_rules(account, "us-west-2")
    _begin_backfill(account, "us-west-2")


def stop_replication_backfill(account: Account) -> None:
    _put_rules(account, "us-west-2")
    account.call(
        "StopReplicationBackfill",
        registryId=account.id,
        replicationBackfillId=_begin_backfill(account, "us-west-2"),
    )


def list_replication_backfills(account: Account) -> None:
    _put_rules(account, "us-west-2", "eu-west-1")
    for region in ("us-west-2", "eu-west-1"):
        _begin_backfill(account, region)
    given = {"registryId": account.id, "maxResults": 1}
    token = account.call("ListReplicationBackfills", **given)["nextToken"]
    account.call("ListReplicationBackfills", nextToken=token, **given)


def describe_replication_backfill_results(account: Account) -> None:
    name = account.create()
    account.push(name, "v1")
    account.push(name, "v2")
    replicator = Replicator(account.door.bench.core)
    _put_rules(account, "us-west-2")
    given = {
        "registryId": account.id,
        "replicationBackfillId": _begin_backfill(account, "us-west-2"),
        "resultStatusFilter": "FAILED",
        "maxResults": 1,
    }
    replicator.run()
    replicator.run()
    token = account.call("DescribeReplicationBackfillResults", **given)["nextToken"]
    account.call("DescribeReplicationBackfillResults", nextToken=token, **given)


def describe_image_replication_status(account: Account) -> None:
    name = account.create()
    (image_id,) = _image_ids(account, name)
    account.call(
        "DescribeImageReplicationStatus",
        registryId=account.id,
        repositoryName=name,
        imageId=image_id,
    )


def put_image(account: Account) -> None:
    name = account.create()
    image = account.upload(name, make_image())
    account.call(
        "PutImage",
        registryId=account.id,
        repositoryName=name,
        imageManifest=image.manifest,
        imageManifestMediaType=OCI_MANIFEST,
        imageTag="v1",
        imageDigest=image.digest,
    )


def update_image_storage_class(account: Account) -> None:
    name = account.create()
    (image_id,) = _image_ids(account, name)
    account.call(
        "UpdateImageStorageClass",
        registryId=account.id,
        repositoryName=name,
        imageId=image_id,
        targetStorageClass="ARCHIVE",
    )


def upload_layer_part(account: Account) -> None:
    name = account.create()
    part = part_of(name, account.begin(name), 0, b"abc")
    account.call("UploadLayerPart", registryId=account.id, **part)


SCENARIOS: Final[dict[str, Scenario]] = {
    "BatchCheckLayerAvailability": batch_check_layer_availability,
    "BatchDeleteImage": batch_delete_image,
    "BatchGetImage": batch_get_image,
    "BatchGetRepositoryScanningConfiguration": batch_get_repository_scanning_configuration,
    "CompleteLayerUpload": complete_layer_upload,
    "CreatePullThroughCacheRule": create_pull_through_cache_rule,
    "CreateRepository": create_repository,
    "CreateRepositoryCreationTemplate": create_repository_creation_template,
    "DeleteLifecyclePolicy": _with_lifecycle_policy("DeleteLifecyclePolicy"),
    "DeletePullThroughCacheRule": _of_a_rule("DeletePullThroughCacheRule"),
    "DeleteRegistryPolicy": _with_registry_policy("DeleteRegistryPolicy"),
    "DeleteRepository": _in_one("DeleteRepository", "force"),
    "DeleteRepositoryCreationTemplate": delete_repository_creation_template,
    "DeleteRepositoryPolicy": _with_repository_policy("DeleteRepositoryPolicy"),
    "DeregisterPullTimeUpdateExclusion": deregister_pull_time_update_exclusion,
    "DescribeImageReplicationStatus": describe_image_replication_status,
    "DescribeImageScanFindings": describe_image_scan_findings,
    "DescribeImages": describe_images,
    "DescribePullThroughCacheRules": describe_pull_through_cache_rules,
    "DescribeRegistry": _one("DescribeRegistry"),
    "DescribeReplicationBackfillResults": describe_replication_backfill_results,
    "DescribeRepositories": describe_repositories,
    "DescribeRepositoryCreationTemplates": describe_repository_creation_templates,
    "GetAccountSetting": _one("GetAccountSetting"),
    "GetAuthorizationToken": _one("GetAuthorizationToken", "registryIds"),
    "GetDownloadUrlForLayer": get_download_url_for_layer,
    "GetLifecyclePolicy": _with_lifecycle_policy("GetLifecyclePolicy"),
    "GetLifecyclePolicyPreview": get_lifecycle_policy_preview,
    "GetRegistryPolicy": _with_registry_policy("GetRegistryPolicy"),
    "GetRepositoryPolicy": _with_repository_policy("GetRepositoryPolicy"),
    "GetRegistryScanningConfiguration": _one("GetRegistryScanningConfiguration"),
    "InitiateLayerUpload": _in_one("InitiateLayerUpload"),
    "ListImageReferrers": list_image_referrers,
    "ListImages": _pages("ListImages", filter={"tagStatus": "TAGGED", "imageStatus": "ACTIVE"}),
    "ListPullTimeUpdateExclusions": list_pull_time_update_exclusions,
    "ListReplicationBackfills": list_replication_backfills,
    "ListTagsForResource": _for_resource("ListTagsForResource"),
    "PutAccountSetting": _one("PutAccountSetting"),
    "PutImage": put_image,
    "PutImageScanningConfiguration": _in_one(
        "PutImageScanningConfiguration", imageScanningConfiguration={"scanOnPush": True}
    ),
    "PutImageTagMutability": _in_one("PutImageTagMutability", **_EXCLUSIONS),
    "PutLifecyclePolicy": _in_one("PutLifecyclePolicy"),
    "PutRegistryPolicy": _one("PutRegistryPolicy"),
    "PutReplicationConfiguration": lambda account: _put_rules(account, "us-west-2"),
    "PutRegistryScanningConfiguration": put_registry_scanning_configuration,
    "RegisterPullTimeUpdateExclusion": _one("RegisterPullTimeUpdateExclusion"),
    "SetRepositoryPolicy": _in_one("SetRepositoryPolicy", "force"),
    "StartImageScan": start_image_scan,
    "StartLifecyclePolicyPreview": _in_one("StartLifecyclePolicyPreview", "lifecyclePolicyText"),
    "StartReplicationBackfill": start_replication_backfill,
    "StopReplicationBackfill": stop_replication_backfill,
    "TagResource": _for_resource("TagResource", tags=[{"Key": "stage", "Value": "test"}]),
    "UntagResource": _for_resource("UntagResource", tagKeys=["stage"]),
    "UpdateImageStorageClass": update_image_storage_class,
    "UpdatePullThroughCacheRule": update_pull_through_cache_rule,
    "UpdateRepositoryCreationTemplate": update_repository_creation_template,
    "UploadLayerPart": upload_layer_part,
    "ValidatePullThroughCacheRule": _of_a_rule("ValidatePullThroughCacheRule"),
}
