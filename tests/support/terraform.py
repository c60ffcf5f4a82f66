"""What Terraform's AWS provider asks of ECR, as boto3 calls.

Transcribed from what internal/service/ecr/*.go of hashicorp/terraform-provider-aws does, at commit
083b5c7aff2ae2c12dcba1e8e1cc1beb7754b60a (2026); each class names its file, and the commit where
it is another. The provider's SDK leaves out false flags and empty optional members.

A plan and a state are dictionaries of the resource's attributes. `read` gives the state, None for
what is gone; an attribute of the plan that the state shows otherwise is a drift.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

State = dict[str, Any]


class Resource(Protocol):
    """A managed resource; `id_of` is where a plan has what the provider makes the id."""

    id_of: str

    def create(self, plan: State) -> None: ...
    def read(self, resource_id: str) -> State | None: ...
    def update(self, state: State, plan: State) -> None: ...
    def delete(self, state: State) -> None: ...


def apply(resource: Resource, plan: State, state: State | None = None) -> State:
    """Create, or update what has this state; give the state as it is read back."""
    if state is None:
        resource.create(plan)
    else:
        resource.update(state, plan)
    found = resource.read(plan[resource.id_of])
    assert found is not None
    return found


def drift(plan: State, state: State) -> State:
    """Give the attributes that the state shows otherwise than planned."""
    return {name: state.get(name) for name, value in plan.items() if state.get(name) != value}


def code_of(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def unless(codes: Sequence[str], call: Callable[[], Any]) -> Any:
    """Give what the call gives, None where it fails with one of these codes."""
    try:
        return call()
    except ClientError as error:
        if code_of(error) not in codes:
            raise
        return None


def normal(text: str) -> str:
    """Write JSON as Go does: keys in order, no blanks; nothing stays nothing."""
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) if text else ""


def _changed(state: State, plan: State, *names: str) -> bool:
    return any(plan.get(name) != state.get(name) for name in names)


def _tags_in(tags: dict[str, str]) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_out(tags: Sequence[Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _filters_in(filters: Sequence[State]) -> list[Any]:
    return [{"filter": one["filter"], "filterType": one["filter_type"]} for one in filters]


def _filters_out(wire: Sequence[Any]) -> list[State]:
    return [{"filter": one["filter"], "filter_type": one["filterType"]} for one in wire]


def _encryption_in(block: State) -> Any:
    key = {"kmsKey": block["kms_key"]} if block.get("kms_key") else {}
    return {"encryptionType": block["encryption_type"], **key}


def _encryption_out(wire: Any) -> State:
    return {"encryption_type": wire["encryptionType"], "kms_key": wire.get("kmsKey", "")}


def find_repository(ecr: ECRClient, name: str, **registry: str) -> Any:
    """Give the one repository of this name, None without one."""

    def pages() -> list[Any]:
        paginator = ecr.get_paginator("describe_repositories")
        found = paginator.paginate(repositoryNames=[name], **registry)  # type: ignore[arg-type]
        return [one for page in found for one in page["repositories"]]

    found = unless(["RepositoryNotFoundException"], pages)
    if found is None:
        return None
    (repository,) = found
    return repository


@dataclass(frozen=True)
class Repository:
    """aws_ecr_repository: repository.go, tags_gen.go."""

    ecr: ECRClient
    id_of = "name"

    def create(self, plan: State) -> None:
        given: dict[str, Any] = {
            "repositoryName": plan["name"],
            "imageTagMutability": plan.get("image_tag_mutability", "MUTABLE"),
        }
        if "encryption_configuration" in plan:
            given["encryptionConfiguration"] = _encryption_in(plan["encryption_configuration"])
        if plan.get("tags"):
            given["tags"] = _tags_in(plan["tags"])
        if "scan_on_push" in plan:
            given["imageScanningConfiguration"] = self._scanning(plan)
        if plan.get("image_tag_mutability_exclusion_filter"):
            given["imageTagMutabilityExclusionFilters"] = self._filters(plan)
        self.ecr.create_repository(**given)

    def read(self, resource_id: str) -> State | None:
        found = find_repository(self.ecr, resource_id)
        if found is None:
            return None
        tags = self.ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
        return {
            "arn": found["repositoryArn"],
            "name": found["repositoryName"],
            "registry_id": found["registryId"],
            "repository_url": found["repositoryUri"],
            "image_tag_mutability": found["imageTagMutability"],
            "image_tag_mutability_exclusion_filter": _filters_out(
                found.get("imageTagMutabilityExclusionFilters", [])
            ),
            "scan_on_push": found["imageScanningConfiguration"]["scanOnPush"],
            "encryption_configuration": _encryption_out(found["encryptionConfiguration"]),
            "tags": tags_out(tags),
        }

    def update(self, state: State, plan: State) -> None:
        where: Any = {"repositoryName": plan["name"], "registryId": state["registry_id"]}
        names = ("image_tag_mutability", "image_tag_mutability_exclusion_filter")
        if _changed(state, plan, *names):
            given = {"imageTagMutability": plan["image_tag_mutability"]}
            if plan.get("image_tag_mutability_exclusion_filter"):
                given["imageTagMutabilityExclusionFilters"] = self._filters(plan)
            self.ecr.put_image_tag_mutability(**where, **given)
        if _changed(state, plan, "scan_on_push"):
            self.ecr.put_image_scanning_configuration(
                **where, imageScanningConfiguration=self._scanning(plan)
            )
        self._update_tags(state["arn"], state["tags"], plan.get("tags", {}))

    def _update_tags(self, arn: str, old: dict[str, str], new: dict[str, str]) -> None:
        removed = sorted(old.keys() - new.keys())
        if removed:
            self.ecr.untag_resource(resourceArn=arn, tagKeys=removed)
        updated = {key: value for key, value in new.items() if old.get(key) != value}
        if updated:
            self.ecr.tag_resource(resourceArn=arn, tags=_tags_in(updated))

    def delete(self, state: State) -> None:
        """Without `force_delete` a repository with images stays, and the error is the user's."""
        force = {"force": True} if state.get("force_delete") else {}
        name, registry = state["name"], state["registry_id"]
        unless(
            ["RepositoryNotFoundException"],
            lambda: self.ecr.delete_repository(repositoryName=name, registryId=registry, **force),
        )
        # The provider asks until it is gone; there is nothing to wait for here.
        assert find_repository(self.ecr, name) is None

    @staticmethod
    def _scanning(plan: State) -> Any:
        return {"scanOnPush": True} if plan.get("scan_on_push") else {}

    @staticmethod
    def _filters(plan: State) -> Any:
        return _filters_in(plan["image_tag_mutability_exclusion_filter"])


