"""Which of ECR's operations a request is: what counts for rate limits and stands in the audit log.

AWS: the registry endpoint's calls are logged, and throttled, under the API's names. Where the API
has none, it is the name of the operation below the doors.
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final[dict[tuple[str, str], str]] = {
    ("catalog", "GET"): "DescribeRepositories",
    ("tags", "GET"): "ListImages",
    ("manifest", "GET"): "BatchGetImage",
    ("manifest", "HEAD"): "BatchGetImage",
    ("manifest", "PUT"): "PutImage",
    ("manifest", "DELETE"): "BatchDeleteImage",
    ("blob", "GET"): "GetDownloadUrlForLayer",
    ("blob", "HEAD"): "BatchCheckLayerAvailability",
    ("blob", "DELETE"): "DeleteLayer",
    ("uploads", "POST"): "InitiateLayerUpload",
    ("upload", "PATCH"): "UploadLayerPart",
    ("upload", "PUT"): "CompleteLayerUpload",
    ("upload", "DELETE"): "CancelLayerUpload",
    ("referrers", "GET"): "ListImageReferrers",
}
