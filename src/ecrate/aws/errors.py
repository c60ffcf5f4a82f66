"""Codes, statuses and bodies of errors at the AWS door; nowhere else are they known.

Every modelled error is a 400 but ServerException (the model sets no other status).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from ecrate.domain import errors, upstream_errors
from ecrate.domain.replication_errors import (
    ReplicationBackfillInProgress,
    ReplicationBackfillInvalidStatus,
    ReplicationBackfillNotFound,
)

# The domain's name for each condition, and ECR's exception for it.
CODES: Final[dict[type[errors.EcrateError], str]] = {
    errors.InvalidParameter: "InvalidParameterException",
    errors.AccessDenied: "AccessDeniedException",
    errors.InvalidToken: "UnrecognizedClientException",
    errors.ExpiredToken: "ExpiredTokenException",
    errors.UnknownAccessKey: "UnrecognizedClientException",
    errors.MalformedPolicyDocument: "MalformedPolicyDocument",
    errors.RepositoryPolicyNotFound: "RepositoryPolicyNotFoundException",
    errors.RegistryPolicyNotFound: "RegistryPolicyNotFoundException",
    errors.RepositoryNotFound: "RepositoryNotFoundException",
    errors.RepositoryAlreadyExists: "RepositoryAlreadyExistsException",
    errors.RepositoryNotEmpty: "RepositoryNotEmptyException",
    # As other AWS services answer where deletion is protected; the model has no error for it.
    errors.RepositoryLocked: "InvalidParameterException",
    errors.LifecyclePolicyNotFound: "LifecyclePolicyNotFoundException",
    errors.LifecyclePolicyPreviewNotFound: "LifecyclePolicyPreviewNotFoundException",
    errors.LifecyclePolicyPreviewInProgress: "LifecyclePolicyPreviewInProgressException",
    ReplicationBackfillNotFound: "ReplicationBackfillNotFoundException",
    ReplicationBackfillInProgress: "ReplicationBackfillInProgressException",
    ReplicationBackfillInvalidStatus: "ReplicationBackfillInvalidStatusException",
    errors.InvalidTagParameter: "InvalidTagParameterException",
    errors.TooManyTags: "TooManyTagsException",
    errors.SigningConfigurationNotFound: "SigningConfigurationNotFoundException",
    errors.TemplateNotFound: "TemplateNotFoundException",
    errors.TemplateAlreadyExists: "TemplateAlreadyExistsException",
    errors.ExclusionNotFound: "ExclusionNotFoundException",
    errors.ExclusionAlreadyExists: "ExclusionAlreadyExistsException",
    errors.LimitExceeded: "LimitExceededException",
    errors.ImageNotFound: "ImageNotFoundException",
    errors.ImageAlreadyExists: "ImageAlreadyExistsException",
    errors.ImageTagAlreadyExists: "ImageTagAlreadyExistsException",
    errors.ImageTagDoesNotMatchDigest: "ImageNotFoundException",
    errors.ImageDigestDoesNotMatch: "ImageDigestDoesNotMatchException",
    errors.ImageReferencedByManifestList: "InvalidParameterException",
    errors.ImageStorageClassUpdateNotSupported: "ImageStorageClassUpdateNotSupportedException",
    errors.ScanNotFound: "ScanNotFoundException",
    errors.UnsupportedImageType: "UnsupportedImageTypeException",
    errors.ImageArchived: "ImageArchivedException",
    errors.ValidationFailed: "ValidationException",
    errors.LayersNotFound: "LayersNotFoundException",
    errors.LayerNotFound: "LayersNotFoundException",
    errors.LayerInaccessible: "LayerInaccessibleException",
    errors.LayerAlreadyExists: "LayerAlreadyExistsException",
    errors.ReferencedImagesNotFound: "ReferencedImagesNotFoundException",
    errors.UploadNotFound: "UploadNotFoundException",
    errors.InvalidLayerPart: "InvalidLayerPartException",
    errors.LayerPartTooSmall: "LayerPartTooSmallException",
    errors.EmptyUpload: "EmptyUploadException",
    errors.InvalidLayer: "InvalidLayerException",
    # SDKs repeat what was throttled.
    errors.UploadBusy: "ThrottlingException",
    errors.RateExceeded: "ThrottlingException",
    errors.ManifestDamaged: "ServerException",
    errors.StorageFull: "ServerException",
    errors.StoreUnavailable: "ServerException",
    errors.AuditUnavailable: "ServerException",
    errors.InternalFault: "ServerException",
    errors.BodyTruncated: "SerializationException",
    upstream_errors.PullThroughCacheRuleNotFound: "PullThroughCacheRuleNotFoundException",
    upstream_errors.PullThroughCacheRuleAlreadyExists: "PullThroughCacheRuleAlreadyExistsException",
    upstream_errors.UnsupportedUpstreamRegistry: "UnsupportedUpstreamRegistryException",
    upstream_errors.SecretNotFound: "SecretNotFoundException",
    upstream_errors.UnableToAccessSecret: "UnableToAccessSecretException",
    upstream_errors.UnableToDecryptSecretValue: "UnableToDecryptSecretValueException",
    upstream_errors.UnableToGetUpstreamImage: "UnableToGetUpstreamImageException",
    upstream_errors.UnableToGetUpstreamLayer: "UnableToGetUpstreamLayerException",
    upstream_errors.UnableToListUpstreamImageReferrers: (
        "UnableToListUpstreamImageReferrersException"
    ),
    errors.BodyTooLarge: "RequestEntityTooLargeException",
}
STATUSES: Final[dict[type[errors.EcrateError], int]] = {
    errors.ManifestDamaged: 500,
    errors.StorageFull: 500,
    errors.InternalFault: 500,
    # What SDKs repeat, whatever its code.
    errors.StoreUnavailable: 503,
    errors.AuditUnavailable: 503,
    errors.BodyTooLarge: 413,
}
RETRY_AFTER: Final = "5"


@dataclass(eq=False)
class FrontDoorError(Exception):
    """A request refused before any operation; texts are AWS's common ones [A]."""

    code: str
    message: str
    status: int = 400

    @override
    def __str__(self) -> str:
        return self.message


SERVER_EXCEPTION: Final = FrontDoorError(
    "ServerException", "The server failed to answer. See its log for this request id.", 500
)


def render(error: FrontDoorError | errors.EcrateError) -> tuple[int, str, dict[str, Any]]:
    """Give status, code and body of an error."""
    if isinstance(error, FrontDoorError):
        # A message may quote a header, whose bytes need not be text.
        message = error.message.encode(errors="replace").decode()
        return error.status, error.code, {"__type": error.code, "message": message}
    code = CODES[type(error)]
    body: dict[str, Any] = {"__type": code, "message": str(error)}
    if isinstance(error, errors.InvalidLayerPart):
        body |= {
            "registryId": error.registry_id,
            "repositoryName": error.repository_name,
            "uploadId": error.upload_id,
            "lastValidByteReceived": error.last_valid_byte_received,
        }
    return STATUSES.get(type(error), 400), code, body