@dataclass(frozen=True)
class RepositoryPolicy:
    """aws_ecr_repository_policy: repository_policy.go."""

    ecr: ECRClient
    id_of = "repository"

    def create(self, plan: State) -> None:
        self.ecr.set_repository_policy(
            repositoryName=plan["repository"], policyText=normal(plan["policy"])
        )

    def update(self, state: State, plan: State) -> None:
        assert state["repository"] == plan["repository"]
        self.create(plan)

    def read(self, resource_id: str) -> State | None:
        found = unless(
            ["RepositoryNotFoundException", "RepositoryPolicyNotFoundException"],
            lambda: self.ecr.get_repository_policy(repositoryName=resource_id),
        )
        return found and {
            "policy": normal(found["policyText"]),
            "registry_id": found["registryId"],
            "repository": found["repositoryName"],
        }

    def delete(self, state: State) -> None:
        unless(
            ["RepositoryNotFoundException", "RepositoryPolicyNotFoundException"],
            lambda: self.ecr.delete_repository_policy(
                repositoryName=state["repository"], registryId=state["registry_id"]
            ),
        )


@dataclass(frozen=True)
class LifecyclePolicy:
    """aws_ecr_lifecycle_policy: lifecycle_policy.go. A change deletes it and makes it again."""

    ecr: ECRClient
    id_of = "repository"

    def create(self, plan: State) -> None:
        self.ecr.put_lifecycle_policy(
            repositoryName=plan["repository"], lifecyclePolicyText=normal(plan["policy"])
        )

    def update(self, state: State, plan: State) -> None:
        self.delete(state)
        self.create(plan)

    def read(self, resource_id: str) -> State | None:
        found = unless(
            ["RepositoryNotFoundException", "LifecyclePolicyNotFoundException"],
            lambda: self.ecr.get_lifecycle_policy(repositoryName=resource_id),
        )
        return found and {
            "policy": normal(found["lifecyclePolicyText"]),
            "registry_id": found["registryId"],
            "repository": found["repositoryName"],
        }

    def delete(self, state: State) -> None:
        unless(
            ["RepositoryNotFoundException", "LifecyclePolicyNotFoundException"],
            lambda: self.ecr.delete_lifecycle_policy(repositoryName=state["repository"]),
        )


