"""CreateRepository, DescribeRepositories, DeleteRepository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecrate.aws.call import DEFAULT_PAGE, Call
from ecrate.domain.errors import InvalidParameter, InvalidTagParameter, TooManyTags
from ecrate.domain.repositories import (
    Encryption,
    Repository,
    RepositorySettings,
    TagMutability,
)
from ecrate.operations import repositories

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

_MAX_RESOURCE_TAGS: Final = 50
_MAX_KEY: Final = 128
_MAX_VALUE: Final = 256


def create_repository(call: Call[t.CreateRepositoryRequestTypeDef]) -> dict[str, Any]:
    given = call.parameters
    ref = call.repository(given["repositoryName"], given.get("registryId"))
    settings = RepositorySettings(
        tag_mutability=_tag_mutability(given),
        scan_on_push=given.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        encryption=_encryption(call, given),
        resource_tags=_resource_tags(given),
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


def render_repository(call: Call[Any], repository: Repository) -> dict[str, Any]:
    ref, mutability = repository.ref, repository.tag_mutability
    encryption = {"encryptionType": repository.encryption.type}
    if repository.encryption.kms_key is not None:
        encryption["kmsKey"] = repository.encryption.kms_key
    wire = {
        "repositoryArn": ref.arn,
        "registryId": ref.registry.id,
        "repositoryName": ref.name,
        "repositoryUri": f"{call.registry_host(ref.registry)}/{ref.name}",
        "createdAt": round(repository.created_at, 3),
        "imageTagMutability": mutability.mode,
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": encryption,
    }
    if mutability.filters:
        wire["imageTagMutabilityExclusionFilters"] = [
            {"filterType": "WILDCARD", "filter": pattern} for pattern in mutability.filters
        ]
    return wire


def _tag_mutability(given: t.CreateRepositoryRequestTypeDef) -> TagMutability:
    mode = given.get("imageTagMutability", "MUTABLE")
    filters = given.get("imageTagMutabilityExclusionFilters")
    if mode.endswith("_WITH_EXCLUSION") != (filters is not None):
        # AWS: the same text both ways, as recorded by other implementations' tests.
        raise InvalidParameter(
            "imageTagMutabilityExclusionFilters",
            f"ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "
            f"{mode}",
        )
    return TagMutability(mode, tuple(entry["filter"] for entry in filters or ()))


def _encryption(call: Call[Any], given: t.CreateRepositoryRequestTypeDef) -> Encryption:
    configuration = given.get("encryptionConfiguration")
    if configuration is None:
        return Encryption()
    kind, key = configuration["encryptionType"], configuration.get("kmsKey")
    if kind == "AES256":
        if key is not None:
            raise InvalidParameter(
                "encryptionConfiguration.kmsKey", "kmsKey cannot be set with AES256"
            )  # [A]
        return Encryption()
    if key is not None and key.startswith("arn:"):
        return Encryption(kind, key)
    # AWS: a missing key means the account's managed key for ECR; an id or alias becomes an ARN.
    registry = call.caller.registry
    resource = key or "alias/aws/ecr"
    resource = resource if "/" in resource else f"key/{resource}"
    return Encryption(kind, f"arn:aws:kms:{registry.region}:{registry.id}:{resource}")


def _resource_tags(given: t.CreateRepositoryRequestTypeDef) -> tuple[tuple[str, str], ...]:
    tags = [(tag["Key"], tag["Value"]) for tag in given.get("tags", ())]
    if len(tags) > _MAX_RESOURCE_TAGS:
        raise TooManyTags(_MAX_RESOURCE_TAGS)
    for key, value in tags:
        if not 0 < len(key) <= _MAX_KEY or key.startswith("aws:"):
            raise InvalidTagParameter(
                f"key '{key[:_MAX_KEY]}' must have 1 to {_MAX_KEY} characters and not begin "
                "with 'aws:'"
            )
        if len(value) > _MAX_VALUE:
            raise InvalidTagParameter(
                f"the value of '{key}' must have at most {_MAX_VALUE} characters"
            )
    if len(dict(tags)) != len(tags):
        raise InvalidTagParameter("a key is given twice")
    return tuple(tags)
