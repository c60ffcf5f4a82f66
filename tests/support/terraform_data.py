"""What Terraform's AWS provider asks of ECR for its data sources, as boto3 calls.

Transcribed as `terraform.py` is, from the same commit but where another is named.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from tests.support.terraform import State, find_repository, tags_out

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient


def lifecycle_policy_document(*rules: State) -> str:
    """aws_ecr_lifecycle_policy_document (lifecycle_policy_document_data_source.go at
    07e0d0b940f57c782f8fcc9ccfd8b19f59383b51): asks nothing; writes the text with two blanks.
    """
    wire = [
        {
            "rulePriority": rule["priority"],
            **({"description": rule["description"]} if "description" in rule else {}),
            "selection": {name: rule[name] for name in _SELECTION if name in rule},
            "action": rule.get("action", {"type": "expire"}),
        }
        for rule in rules
    ]
    return json.dumps({"rules": wire}, indent=2)


_SELECTION = (
    "tagStatus", "tagPatternList", "tagPrefixList", "storageClass", "countType", "countUnit",
    "countNumber",
)  # fmt: skip


def authorization_token(ecr: ECRClient, registry_id: str | None = None) -> State:
    """aws_ecr_authorization_token: authorization_token_data_source.go."""
    given: Any = {} if registry_id is None else {"registryIds": [registry_id]}
    data = ecr.get_authorization_token(**given)["authorizationData"][0]
    user, password = b64decode(data["authorizationToken"]).decode().split(":")
    return {
        "expires_at": data["expiresAt"].isoformat(),
        "proxy_endpoint": data["proxyEndpoint"],
        "user_name": user,
        "password": password,
    }


def image(ecr: ECRClient, repository: str, **wanted: Any) -> State:
    """aws_ecr_image: image_data_source.go. `image_digest`, `image_tag`, or `most_recent`."""
    names = {"image_digest": "imageDigest", "image_tag": "imageTag"}
    image_id = {wire: wanted[name] for name, wire in names.items() if name in wanted}
    given: Any = {"repositoryName": repository}
    if image_id:
        given["imageIds"] = [image_id]
    found = _image_details(ecr, given)
    assert wanted.get("most_recent") or len(found) == 1
    detail = max(found, key=lambda one: one["imagePushedAt"])
    repository_of = find_repository(ecr, detail["repositoryName"], registryId=detail["registryId"])
    return {
        "image_digest": detail["imageDigest"],
        "image_size_in_bytes": detail["imageSizeInBytes"],
        "image_tags": detail.get("imageTags", []),
        "image_uri": f"{repository_of['repositoryUri']}@{detail['imageDigest']}",
    }


def images(ecr: ECRClient, repository: str, **wanted: Any) -> State:
    """aws_ecr_images: images_data_source.go, and with `describe` as in the revision that has
    describe_images, max_results and tag_status.
    """
    given: Any = {"repositoryName": repository}
    if "tag_status" in wanted:
        given["filter"] = {"tagStatus": wanted["tag_status"]}
    page_size = {"PageSize": wanted["max_results"]} if "max_results" in wanted else {}
    pages = ecr.get_paginator("list_images").paginate(**given, PaginationConfig=page_size)  # type: ignore[arg-type]
    ids = [one for page in pages for one in page["imageIds"]]
    details: list[Any] = []
    for first in range(0, len(ids), 100):
        answer = ecr.describe_images(repositoryName=repository, imageIds=ids[first : first + 100])
        details += answer["imageDetails"]
    return {"image_ids": ids, "image_details": details}


def repository(ecr: ECRClient, name: str) -> State:
    """aws_ecr_repository: repository_data_source.go. The tags of the youngest image."""
    found = find_repository(ecr, name)
    given = {"repositoryName": found["repositoryName"], "registryId": found["registryId"]}
    details = sorted(_image_details(ecr, given), key=lambda one: one["imagePushedAt"])
    tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    return {
        "arn": found["repositoryArn"],
        "most_recent_image_tags": details[-1].get("imageTags", []) if details else None,
        "tags": tags_out(tags),
    }


def repositories(ecr: ECRClient) -> set[str]:
    """aws_ecr_repositories: repositories_data_source.go."""
    pages = ecr.get_paginator("describe_repositories").paginate()
    return {one["repositoryName"] for page in pages for one in page["repositories"]}


def _image_details(ecr: ECRClient, given: Any) -> list[Any]:
    pages = ecr.get_paginator("describe_images").paginate(**given)
    return [one for page in pages for one in page["imageDetails"]]
