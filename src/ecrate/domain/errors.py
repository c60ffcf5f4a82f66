"""Every condition an operation can end in, with ECR's text for it.

One class per condition, named as ECR's exception without `Exception`, carrying the facts as
attributes. Codes and statuses are the fronts' business (`aws/errors.py`, `oci/errors.py`).
Texts are those of ECR where it is known to say them; `[A]` marks a text that is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override


class EcrateError(Exception):
    """The root of all expected failures; `str()` gives the text a client sees."""

    text: ClassVar[str] = ""

    @override
    def __str__(self) -> str:
        return self.text.format_map(vars(self))


@dataclass(eq=False)
class InvalidParameter(EcrateError):
    """A member breaks a constraint. AWS: wording as published by users of the API."""

    text = "Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'"
    member: str
    constraint: str


@dataclass(eq=False)
class AccessDenied(EcrateError):
    """The caller may not do this; `resource` is an ARN or `*`. AWS: IAM's wording."""

    text = (
        "User: {principal} is not authorized to perform: {action} on resource: {resource} {reason}"
    )
    principal: str
    action: str
    resource: str
    reason: str


@dataclass(eq=False)
class InvalidToken(EcrateError):
    """A token, URL or page token that this server did not issue, or not for this use."""

    text = "Your Authorization Token is invalid."


@dataclass(eq=False)
class ExpiredToken(EcrateError):
    """A token that this server issued and whose time is over."""

    text = "Your authorization token has expired. Reauthenticate and try again."


@dataclass(eq=False)
class UnknownAccessKey(EcrateError):
    """No active access key has this id, or its secret is another."""

    text = "The security token included in the request is invalid."


@dataclass(eq=False)
class PrincipalNotFound(EcrateError):
    text = "There is no {arn}"
    arn: str


@dataclass(eq=False)
class PrincipalAlreadyExists(EcrateError):
    text = "{arn} exists already"
    arn: str


@dataclass(eq=False)
class MalformedPolicyDocument(EcrateError):
    text = "The policy is not well formed: {detail}"
    detail: str


