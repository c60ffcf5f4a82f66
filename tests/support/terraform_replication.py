"""aws_ecr_replication_configuration, as `tests.support.terraform` has the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.terraform import State

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient
    from types_boto3_ecr.type_defs import ReplicationRuleTypeDef


@dataclass(frozen=True)
class ReplicationConfiguration:
    """aws_ecr_replication_configuration: replication_configuration.go at
    00a35305dc1b297a6fcdecdfbba33f1e63c3da39. The id is the account's; no rules are no resource.
    """

    ecr: ECRClient
    id_of = "registry_id"

    def create(self, plan: State) -> None:
        rules: list[ReplicationRuleTypeDef] = []
        for rule in plan["rule"]:
            given: ReplicationRuleTypeDef = {
                "destinations": [
                    {"region": one["region"], "registryId": one["registry_id"]}
                    for one in rule["destination"]
                ]
            }
            if rule["repository_filter"]:
                given["repositoryFilters"] = [
                    {"filter": one["filter"], "filterType": one["filter_type"]}
                    for one in rule["repository_filter"]
                ]
            rules.append(given)
        self.ecr.put_replication_configuration(replicationConfiguration={"rules": rules})

    def update(self, state: State, plan: State) -> None:
        assert state["registry_id"] == plan["registry_id"]
        self.create(plan)

    def read(self, resource_id: str) -> State | None:
        found = self.ecr.describe_registry()
        assert found["registryId"] == resource_id
        rules = found["replicationConfiguration"]["rules"]
        if not rules:
            return None
        return {
            "registry_id": found["registryId"],
            "rule": [
                {
                    "destination": [
                        {"region": one["region"], "registry_id": one["registryId"]}
                        for one in rule["destinations"]
                    ],
                    "repository_filter": [
                        {"filter": one["filter"], "filter_type": one["filterType"]}
                        for one in rule.get("repositoryFilters", [])
                    ],
                }
                for rule in rules
            ],
        }

    def delete(self, state: State) -> None:
        del state
        self.ecr.put_replication_configuration(replicationConfiguration={"rules": []})
