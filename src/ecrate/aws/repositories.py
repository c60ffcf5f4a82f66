"""CreateRepository, DescribeRepositories, DeleteRepository, and a repository's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecrate.aws.call import DEFAULT_PAGE, Call
from ecrate.aws.tagging import checked_tags
from ecrate.domain.errors import InvalidParameter
from ecrate.domain.repositories import (
    Encryption,
    Repository,
    RepositorySettings,
    TagMutability,
)
from ecrate.operations import repositories

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t
    from types_boto3_ecr.type_defs import (
        ImageTagMutabilityExclusionFilterTypeDef as FilterTypeDef,
    )


def create_repository(call: Call[t.CreateRepositoryRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    wanted = given.get("encryptionConfiguration", {"encryptionType": "AES256"})
    encryption = parse_encryption(wanted["encryptionType"], wanted.get("kmsKey"))
    settings = RepositorySettings(
        tag_mutability=parse_tag_mutability(
            given.get("imageTagMutability", "MUTABLE"),
            given.get("imageTagMutabilityExclusionFilters"),
        ),
        scan_on_push=given.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        encryption=encryption.with_key(call.caller.registry),
        resource_tags=checked_tags(given.get("tags", ())),
    )
    created = repositories.create_repository(call.core, call.caller, ref, settings)
    return {"repository": render_repository(call, created)}


def describe_repositories(call: Call[t.DescribeRepositoriesRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    names, token = given.get("repositoryNames"), given.get("nextToken")
    registry = call.registry(given.get("registryId"))
    if names is not None:
        if token is not None or "maxResults" in given:
            raise InvalidParameter(
                "repositoryNames", "nextToken and maxResults cannot be used with repositoryNames"
            )  # [A]
        refs = [call.repository(name, registry.id) for name in names]
        found = repositories.describe_repositories(call.core, call.caller, refs)
        return {"repositories": [render_repository(call, one) for one in found]}
    scope = f"DescribeRepositories {registry.id}"
    page = repositories.list_repositories(
        call.core,
        call.caller,
        registry,
        after="" if token is None else call.page_position(scope, token),
        limit=given.get("maxResults", DEFAULT_PAGE),
    )
    answer: dict[str, Any] = {
        "repositories": [render_repository(call, one) for one in page.repositories]
    }
    if page.next_name is not None:
        answer["nextToken"] = call.page_token(scope, page.next_name)
    return answer


def delete_repository(call: Call[t.DeleteRepositoryRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    deleted = repositories.delete_repository(
        call.core, call.caller, ref, force=given.get("force", False)
    )
    return {"repository": render_repository(call, deleted)}


def put_image_tag_mutability(call: Call[t.PutImageTagMutabilityRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    mutability = parse_tag_mutability(
        given["imageTagMutability"], given.get("imageTagMutabilityExclusionFilters")
    )
    repositories.put_image_tag_mutability(call.core, call.caller, ref, mutability)
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "imageTagMutability": mutability.mode,
        **render_filters(mutability),
    }


def put_image_scanning_configuration(
    call: Call[t.PutImageScanningConfigurationRequestTypeDef],
) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    scan_on_push = given["imageScanningConfiguration"].get("scanOnPush", False)
    repositories.put_image_scanning_configuration(
        call.core, call.caller, ref, scan_on_push=scan_on_push
    )
    return {
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "imageScanningConfiguration": {"scanOnPush": scan_on_push},
    }


def render_repository(call: Call[Any], repository: Repository) -> dict[str, Any]:
    ref, mutability = repository.ref, repository.tag_mutability
    return {
        "repositoryArn": ref.arn,
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "repositoryUri": f"{call.registry_host(ref.registry)}/{ref.name}",
        "createdAt": round(repository.created_at, 3),
        "imageTagMutability": mutability.mode,
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": render_encryption(repository.encryption),
        **render_filters(mutability),
    }


def parse_tag_mutability(mode: str, wire: Sequence[FilterTypeDef] | None) -> TagMutability:
    return TagMutability.parse(mode, None if wire is None else [one["filter"] for one in wire])


def render_filters(mutability: TagMutability) -> dict[str, Any]:
    """Give the member that lists the exclusion filters, or none without filters."""
    if not mutability.filters:
        return {}
    wire = [{"filterType": "WILDCARD", "filter": pattern} for pattern in mutability.filters]
    return {"imageTagMutabilityExclusionFilters": wire}


def parse_encryption(kind: str, key: str | None) -> Encryption:
    if kind == "AES256" and key is not None:
        raise InvalidParameter(
            "encryptionConfiguration.kmsKey", "kmsKey cannot be set with AES256"
        )  # [A]
    return Encryption(kind, key)


def render_encryption(encryption: Encryption) -> dict[str, str]:
    wire = {"encryptionType": encryption.type}
    return wire if encryption.kms_key is None else {**wire, "kmsKey": encryption.kms_key}