@dataclass(eq=False)
class RepositoryPolicyNotFound(EcrateError):
    text = (
        "Repository policy does not exist for the repository with name '{repository_name}' in the "
        "registry with id '{registry_id}'"
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class RegistryPolicyNotFound(EcrateError):
    text = "Registry policy does not exist in the registry with id '{registry_id}'"
    registry_id: str


@dataclass(eq=False)
class RepositoryNotFound(EcrateError):
    text = (
        "The repository with name '{repository_name}' does not exist in the registry with id "
        "'{registry_id}'"
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class RepositoryAlreadyExists(EcrateError):
    text = (
        "The repository with name '{repository_name}' already exists in the registry with id "
        "'{registry_id}'"
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class RepositoryNotEmpty(EcrateError):
    text = (
        "The repository with name '{repository_name}' in registry with id '{registry_id}' cannot "
        "be deleted because it still contains images"
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class RepositoryLocked(EcrateError):
    """Something was to be deleted from a repository that an operator has locked."""

    text = (
        "The repository with name '{repository_name}' in the registry with id '{registry_id}' is "
        "locked against deletion"
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class TrashNotFound(EcrateError):
    """`item` is a repository's name, or an image as `NAME@DIGEST`."""

    text = "There is no {item} of the registry with id '{registry_id}' in the trash"
    item: str
    registry_id: str


@dataclass(eq=False)
class GarbageNotFound(EcrateError):
    text = "There are no bytes of {digest} in quarantine"
    digest: str


@dataclass(eq=False)
class WebhookNotFound(EcrateError):
    """Operators meet it only."""

    text = "There is no webhook {webhook_id}; `ecrate webhook list` lists them"
    webhook_id: str


@dataclass(eq=False)
class LifecyclePolicyNotFound(EcrateError):
    text = (
        "Lifecycle policy does not exist for the repository with name '{repository_name}' in the "
        "registry with id '{registry_id}'"
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class LifecyclePolicyPreviewNotFound(EcrateError):
    text = (
        "Lifecycle policy preview does not exist for the repository with name "
        "'{repository_name}' in the registry with id '{registry_id}'"  # [A]
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class LifecyclePolicyPreviewInProgress(EcrateError):
    text = (
        "Lifecycle policy preview is in progress for the repository with name "
        "'{repository_name}' in the registry with id '{registry_id}'"  # [A]
    )
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class InvalidTagParameter(EcrateError):
    text = "Invalid resource tag: {detail}"  # [A]
    detail: str


@dataclass(eq=False)
class TooManyTags(EcrateError):
    text = "A repository can have at most {limit} resource tags"  # [A]
    limit: int


@dataclass(eq=False)
class LimitExceeded(EcrateError):
    """`detail` is the whole sentence, naming the limit."""

    text = "{detail}"
    detail: str


@dataclass(eq=False)
class ScanNotFound(EcrateError):
    text = (
        "Image scan does not exist for the image with '{{imageDigest:'{image_digest}', "
        "imageTag:'{image_tag}'}}' in the repository with name '{repository_name}' in the "
        "registry with id '{registry_id}'"
    )
    image_digest: str
    image_tag: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class UnsupportedImageType(EcrateError):
    text = (
        "The operation requires an image manifest: the manifest of the image with digest "
        "'{image_digest}' in the repository with name '{repository_name}' is of another type"
    )  # [A]
    image_digest: str
    repository_name: str


@dataclass(eq=False)
class ImageArchived(EcrateError):
    text = (
        "The image with digest '{image_digest}' in the repository with name "
        "'{repository_name}' is archived"
    )  # [A]
    image_digest: str
    repository_name: str


@dataclass(eq=False)
class ValidationFailed(EcrateError):
    """The request is well formed, and cannot be done as things are."""

    text = "{detail}"
    detail: str


@dataclass(eq=False)
class ImageNotFound(EcrateError):
    text = (
        "The image with imageId {{imageDigest:'{image_digest}', imageTag:'{image_tag}'}} does not "
        "exist within the repository with name '{repository_name}' in the registry with id "
        "'{registry_id}'"
    )
    image_digest: str
    image_tag: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class ImageAlreadyExists(EcrateError):
    text = (
        "Image with digest '{image_digest}' and tag '{image_tag}' already exists in the "
        "repository with name '{repository_name}' in registry with id '{registry_id}'"
    )
    image_digest: str
    image_tag: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class ImageTagAlreadyExists(EcrateError):
    """`reason` is `repository` or `tag`: which of the two is immutable."""

    text = (
        "The image tag '{image_tag}' already exists in the '{repository_name}' repository and "
        "cannot be overwritten because the {reason} is immutable."
    )
    image_tag: str
    repository_name: str
    reason: str


@dataclass(eq=False)
class ImageDigestDoesNotMatch(EcrateError):
    text = "The digest '{given}' does not match the calculated digest '{actual}'"  # [A]
    given: str
    actual: str


@dataclass(eq=False)
class ImageTagDoesNotMatchDigest(EcrateError):
    """The tag asked for points at another image than the digest asked for."""

    text = "Requested image tag and digest do not match"  # [A]


@dataclass(eq=False)
class ImageReferencedByManifestList(EcrateError):
    text = "Requested image referenced by manifest list: [{digests}]"
    digests: str


@dataclass(eq=False)
class TemplateNotFound(EcrateError):
    text = (
        "The Repository Creation Template with prefix '{prefix}' does not exist in the registry "
        "with id '{registry_id}'"  # [A]
    )
    prefix: str
    registry_id: str


@dataclass(eq=False)
class TemplateAlreadyExists(EcrateError):
    text = (
        "The Repository Creation Template with prefix '{prefix}' already exists in the registry "
        "with id '{registry_id}'"  # [A]
    )
    prefix: str
    registry_id: str


@dataclass(eq=False)
class ExclusionNotFound(EcrateError):
    text = "Pull time update exclusion for principal '{principal_arn}' does not exist"  # [A]
    principal_arn: str


@dataclass(eq=False)
class ExclusionAlreadyExists(EcrateError):
    text = "Pull time update exclusion for principal '{principal_arn}' already exists"  # [A]
    principal_arn: str


class ImageInaccessible(EcrateError):
    """The image is archived, or its restore has not ended."""

    text = "The image is archived and cannot be pulled until it is restored"  # [A]


@dataclass(eq=False)
class ImageStorageClassUpdateNotSupported(EcrateError):
    text = (
        "The storage class of the image with digest '{image_digest}' cannot change: {reason}"  # [A]
    )
    image_digest: str
    reason: str


class MissingDigestAndTag(EcrateError):
    text = "Invalid request parameters: both tag and digest cannot be null"


class InvalidImageDigest(EcrateError):
    text = (
        "Invalid request parameters: image digest should satisfy the regex "
        "'[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
    )


class InvalidImageTag(EcrateError):
    text = (
        "Invalid request parameters: image tag should satisfy the regex "
        "'[a-zA-Z0-9_][a-zA-Z0-9._-]*'"  # [A]
    )


@dataclass(eq=False)
class LayersNotFound(EcrateError):
    """A manifest asks for layers that its repository does not have."""

    text = (
        "Layers with digests '[{digests}]' required for pushing image into repository with name "
        "'{repository_name}' in the registry with id '{registry_id}' do not exist"
    )
    digests: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class LayerNotFound(EcrateError):
    """ECR's LayersNotFoundException in its form for one layer."""

    text = (
        "The layer with digest '{layer_digest}' does not exist within the repository with name "
        "'{repository_name}' in the registry with id '{registry_id}'"
    )
    layer_digest: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class LayerInaccessible(EcrateError):
    """The repository has the layer, but all images that need it are archived; under parity,
    also one that no image needs.
    """

    text = (
        "The layer with digest '{layer_digest}' in the repository with name '{repository_name}' "
        "in registry with id '{registry_id}' is not accessible"  # [A]
    )
    layer_digest: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class LayerInUse(EcrateError):
    """A layer that an image of the repository refers to was to be deleted."""

    text = "The layer with digest '{layer_digest}' is part of an image of this repository"
    layer_digest: str


@dataclass(eq=False)
class LayerAlreadyExists(EcrateError):
    text = (
        "The layer with digest '{layer_digest}' already exists in the repository with name "
        "'{repository_name}' in registry with id '{registry_id}'"  # [A]
    )
    layer_digest: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class ReferencedImagesNotFound(EcrateError):
    text = (
        "Images with digests '[{digests}]' required for pushing image into repository with name "
        "'{repository_name}' in the registry with id '{registry_id}' do not exist"  # [A]
    )
    digests: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class UploadNotFound(EcrateError):
    text = (
        "The upload with id '{upload_id}' in the repository with name '{repository_name}' in "
        "registry with id '{registry_id}' could not be found"  # [A]
    )
    upload_id: str
    repository_name: str
    registry_id: str


@dataclass(eq=False)
class InvalidLayerPart(EcrateError):
    """`last_valid_byte_received` is the index of the last byte kept, 0 when there is none [A]."""

    text = "{detail}"
    detail: str
    registry_id: str
    repository_name: str
    upload_id: str
    last_valid_byte_received: int


@dataclass(eq=False)
class LayerPartTooSmall(EcrateError):
    text = "Layer parts must be at least 5 MiB in size"  # [A]


@dataclass(eq=False)
class EmptyUpload(EcrateError):
    text = "The upload with id '{upload_id}' does not contain any layer parts"  # [A]
    upload_id: str


@dataclass(eq=False)
class InvalidLayer(EcrateError):
    text = "Layer digest '{given}' does not match calculated digest '{actual}'"  # [A]
    given: str
    actual: str


@dataclass(eq=False)
class UploadBusy(EcrateError):
    """Another request is writing to this upload; the same call may succeed a moment later."""

    text = "Another request is writing to the upload with id '{upload_id}'. Try again."
    upload_id: str


class RateExceeded(EcrateError):
    """The account called this operation more often than it may; a moment later it may again."""

    text = "Rate exceeded"


class InternalFault(EcrateError):
    """The server failed, because whoever tests against it asked for that."""

    text = "The server failed to answer, as it was asked to."


class AuditUnavailable(EcrateError):
    """A line of the audit log cannot be written: nothing is acknowledged without one."""

    text = "The audit log cannot be written, so that nothing may be changed."


@dataclass(eq=False)
class BackupUnusable(EcrateError):
    """A backup, or the folder of backups, is not what it should be."""

    text = "{problem}"
    problem: str


@dataclass(eq=False)
class ImportUnusable(EcrateError):
    """There is nothing to import."""

    text = "{problem}"
    problem: str


@dataclass(eq=False)
class ImportRefused(EcrateError):
    """Something cannot be taken over as it is."""

    text = "{problem}"
    problem: str


@dataclass(eq=False)
class TargetNotEmpty(EcrateError):
    """Something is to be restored or moved to where there is something already."""

    text = "{what} is not empty, and nothing that is there is overwritten"
    what: str


@dataclass(eq=False)
class ServerRunning(EcrateError):
    """What is to be moved may change meanwhile."""

    text = (
        "A server is at work on what is to be moved. Stop it first; if it was killed, this can go "
        "on in {seconds} seconds."
    )
    seconds: int


@dataclass(eq=False)
class MigrationFailed(EcrateError):
    """What was moved is not what there was."""

    text = "{problem}; nothing was written"
    problem: str


@dataclass(eq=False)
class HoldLost(EcrateError):
    """What was to keep bytes from being deleted meanwhile ended before its holder had done."""

    text = (
        "This stood still for so long that the collector may have deleted what it was about to "
        "copy. Run it again; it goes on with what is done."
    )


@dataclass(eq=False)
class ManifestDamaged(EcrateError):
    """The server's own copy of a manifest is not what was pushed any more."""

    text = "The server's copy of the image manifest {digest} is damaged. Push the image again."
    digest: str


@dataclass(eq=False)
class StorageFull(EcrateError):
    """The server has no room left for what a request brings; reading goes on."""

    text = "There is no space left on the server's disk."


@dataclass(eq=False)
class StoreUnavailable(EcrateError):
    """The database or the blob store is away, or too busy: the same call may succeed in a moment.

    Out of a write's end it means that nobody knows whether the write took effect.
    """

    text = "The server cannot reach its storage at the moment. Try again."


@dataclass(eq=False)
class BodyTruncated(EcrateError):
    """The client ended, stalled or broke off its body; one sent in chunks tells no size."""

    text = "The request body ended after {received} of {expected} bytes"
    received: int
    expected: int | str = "an unknown number of"


@dataclass(eq=False)
class BodyTooLarge(EcrateError):
    text = "The request body is larger than the {limit} bytes accepted here"
    limit: int