@dataclass(frozen=True)
class RegistryPolicy:
    """aws_ecr_registry_policy: registry_policy.go. Its id is the registry's."""

    ecr: ECRClient
    id_of = "registry_id"

    def create(self, plan: State) -> None:
        answer = self.ecr.put_registry_policy(policyText=normal(plan["policy"]))
        plan["registry_id"] = answer["registryId"]

    def update(self, state: State, plan: State) -> None:
        self.create(plan)
        assert state["registry_id"] == plan["registry_id"]

    def read(self, resource_id: str) -> State | None:
        found = unless(["RegistryPolicyNotFoundException"], self.ecr.get_registry_policy)
        assert found is None or found["registryId"] == resource_id
        return found and {"policy": normal(found["policyText"]), "registry_id": resource_id}

    def delete(self, state: State) -> None:
        assert state["registry_id"]
        unless(["RegistryPolicyNotFoundException"], self.ecr.delete_registry_policy)


@dataclass(frozen=True)
class CreationTemplate:
    """aws_ecr_repository_creation_template: repository_creation_template.go."""

    ecr: ECRClient
    id_of = "prefix"

    def create(self, plan: State) -> None:
        mutability = plan.get("image_tag_mutability", "MUTABLE")
        given = self._members({**plan, "image_tag_mutability": mutability})
        self.ecr.create_repository_creation_template(**given)

    def update(self, state: State, plan: State) -> None:
        """Only what changed is sent; what was taken out of the plan is sent empty, if at all."""
        cleared = {
            name: type(state[name])()
            for name in ("custom_role_arn", "description", "lifecycle_policy", "repository_policy",
                         "resource_tags")
            if state[name] and not plan.get(name)
        }  # fmt: skip
        wanted = {**plan, **cleared}
        changes = {name: value for name, value in wanted.items() if state[name] != value}
        if "image_tag_mutability_exclusion_filter" in changes:
            changes["image_tag_mutability"] = plan["image_tag_mutability"]
        given = self._members({**changes, "prefix": plan["prefix"]})
        self.ecr.update_repository_creation_template(**given)

    def read(self, resource_id: str) -> State | None:
        paginator = self.ecr.get_paginator("describe_repository_creation_templates")
        pages = list(paginator.paginate(prefixes=[resource_id]))
        found: list[Any] = [one for page in pages for one in page["repositoryCreationTemplates"]]
        if not found:
            return None
        (template,) = found
        return {
            "prefix": template["prefix"],
            "registry_id": pages[0]["registryId"],
            "applied_for": template["appliedFor"],
            "custom_role_arn": template.get("customRoleArn", ""),
            "description": template.get("description", ""),
            "encryption_configuration": _encryption_out(template["encryptionConfiguration"]),
            "image_tag_mutability": template["imageTagMutability"],
            "image_tag_mutability_exclusion_filter": _filters_out(
                template.get("imageTagMutabilityExclusionFilters", [])
            ),
            "lifecycle_policy": normal(template.get("lifecyclePolicy", "")),
            "repository_policy": normal(template.get("repositoryPolicy", "")),
            "resource_tags": tags_out(template.get("resourceTags", [])),
        }

    def delete(self, state: State) -> None:
        unless(
            ["TemplateNotFoundException"],
            lambda: self.ecr.delete_repository_creation_template(prefix=state["prefix"]),
        )

    @staticmethod
    def _members(plan: State) -> Any:
        convert: dict[str, tuple[str, Callable[[Any], Any]]] = {
            "prefix": ("prefix", str),
            "applied_for": ("appliedFor", list),
            "custom_role_arn": ("customRoleArn", str),
            "description": ("description", str),
            "encryption_configuration": ("encryptionConfiguration", _encryption_in),
            "image_tag_mutability": ("imageTagMutability", str),
            "image_tag_mutability_exclusion_filter": (
                "imageTagMutabilityExclusionFilters",
                _filters_in,
            ),
            "lifecycle_policy": ("lifecyclePolicy", normal),
            "repository_policy": ("repositoryPolicy", normal),
            "resource_tags": ("resourceTags", _tags_in),
        }
        given = {convert[name][0]: convert[name][1](value) for name, value in plan.items()}
        # An empty list of filters is no list to the provider.
        return {name: value for name, value in given.items() if value or "Filters" not in name}


@dataclass(frozen=True)
class AccountSetting:
    """aws_ecr_account_setting: account_setting.go at 21bd70c40790e9acfbe39b4c39508a6ee45437b4.
    It is never deleted.
    """

    ecr: ECRClient
    id_of = "name"

    def create(self, plan: State) -> None:
        self.ecr.put_account_setting(name=plan["name"], value=plan["value"])

    def update(self, state: State, plan: State) -> None:
        assert state["name"] == plan["name"]
        self.create(plan)

    def read(self, resource_id: str) -> State | None:
        found = self.ecr.get_account_setting(name=resource_id)
        return {"name": found["name"], "value": found["value"]}

    def delete(self, state: State) -> None:
        """Nothing is asked of ECR."""


