"""Calls of each operation of ECR's API that an emulator may know as well, in an order that works.

A step gives the parameters of `count` calls, none of which undoes what another needs. What a
step needs beyond the two repositories it finds in `Ground`, it makes with calls of its own.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

Parameters = dict[str, Any]
Ask = Callable[[str, Parameters], dict[str, Any]]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"
_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "pull",
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            }
        ],
    }
)
_REGISTRY_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "replicate",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                "Action": "ecr:ReplicateImage",
                "Resource": "*",
            }
        ],
    }
)
_LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "description": "keep a hundred thousand",
                "selection": {
                    "tagStatus": "any",
                    "countType": "imageCountMoreThan",
                    "countNumber": 100000,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Ground:
    """One server in one round: `mark` keeps the names of rounds apart."""

    ask: Ask
    mark: str
    count: int
    arn: str = ""
    uploads: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return [f"made/{self.mark}-{number}" for number in range(self.count)]


Make = Callable[[Ground], list[Parameters]]


def manifest_of(note: str) -> str:
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest_of(CONFIG),
        "size": len(CONFIG),
    }
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    return json.dumps({**document, "annotations": {"note": note}})


def prepare(ask: Ask) -> str:
    """Make the repository `bench` with 120 tagged images; give its ARN."""
    made = ask("CreateRepository", {"repositoryName": "bench"})
    upload = ask("InitiateLayerUpload", {"repositoryName": "bench"})["uploadId"]
    ask("UploadLayerPart", _part(upload, CONFIG))
    ask("CompleteLayerUpload", _completion(upload, CONFIG))
    for number in range(120):
        ask("PutImage", _image(manifest_of(f"first-{number}"), f"v{number}"))
    return str(made["repository"]["repositoryArn"])


def _part(upload: str, content: bytes) -> Parameters:
    return {
        "repositoryName": "bench",
        "uploadId": upload,
        "partFirstByte": 0,
        "partLastByte": len(content) - 1,
        "layerPartBlob": b64encode(content).decode(),
    }


def _completion(upload: str, content: bytes) -> Parameters:
    digest = digest_of(content)
    return {"repositoryName": "bench", "uploadId": upload, "layerDigests": [digest]}


def _image(manifest: str, tag: str) -> Parameters:
    given = {"imageManifest": manifest, "imageManifestMediaType": MANIFEST, "imageTag": tag}
    return {"repositoryName": "bench", **given}


def _content(ground: Ground, number: int) -> bytes:
    return b"%b-%d" % (ground.mark.encode(), number)


def _same(**parameters: Any) -> Make:
    return lambda ground: [parameters] * ground.count


def _bench(**parameters: Any) -> Make:
    return _same(repositoryName="bench", **parameters)


def _made(**parameters: Any) -> Make:
    """One call for each repository that CreateRepository made in this round."""
    return lambda ground: [{"repositoryName": name, **parameters} for name in ground.names()]


def _tagging(**parameters: Any) -> Make:
    return lambda ground: [{"resourceArn": ground.arn, **parameters}] * ground.count


def _templates(**parameters: Any) -> Make:
    return lambda ground: [{"prefix": name, **parameters} for name in ground.names()[:100]]


def _exclusions(ground: Ground) -> list[Parameters]:
    role = "arn:aws:iam::000000000000:role/"
    return [
        {"principalArn": f"{role}{ground.mark}-{number}"} for number in range(min(ground.count, 90))
    ]


def _initiated(ground: Ground) -> list[Parameters]:
    for _ in range(ground.count):
        upload = ground.ask("InitiateLayerUpload", {"repositoryName": "bench"})["uploadId"]
        ground.uploads.append(upload)
    return [_part(upload, _content(ground, number)) for number, upload in enumerate(ground.uploads)]


def _completed(ground: Ground) -> list[Parameters]:
    return [
        _completion(upload, _content(ground, number))
        for number, upload in enumerate(ground.uploads)
    ]


def _layers(ground: Ground) -> list[Parameters]:
    digests = [digest_of(_content(ground, number)) for number in range(ground.count)]
    return [{"repositoryName": "bench", "layerDigests": [digest]} for digest in digests]


def _images(ground: Ground) -> list[Parameters]:
    mark = ground.mark
    return [
        _image(manifest_of(f"{mark}-{number}"), f"{mark}-{number}")
        for number in range(ground.count)
    ]


def _image_ids(ground: Ground) -> list[Parameters]:
    tags = [f"{ground.mark}-{number}" for number in range(ground.count)]
    return [{"repositoryName": "bench", "imageIds": [{"imageTag": tag}]} for tag in tags]


_V1: Final = [{"imageTag": "v1"}]
_CONFIG_DIGEST: Final = digest_of(CONFIG)

# Title (the operation first) and what makes the calls; later ones rely on what earlier ones made.
STEPS: Final[tuple[tuple[str, Make], ...]] = (
    ("GetAuthorizationToken", _same()),
    ("CreateRepository", _made()),
    ("DescribeRepositories of 1", _same(repositoryNames=["bench"])),
    ("DescribeRepositories, page of 100", _same(maxResults=100)),
    ("PutImageTagMutability", _made(imageTagMutability="MUTABLE")),
    (
        "PutImageScanningConfiguration",
        _made(imageScanningConfiguration={"scanOnPush": True}),
    ),
    ("SetRepositoryPolicy", _made(policyText=_POLICY)),
    ("GetRepositoryPolicy", _made()),
    ("DeleteRepositoryPolicy", _made()),
    ("PutLifecyclePolicy", _made(lifecyclePolicyText=_LIFECYCLE)),
    ("GetLifecyclePolicy", _made()),
    ("StartLifecyclePolicyPreview", _made(lifecyclePolicyText=_LIFECYCLE)),
    ("GetLifecyclePolicyPreview", _made()),
    ("DeleteLifecyclePolicy", _made()),
    ("TagResource", _tagging(tags=[{"Key": "team", "Value": "bench"}])),
    ("ListTagsForResource", _tagging()),
    ("UntagResource", _tagging(tagKeys=["team"])),
    ("InitiateLayerUpload", _bench()),
    ("UploadLayerPart, 1 small", _initiated),
    ("CompleteLayerUpload", _completed),
    ("BatchCheckLayerAvailability of 1", _layers),
    ("GetDownloadUrlForLayer", _bench(layerDigest=_CONFIG_DIGEST)),
    ("PutImage", _images),
    ("BatchGetImage of 1", _bench(imageIds=_V1)),
    ("DescribeImages of 1", _bench(imageIds=_V1)),
    ("DescribeImages, page of 100", _bench(maxResults=100)),
    ("ListImages, page of 100", _bench(maxResults=100)),
    ("ListImageReferrers", _bench(subjectId={"imageDigest": _CONFIG_DIGEST})),
    ("BatchDeleteImage of 1", _image_ids),
    ("DeleteRepository", _made(force=True)),
    ("DescribeRegistry", _same()),
    ("PutRegistryPolicy", _same(policyText=_REGISTRY_POLICY)),
    ("GetRegistryPolicy", _same()),
    ("GetAccountSetting", _same(name="BLOB_MOUNTING")),
    ("PutAccountSetting", _same(name="BLOB_MOUNTING", value="ENABLED")),
    ("RegisterPullTimeUpdateExclusion", _exclusions),
    ("ListPullTimeUpdateExclusions", _same()),
    ("DeregisterPullTimeUpdateExclusion", _exclusions),
    ("CreateRepositoryCreationTemplate", _templates(appliedFor=["CREATE_ON_PUSH"])),
    ("DescribeRepositoryCreationTemplates", _same()),
    ("UpdateRepositoryCreationTemplate", _templates(description="changed")),
    ("DeleteRepositoryCreationTemplate", _templates()),
)
