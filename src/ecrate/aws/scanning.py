"""The operations that say when images are scanned: a registry's, and its repositories'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecrate.aws.call import Call
from ecrate.domain.errors import RepositoryNotFound
from ecrate.domain.scanning import ScanningConfiguration, ScanningRule
from ecrate.operations import scans

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t

_NOT_FOUND: Final = "REPOSITORY_NOT_FOUND"


def put_registry_scanning_configuration(
    call: Call[t.PutRegistryScanningConfigurationRequestTypeDef],
) -> dict[str, Any]:
    given, registry = call.parameters, call.registry()
    rules = [
        ScanningRule(
            rule["scanFrequency"], tuple(one["filter"] for one in rule["repositoryFilters"])
        )
        for rule in given.get("rules", [])
    ]
    configuration = scans.put_registry_scanning_configuration(
        call.core, call.caller, registry, given.get("scanType"), rules
    )
    return {"registryScanningConfiguration": _configuration(configuration)}


def get_registry_scanning_configuration(call: Call[dict[str, Any]]) -> dict[str, Any]:
    registry = call.registry()
    found = scans.get_registry_scanning_configuration(call.core, call.caller, registry)
    return {"registryId": registry.id, "scanningConfiguration": _configuration(found)}


def _configuration(configuration: ScanningConfiguration) -> dict[str, Any]:
    return {
        "scanType": configuration.scan_type,
        "rules": [
            {"scanFrequency": rule.frequency, "repositoryFilters": _filters(rule.filters)}
            for rule in configuration.rules
        ],
    }


def _filters(filters: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"filter": one, "filterType": "WILDCARD"} for one in filters]


def batch_get_repository_scanning_configuration(
    call: Call[t.BatchGetRepositoryScanningConfigurationRequestTypeDef],
) -> dict[str, Any]:
    names = call.parameters["repositoryNames"]
    answers = scans.batch_get_repository_scanning_configuration(
        call.core, call.caller, [call.repository(name) for name in names]
    )
    found, failures = [], []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, RepositoryNotFound):
            failures.append(
                {"repositoryName": name, "failureCode": _NOT_FOUND, "failureReason": _NOT_FOUND}
            )
        else:
            found.append(_repository(answer))
    return {"scanningConfigurations": found, "failures": failures}


def _repository(found: scans.RepositoryScanning) -> dict[str, Any]:
    return {
        "repositoryArn": found.repository.ref.arn,
        "repositoryName": found.repository.ref.name,
        "scanOnPush": found.repository.scan_on_push,
        "scanFrequency": found.plan.frequency,
        "appliedScanFilters": _filters(found.plan.filters),
    }
