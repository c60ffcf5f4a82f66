"""How each error that the service model has for an operation is brought about, or why it cannot.

A provocation sets the stage for an account and gives the members of the request that is then
refused. `docs/reference/operations.md` shows these tables as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ecrate.aws.model import service_model
from ecrate.aws.table import OPERATIONS
from ecrate.store import lifecycle as store
from tests.support.door import Account, part_of
from tests.support.images import digest_of, make_image
from tests.support.pushing import make_index
from tests.support.rules import DIGEST, UNKNOWN, sample, violations
from tests.support.upstream import Handler, arn_of, refusing, sending

Members = dict[str, Any]
Provocation = Callable[[Account], Members]
Fault = Callable[[Handler], None]

INVALID: Final = "InvalidParameterException"
NO_REPOSITORY: Final = "RepositoryNotFoundException"
SERVER: Final = "ServerException"

_DELETES: Final = "nothing is deleted at an upstream"
_NO_MEMBERS: Final = "the operation has no members that could be wrong"

# What every operation of an AWS service may answer, though its model does not say so; and what
# STS answers to the policy of a session.
# AWS: API reference of ECR, "Common Error Types".
COMMON: Final = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MalformedPolicyDocument",
    "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
}
# By operation (`*` for all) and error.
CANNOT_OCCUR: Final[dict[tuple[str, str], str]] = {
    ("*", "KmsException"): "there is no KMS here: type and key are remembered, nothing encrypted",
    ("*", "ValidationException"): (
        "what is malformed is an InvalidParameterException; the states that ECR refuses so come "
        "with signing"
    ),
    ("DeleteRegistryPolicy", INVALID): _NO_MEMBERS,
    ("DescribeRegistry", INVALID): _NO_MEMBERS,
    ("GetRegistryScanningConfiguration", INVALID): _NO_MEMBERS,
    ("BatchGetRepositoryScanningConfiguration", NO_REPOSITORY): "it is a failure in the answer",
    ("PutRegistryScanningConfiguration", "BlockedByOrganizationPolicyException"): (
        "there are no organizations here"
    ),
    ("GetRegistryPolicy", INVALID): _NO_MEMBERS,
    ("DeregisterPullTimeUpdateExclusion", "LimitExceededException"): "it only takes away",
    ("ListPullTimeUpdateExclusions", "LimitExceededException"): "it only reads",
    ("PutAccountSetting", "LimitExceededException"): "the settings are few and all known",
    ("UntagResource", "InvalidTagParameterException"): "a key that no tag can have is not there",
    ("UntagResource", "TooManyTagsException"): "it only takes away",
}
# The same for the failures within an answer.
CANNOT_FAIL: Final[dict[tuple[str, str], str]] = {
    ("*", "KmsError"): "there is no KMS here",
    ("BatchDeleteImage", "UpstreamAccessDenied"): _DELETES,
    ("BatchDeleteImage", "UpstreamTooManyRequests"): _DELETES,
    ("BatchDeleteImage", "UpstreamUnavailable"): _DELETES,
    ("BatchGetImage", "ImageReferencedByManifestList"): "an index keeps from deletes only",
    ("BatchDeleteImage", "ImageInaccessible"): "archived images can be deleted",
}


# What is raised within, and caught: it is a failure in the answer.
CAUGHT: Final = {("BatchGetRepositoryScanningConfiguration", NO_REPOSITORY)}
# Where what cannot occur elsewhere does.
EXCEPTIONS: Final = {
    ("PutImageScanningConfiguration", "ValidationException"),
    ("StartImageScan", "ValidationException"),
}


def reason_why_not(reasons: dict[tuple[str, str], str], operation: str, code: str) -> str | None:
    if (operation, code) in EXCEPTIONS:
        return None
    return reasons.get((operation, code)) or reasons.get(("*", code))


def _in_one(operation: str, **settings: Any) -> Provocation:
    """Ask with a good request in an empty repository."""

    def provoke(account: Account) -> Members:
        return sample(operation, repositoryName=account.create(**settings))

    return provoke


def _good(operation: str) -> Provocation:
    return lambda _: sample(operation)


def _again(operation: str, **members: Any) -> Provocation:
    """Ask for what was done already."""

    def provoke(account: Account) -> Members:
        request = sample(operation, **members)
        account.call(operation, **request)
        return request

    return provoke


def _once_too_often(operation: str, member: str, values: list[str]) -> Provocation:
    """Ask for one more than there may be."""

    def provoke(account: Account) -> Members:
        for value in values[:-1]:
            account.call(operation, **sample(operation, **{member: value}))
        return sample(operation, **{member: values[-1]})

    return provoke


def _upload(*parts: bytes, digest: str = DIGEST) -> Provocation:
    """Complete an upload of these parts."""

    def provoke(account: Account) -> Members:
        name = account.create()
        upload_id = account.begin(name, *parts)
        return {"repositoryName": name, "uploadId": upload_id, "layerDigests": [digest]}

    return provoke


def _part(first: int, size: int) -> Provocation:
    """Send a part of an upload that has three bytes."""

    def provoke(account: Account) -> Members:
        name = account.create()
        return part_of(name, account.begin(name, b"abc"), first, bytes(size))

    return provoke


def _layer_again(account: Account) -> Members:
    name = account.create()
    blob = account.push(name).config
    upload_id = account.begin(name, blob.content)
    return {"repositoryName": name, "uploadId": upload_id, "layerDigests": [blob.digest]}


def _tags(*keys: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": "value"} for key in keys]


def _tag_resource(*keys: str) -> Provocation:
    return lambda account: {"resourceArn": account.arn(account.create()), "tags": _tags(*keys)}


def _full_repository(account: Account) -> Members:
    name = account.create()
    for _ in range(3):
        account.push(name)
    image = account.upload(name, make_image(10))
    return {"repositoryName": name, "imageManifest": image.manifest}


def _image_again(account: Account) -> Members:
    name = account.create()
    return {"repositoryName": name, "imageManifest": account.push(name, "v1").manifest}


def _tag_again(account: Account) -> Members:
    name = account.create(imageTagMutability="IMMUTABLE")
    account.push(name, "v1")
    image = account.upload(name, make_image(10))
    return {"repositoryName": name, "imageManifest": image.manifest, "imageTag": "v1"}


def _images_missing(account: Account) -> Members:
    return {"repositoryName": account.create(), "imageManifest": make_index(make_image())}


def _other_digest(account: Account) -> Members:
    name = account.create()
    image = account.upload(name, make_image(10))
    return {"repositoryName": name, "imageManifest": image.manifest, "imageDigest": DIGEST}


def _not_empty(account: Account) -> Members:
    name = account.create()
    account.push(name)
    return {"repositoryName": name}


def _archive(account: Account, name: str, digest: str) -> None:
    account.call(
        "UpdateImageStorageClass",
        repositoryName=name,
        imageId={"imageDigest": digest},
        targetStorageClass="ARCHIVE",
    )


def _archived_layer(account: Account) -> Members:
    name = account.create()
    image = account.push(name)
    _archive(account, name, image.digest)
    return {"repositoryName": name, "layerDigest": image.config.digest}


def _child_of_an_index(account: Account) -> Members:
    name = account.create()
    image = account.push(name)
    account.put(name, make_index(image))
    return {
        "repositoryName": name,
        "imageId": {"imageDigest": image.digest},
        "targetStorageClass": "ARCHIVE",
    }


def _no_image(account: Account) -> Members:
    return {"repositoryName": account.create(), "imageIds": [{"imageTag": "v1"}]}


def _preview_under_way(account: Account) -> Members:
    request = _in_one("StartLifecyclePolicyPreview")(account)
    request |= sample("StartLifecyclePolicyPreview", "lifecyclePolicyText", **request)
    bench = account.door.bench
    with bench.writing() as tx:
        row = tx.one("SELECT id FROM repositories WHERE registry_id = ?", account.id)
        assert row is not None
        store.insert_preview(tx, row[0], f"of-{account.id}", "{}", bench.clock.now)
    return request


_BACKFILL: Final = "01234567-89ab-cdef-0123-456789abcdef"


def _places(*regions: str) -> list[Members]:
    return [{"region": region, "registryId": "222222222222"} for region in regions]


def _backfills(begun: int, destination: int = -1) -> Provocation:
    """Begin so many backfills, then ask for one more to one of eleven destinations."""

    def provoke(account: Account) -> Members:
        places = _places(*(f"us-west-{number}" for number in range(11)))
        rules = [{"destinations": places}]
        account.call("PutReplicationConfiguration", replicationConfiguration={"rules": rules})
        for place in places[:begun]:
            account.call("StartReplicationBackfill", destination=place)
        return {"destination": places[destination]}

    return provoke


def _stopped_backfill(account: Account) -> Members:
    request = _backfills(0)(account)
    begun = account.call("StartReplicationBackfill", **request)
    request = {"replicationBackfillId": begun["replicationBackfillId"]}
    account.call("StopReplicationBackfill", **request)
    return request


def _upstream_image(fault: Fault) -> Provocation:
    """Ask for an image that upstream does not give."""

    def provoke(account: Account) -> Members:
        name = account.cache()
        account.door.upstream.faults[f"/v2/{name}/manifests/v1"] = fault
        return {"repositoryName": f"up/{name}", "imageIds": [{"imageTag": "v1"}]}

    return provoke


def _image_to_scan(account: Account) -> Members:
    name = account.create()
    account.push(name, "v1")
    return {"repositoryName": name, "imageId": {"imageTag": "v1"}}


def _scan_again(account: Account) -> Members:
    request = _image_to_scan(account)
    account.call("StartImageScan", **request)
    return request


def _scan_an_index(account: Account) -> Members:
    name = account.create()
    account.put(name, make_index(account.push(name)), "v1")
    return {"repositoryName": name, "imageId": {"imageTag": "v1"}}


def _scan_an_archived_image(account: Account) -> Members:
    name = account.create()
    image = account.push(name, "v1")
    _archive(account, name, image.digest)
    return {"repositoryName": name, "imageId": {"imageTag": "v1"}}


def _enhanced(prepare: Provocation) -> Provocation:
    def provoke(account: Account) -> Members:
        account.call("PutRegistryScanningConfiguration", scanType="ENHANCED", rules=[])
        return prepare(account)

    return provoke


def _upstream_images(account: Account) -> Members:
    """Ask for one image more than a repository may have."""
    name = account.cache()
    digests = [account.door.upstream.add(name, make_image(10)).digest for _ in range(4)]
    request = {"repositoryName": f"up/{name}"}
    account.call("BatchGetImage", imageIds=[{"imageDigest": one} for one in digests[1:]], **request)
    return {**request, "imageIds": [{"imageDigest": digests[0]}]}


def _upstream_layer(account: Account) -> Members:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(10), "v1")
    ids = [{"imageTag": "v1"}]
    account.call("BatchGetImage", repositoryName=f"up/{name}", imageIds=ids)
    digest = image.config.digest
    account.door.upstream.faults[f"/v2/{name}/blobs/{digest}"] = refusing(500)
    return {"repositoryName": f"up/{name}", "layerDigest": digest}


def _upstream_referrers(account: Account) -> Members:
    name = account.cache()
    image = account.door.upstream.add(name, make_image(10), "v1")
    ids = [{"imageTag": "v1"}]
    account.call("BatchGetImage", repositoryName=f"up/{name}", imageIds=ids)
    account.door.upstream.faults[f"/v2/{name}/referrers/{image.digest}"] = refusing(500)
    return {"repositoryName": f"up/{name}", "subjectId": {"imageDigest": image.digest}}


def _rule(**members: Any) -> Provocation:
    """Ask for a rule with these members."""
    return lambda _: sample("CreatePullThroughCacheRule", **members)


def _secret(operation: str, arn: Callable[[Account], str]) -> Provocation:
    """Ask for a rule, or to change it, with a secret that is of no use."""

    def provoke(account: Account) -> Members:
        if operation.startswith("Update"):
            account.cache("no")
        return sample(operation, credentialArn=arn(account))

    return provoke


_SECRETS: Final[dict[str, Callable[[Account], str]]] = {
    "SecretNotFoundException": lambda account: arn_of(account.id, "nowhere"),
    "UnableToAccessSecretException": lambda _: arn_of("999999999999", "login"),
    "UnableToDecryptSecretValueException": lambda account: account.secret("binary", b"\xff"),
}
_ONE_TO_THREE: Final = ["p/one", "p/two", "p/three"]
_PRINCIPALS: Final = [f"arn:aws:iam::123456789012:user/{name}" for name in "abc"]

_OWN: Final[dict[tuple[str, str], Provocation]] = {
    ("CompleteLayerUpload", "EmptyUploadException"): _upload(),
    ("CompleteLayerUpload", "InvalidLayerException"): _upload(b"abc"),
    ("CompleteLayerUpload", "LayerAlreadyExistsException"): _layer_again,
    ("CompleteLayerUpload", "LayerPartTooSmallException"): _upload(
        b"abc", b"def", digest=digest_of(b"abcdef")
    ),
    ("CompleteLayerUpload", "UploadNotFoundException"): _in_one("CompleteLayerUpload"),
    ("BatchGetImage", "LimitExceededException"): _upstream_images,
    ("BatchGetImage", "UnableToGetUpstreamImageException"): _upstream_image(sending(b"{}")),
    ("CreatePullThroughCacheRule", "LimitExceededException"): _once_too_often(
        "CreatePullThroughCacheRule", "ecrRepositoryPrefix", _ONE_TO_THREE
    ),
    ("CreatePullThroughCacheRule", "PullThroughCacheRuleAlreadyExistsException"): _again(
        "CreatePullThroughCacheRule"
    ),
    ("CreatePullThroughCacheRule", "UnsupportedUpstreamRegistryException"): _rule(
        upstreamRegistryUrl="registry.example"
    ),
    **{
        (operation, code): _secret(operation, arn)
        for operation in ("CreatePullThroughCacheRule", "UpdatePullThroughCacheRule")
        for code, arn in _SECRETS.items()
    },
    ("DescribePullThroughCacheRules", "PullThroughCacheRuleNotFoundException"): lambda _: sample(
        "DescribePullThroughCacheRules", "ecrRepositoryPrefixes"
    ),
    **{
        (operation, "PullThroughCacheRuleNotFoundException"): _good(operation)
        for operation in (
            "DeletePullThroughCacheRule",
            "UpdatePullThroughCacheRule",
            "ValidatePullThroughCacheRule",
        )
    },
    ("GetDownloadUrlForLayer", "UnableToGetUpstreamLayerException"): _upstream_layer,
    ("ListImageReferrers", "UnableToListUpstreamImageReferrersException"): _upstream_referrers,
    ("CreateRepository", "InvalidTagParameterException"): lambda _: {
        "repositoryName": "one",
        "tags": _tags("aws:own"),
    },
    ("CreateRepository", "LimitExceededException"): _once_too_often(
        "CreateRepository", "repositoryName", _ONE_TO_THREE
    ),
    ("CreateRepository", "RepositoryAlreadyExistsException"): _again("CreateRepository"),
    ("CreateRepository", "TooManyTagsException"): lambda _: {
        "repositoryName": "one",
        "tags": _tags(*map(str, range(51))),
    },
    ("CreateRepositoryCreationTemplate", "LimitExceededException"): _once_too_often(
        "CreateRepositoryCreationTemplate", "prefix", _ONE_TO_THREE
    ),
    ("CreateRepositoryCreationTemplate", "TemplateAlreadyExistsException"): _again(
        "CreateRepositoryCreationTemplate"
    ),
    ("DeleteLifecyclePolicy", "LifecyclePolicyNotFoundException"): _in_one("DeleteLifecyclePolicy"),
    ("DeleteRegistryPolicy", "RegistryPolicyNotFoundException"): _good("DeleteRegistryPolicy"),
    ("DeleteRepository", "RepositoryNotEmptyException"): _not_empty,
    ("DeleteRepositoryCreationTemplate", "TemplateNotFoundException"): _good(
        "DeleteRepositoryCreationTemplate"
    ),
    ("DeleteRepositoryPolicy", "RepositoryPolicyNotFoundException"): _in_one(
        "DeleteRepositoryPolicy"
    ),
    ("DeregisterPullTimeUpdateExclusion", "ExclusionNotFoundException"): _good(
        "DeregisterPullTimeUpdateExclusion"
    ),
    ("DescribeImages", "ImageNotFoundException"): _no_image,
    ("DescribeImageReplicationStatus", "ImageNotFoundException"): lambda account: {
        "repositoryName": account.create(),
        "imageId": {"imageTag": "v1"},
    },
    ("DescribeReplicationBackfillResults", "ReplicationBackfillNotFoundException"): lambda _: {
        "replicationBackfillId": _BACKFILL
    },
    ("StartReplicationBackfill", "LimitExceededException"): _backfills(10),
    ("StartReplicationBackfill", "ReplicationBackfillInProgressException"): _backfills(1, 0),
    ("StopReplicationBackfill", "ReplicationBackfillInvalidStatusException"): _stopped_backfill,
    ("StopReplicationBackfill", "ReplicationBackfillNotFoundException"): lambda _: {
        "replicationBackfillId": _BACKFILL
    },
    ("GetDownloadUrlForLayer", "LayerInaccessibleException"): _archived_layer,
    ("GetDownloadUrlForLayer", "LayersNotFoundException"): _in_one("GetDownloadUrlForLayer"),
    ("GetLifecyclePolicy", "LifecyclePolicyNotFoundException"): _in_one("GetLifecyclePolicy"),
    ("GetLifecyclePolicyPreview", "LifecyclePolicyPreviewNotFoundException"): _in_one(
        "GetLifecyclePolicyPreview"
    ),
    ("GetRegistryPolicy", "RegistryPolicyNotFoundException"): _good("GetRegistryPolicy"),
    ("GetRepositoryPolicy", "RepositoryPolicyNotFoundException"): _in_one("GetRepositoryPolicy"),
    ("PutImage", "ImageAlreadyExistsException"): _image_again,
    ("PutImage", "ImageDigestDoesNotMatchException"): _other_digest,
    ("PutImage", "ImageTagAlreadyExistsException"): _tag_again,
    ("PutImage", "LayersNotFoundException"): _in_one("PutImage"),
    ("PutImage", "LimitExceededException"): _full_repository,
    ("PutImage", "ReferencedImagesNotFoundException"): _images_missing,
    ("RegisterPullTimeUpdateExclusion", "ExclusionAlreadyExistsException"): _again(
        "RegisterPullTimeUpdateExclusion"
    ),
    ("RegisterPullTimeUpdateExclusion", "LimitExceededException"): _once_too_often(
        "RegisterPullTimeUpdateExclusion", "principalArn", _PRINCIPALS
    ),
    ("DescribeImageScanFindings", "ImageNotFoundException"): _in_one("DescribeImageScanFindings"),
    ("DescribeImageScanFindings", "ScanNotFoundException"): _image_to_scan,
    ("PutImageScanningConfiguration", "ValidationException"): _enhanced(
        _in_one("PutImageScanningConfiguration")
    ),
    ("StartImageScan", "ImageArchivedException"): _scan_an_archived_image,
    ("StartImageScan", "ImageNotFoundException"): _in_one("StartImageScan"),
    ("StartImageScan", "LimitExceededException"): _scan_again,
    ("StartImageScan", "UnsupportedImageTypeException"): _scan_an_index,
    ("StartImageScan", "ValidationException"): _enhanced(_image_to_scan),
    ("StartLifecyclePolicyPreview", "LifecyclePolicyNotFoundException"): _in_one(
        "StartLifecyclePolicyPreview"
    ),
    ("StartLifecyclePolicyPreview", "LifecyclePolicyPreviewInProgressException"): (
        _preview_under_way
    ),
    ("TagResource", "InvalidTagParameterException"): _tag_resource("aws:own"),
    ("TagResource", "TooManyTagsException"): _tag_resource(*map(str, range(51))),
    ("UpdateImageStorageClass", "ImageNotFoundException"): lambda account: sample(
        "UpdateImageStorageClass", repositoryName=account.create(), imageId={"imageTag": "v1"}
    ),
    ("UpdateImageStorageClass", "ImageStorageClassUpdateNotSupportedException"): (
        _child_of_an_index
    ),
    ("UpdateRepositoryCreationTemplate", "TemplateNotFoundException"): _good(
        "UpdateRepositoryCreationTemplate"
    ),
    ("UploadLayerPart", "InvalidLayerPartException"): _part(4, 1),
    ("UploadLayerPart", "LimitExceededException"): _part(3, 4000),
    ("UploadLayerPart", "UploadNotFoundException"): _in_one("UploadLayerPart"),
}


def _no_repository(operation: str) -> Provocation:
    """Ask about a repository that there is not, however the operation names it."""
    members = service_model().operations[operation].input.members
    if "resourceArn" in members:
        return lambda account: sample(operation, resourceArn=account.arn(UNKNOWN))
    more = ["repositoryNames"] if "repositoryNames" in members else []
    return lambda _: sample(operation, *more)


def _invalid(operation: str) -> Provocation:
    """Break the first rule that the model has."""
    return lambda _: next(one.members for one in violations(operation) if one.code == INVALID)


def _server_fails(operation: str) -> Provocation:
    """Ask with a good request while the database cannot be read; the caller breaks it."""

    def provoke(account: Account) -> Members:
        account.door.database.is_broken = True
        return sample(operation)

    return provoke


def _provoked() -> dict[tuple[str, str], Provocation]:
    table = dict(_OWN)
    for name in OPERATIONS:
        declared = service_model().operations[name].errors
        for code, make in (
            (SERVER, _server_fails),
            (INVALID, _invalid),
            (NO_REPOSITORY, _no_repository),
        ):
            if code in declared and reason_why_not(CANNOT_OCCUR, name, code) is None:
                table[name, code] = make(name)
    return table


PROVOKED: Final = _provoked()


def _image_ids(image_id: Members, *, is_archived: bool = False) -> Provocation:
    """Ask for an image in a repository that has one with the tag v1."""

    def provoke(account: Account) -> Members:
        name = account.create()
        image = account.push(name, "v1")
        if is_archived:
            _archive(account, name, image.digest)
        return {"repositoryName": name, "imageIds": [image_id]}

    return provoke


def _listed_image(account: Account) -> Members:
    name = account.create()
    image = account.push(name)
    account.put(name, make_index(image))
    return {"repositoryName": name, "imageIds": [{"imageDigest": image.digest}]}


def _layer_digest(digest: str) -> Provocation:
    return lambda account: {"repositoryName": account.create(), "layerDigests": [digest]}


# Failures within an answer of 200, by operation and code.
FAILED: Final[dict[tuple[str, str], Provocation]] = {
    **{
        (operation, code): provocation
        for operation in ("BatchGetImage", "BatchDeleteImage")
        for code, provocation in {
            "ImageNotFound": _image_ids({"imageTag": "v2"}),
            "ImageTagDoesNotMatchDigest": _image_ids({"imageTag": "v1", "imageDigest": DIGEST}),
            "InvalidImageDigest": _image_ids({"imageDigest": "sha256:x"}),
            "InvalidImageTag": _image_ids({"imageTag": "-"}),
            "MissingDigestAndTag": _image_ids({}),
        }.items()
    },
    ("BatchGetImage", "UpstreamAccessDenied"): _upstream_image(refusing(403)),
    ("BatchGetImage", "UpstreamTooManyRequests"): _upstream_image(refusing(429)),
    ("BatchGetImage", "UpstreamUnavailable"): _upstream_image(refusing(500)),
    ("BatchGetRepositoryScanningConfiguration", "REPOSITORY_NOT_FOUND"): lambda _: {
        "repositoryNames": [UNKNOWN]
    },
    ("BatchGetImage", "ImageInaccessible"): _image_ids({"imageTag": "v1"}, is_archived=True),
    ("BatchDeleteImage", "ImageReferencedByManifestList"): _listed_image,
    ("BatchCheckLayerAvailability", "InvalidLayerDigest"): _layer_digest("sha256:x"),
    ("BatchCheckLayerAvailability", "MissingLayerDigest"): _layer_digest(""),
}