@dataclass(frozen=True)
class RegistryScanningConfiguration:
    """aws_ecr_registry_scanning_configuration: registry_scanning_configuration.go at
    004b82babcaf4d20bbc12b4e19caea237c681216. Its id is the registry's.
    """

    ecr: ECRClient
    id_of = "registry_id"

    def create(self, plan: State) -> None:
        rules: Any = [
            {
                "repositoryFilters": [
                    {"filter": one["filter"], "filterType": one["filter_type"]}
                    for one in rule["repository_filter"]
                ],
                "scanFrequency": rule["scan_frequency"],
            }
            for rule in plan["rule"]
        ]
        self.ecr.put_registry_scanning_configuration(scanType=plan["scan_type"], rules=rules)

    def update(self, state: State, plan: State) -> None:
        assert state["registry_id"] == plan["registry_id"]
        self.create(plan)

    def read(self, resource_id: str) -> State | None:
        found = self.ecr.get_registry_scanning_configuration()
        assert found["registryId"] == resource_id
        configuration = found["scanningConfiguration"]
        return {
            "registry_id": found["registryId"],
            "rule": [
                {
                    "repository_filter": [
                        {"filter": one["filter"], "filter_type": one["filterType"]}
                        for one in rule["repositoryFilters"]
                    ],
                    "scan_frequency": rule["scanFrequency"],
                }
                for rule in configuration["rules"]
            ],
            "scan_type": configuration["scanType"],
        }

    def delete(self, state: State) -> None:
        assert state["registry_id"]
        self.ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[])


@dataclass(frozen=True)
class PullTimeExclusion:
    """aws_ecr_pull_time_update_exclusion: pull_time_update_exclusion.go at
    20e0a28a948035664fd03c63109a1fcfc2e3e87f. Another principal is another resource.
    """

    ecr: ECRClient
    id_of = "principal_arn"

    def create(self, plan: State) -> None:
        self.ecr.register_pull_time_update_exclusion(principalArn=plan["principal_arn"])

    def update(self, state: State, plan: State) -> None:
        self.delete(state)
        self.create(plan)

    def read(self, resource_id: str) -> State | None:
        listed: list[str] = []
        more: Any = {}
        while more is not None:
            page = self.ecr.list_pull_time_update_exclusions(**more)
            listed += page["pullTimeUpdateExclusions"]
            more = {"nextToken": page["nextToken"]} if "nextToken" in page else None
        return {"principal_arn": resource_id} if resource_id in listed else None

    def delete(self, state: State) -> None:
        unless(
            ["ExclusionNotFoundException"],
            lambda: self.ecr.deregister_pull_time_update_exclusion(
                principalArn=state["principal_arn"]
            ),
        )


@dataclass(frozen=True)
class PullThroughCacheRule:
    """aws_ecr_pull_through_cache_rule: pull_through_cache_rule.go at
    0509e60e8e895c393eb27fcebb30cceceff51528. What is taken out of a plan is not sent.
    """

    ecr: ECRClient
    id_of = "ecr_repository_prefix"

    def create(self, plan: State) -> None:
        self.ecr.create_pull_through_cache_rule(**self._members(plan))

    def update(self, state: State, plan: State) -> None:
        names = ("ecr_repository_prefix", "credential_arn", "custom_role_arn")
        changing = {name: plan[name] for name in names if plan.get(name)}
        assert state["ecr_repository_prefix"] == plan["ecr_repository_prefix"]
        self.ecr.update_pull_through_cache_rule(**self._members(changing))

    def read(self, resource_id: str) -> State | None:
        def pages() -> list[Any]:
            paginator = self.ecr.get_paginator("describe_pull_through_cache_rules")
            found = paginator.paginate(ecrRepositoryPrefixes=[resource_id])
            return [one for page in found for one in page["pullThroughCacheRules"]]

        found = unless(["PullThroughCacheRuleNotFoundException"], pages)
        if found is None:
            return None
        (rule,) = found
        names = {**self._NAMES, "registry_id": "registryId"}
        return {name: rule.get(wire, "") for name, wire in names.items()}

    def delete(self, state: State) -> None:
        unless(
            ["PullThroughCacheRuleNotFoundException"],
            lambda: self.ecr.delete_pull_through_cache_rule(
                ecrRepositoryPrefix=state["ecr_repository_prefix"], registryId=state["registry_id"]
            ),
        )

    _NAMES: ClassVar = {
        "credential_arn": "credentialArn",
        "custom_role_arn": "customRoleArn",
        "ecr_repository_prefix": "ecrRepositoryPrefix",
        "upstream_registry_url": "upstreamRegistryUrl",
        "upstream_repository_prefix": "upstreamRepositoryPrefix",
    }

    @classmethod
    def _members(cls, plan: State) -> Any:
        return {cls._NAMES[name]: value for name, value in plan.items()}
