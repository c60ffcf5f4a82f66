"""Codes, statuses and bodies of errors at the registry door; nowhere else are they known.

Source: OCI distribution-spec 1.1, "Error Codes"; where it leaves room, what ECR's proxy answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp.web import Response
from typing_extensions import override

from ecrate.domain import errors, upstream_errors

CODES: Final[dict[type[errors.EcrateError], tuple[int, str]]] = {
    errors.InvalidParameter: (400, "MANIFEST_INVALID"),
    errors.AccessDenied: (403, "DENIED"),
    errors.InvalidToken: (403, "DENIED"),
    errors.ExpiredToken: (403, "DENIED"),
    errors.RepositoryNotFound: (404, "NAME_UNKNOWN"),
    errors.RepositoryLocked: (405, "UNSUPPORTED"),
    errors.LimitExceeded: (403, "DENIED"),
    errors.ImageNotFound: (404, "MANIFEST_UNKNOWN"),
    # AWS: user guide, "Archiving images": docker finds nothing to pull.
    errors.ImageInaccessible: (404, "MANIFEST_UNKNOWN"),
    errors.ImageTagAlreadyExists: (400, "TAG_INVALID"),
    errors.ImageDigestDoesNotMatch: (400, "DIGEST_INVALID"),
    errors.ImageReferencedByManifestList: (405, "UNSUPPORTED"),
    errors.LayersNotFound: (404, "MANIFEST_BLOB_UNKNOWN"),
    errors.LayerNotFound: (404, "BLOB_UNKNOWN"),
    errors.LayerInaccessible: (404, "BLOB_UNKNOWN"),
    errors.LayerInUse: (405, "UNSUPPORTED"),
    errors.ReferencedImagesNotFound: (404, "MANIFEST_BLOB_UNKNOWN"),
    errors.UploadNotFound: (404, "BLOB_UPLOAD_UNKNOWN"),
    errors.InvalidLayerPart: (416, "BLOB_UPLOAD_INVALID"),
    errors.LayerPartTooSmall: (400, "BLOB_UPLOAD_INVALID"),
    errors.EmptyUpload: (400, "BLOB_UPLOAD_INVALID"),
    errors.InvalidLayer: (400, "DIGEST_INVALID"),
    errors.UploadBusy: (429, "TOOMANYREQUESTS"),
    errors.RateExceeded: (429, "TOOMANYREQUESTS"),
    errors.ManifestDamaged: (500, "UNKNOWN"),
    # docker prints the status of a 5xx, not its text.
    errors.StorageFull: (507, "UNKNOWN"),
    errors.StoreUnavailable: (503, "UNKNOWN"),
    errors.AuditUnavailable: (503, "UNKNOWN"),
    errors.InternalFault: (500, "UNKNOWN"),
    upstream_errors.UpstreamNotFound: (404, "BLOB_UNKNOWN"),
    upstream_errors.UpstreamAccessDenied: (403, "DENIED"),
    upstream_errors.UpstreamTooManyRequests: (429, "TOOMANYREQUESTS"),
    upstream_errors.UpstreamUnavailable: (502, "UNKNOWN"),
    upstream_errors.UpstreamContentRefused: (502, "UNKNOWN"),
    upstream_errors.UnableToListUpstreamImageReferrers: (502, "UNKNOWN"),
    errors.BodyTruncated: (400, "SIZE_INVALID"),
    errors.BodyTooLarge: (413, "SIZE_INVALID"),
}


# Seconds after which the same request may succeed.
_RETRY_AFTER: Final[dict[type[Exception], str]] = {
    errors.UploadBusy: "1",
    errors.RateExceeded: "1",
    errors.StoreUnavailable: "5",
}


@dataclass(eq=False)
class RegistryError(Exception):
    """A request refused before any operation."""

    status: int
    code: str
    message: str

    @override
    def __str__(self) -> str:
        return self.message


SERVER_ERROR: Final = RegistryError(
    500, "UNKNOWN", "The server failed to answer. See its log for this request id."
)


def render(error: RegistryError | errors.EcrateError) -> Response:
    """Give the answer for an error, in the specification's format."""
    if isinstance(error, RegistryError):
        status, code = error.status, error.code
    else:
        status, code = CODES[type(error)]
    message = "Requested image not found" if code == "MANIFEST_UNKNOWN" else str(error)
    # What the client sent may be quoted, even where it is not UTF-8.
    message = message.encode(errors="backslashreplace").decode()
    body = msgspec.json.encode({"errors": [{"code": code, "message": message}]}) + b"\n"
    response = Response(status=status, body=body)
    response.content_type = "application/json"
    response.charset = "utf-8"
    if isinstance(error, upstream_errors.UpstreamTooManyRequests):
        response.headers["Retry-After"] = str(error.seconds)
    elif type(error) in _RETRY_AFTER:
        response.headers["Retry-After"] = _RETRY_AFTER[type(error)]
    return response
