"""boto3 on every built operation: each call with all its parameters, paginators, waiters."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from typing_extensions import override

from ecrate.aws.model import data_file, kebab
from ecrate.aws.table import OPERATIONS
from ecrate.store import lifecycle as store
from tests.support.door import Account
from tests.support.lifecycle import policy, rule
from tests.support.replicator import Replicator
from tests.support.scenarios import SCENARIOS

PREVIEW = "LifecyclePolicyPreviewComplete"


def method_of(operation: str) -> str:
    return kebab(operation).replace("-", "_")


@dataclass(frozen=True)
class SdkAccount(Account):
    """Calls through boto3, which checks each request and reads each answer by the model."""

    statuses: dict[str, list[int]] = field(default_factory=dict)

    @override
    def call(self, operation: str, /, **members: Any) -> dict[str, Any]:
        if "layerPartBlob" in members:
            members["layerPartBlob"] = b64decode(members["layerPartBlob"])
        answer: dict[str, Any] = getattr(self.ecr, method_of(operation))(**members)
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        self.statuses.setdefault(operation, []).append(status)
        return answer


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_boto3_calls_with_all_parameters(account: Account, operation: str) -> None:
    sdk = SdkAccount(account.door, account.id)

    SCENARIOS[operation](sdk)

    assert set(sdk.statuses[operation]) == {200}


def images(account: Account) -> dict[str, Any]:
    name = account.create()
    for tag in ("v1", "v2", "v3"):
        account.push(name, tag)
    return {"repositoryName": name}


def preview(account: Account) -> dict[str, Any]:
    given = images(account)
    text = policy(rule(1))
    account.call("StartLifecyclePolicyPreview", lifecyclePolicyText=text, **given)
    return given


def repositories(account: Account) -> dict[str, Any]:
    account.create("one")
    account.create("two")
    return {}


def templates(account: Account) -> dict[str, Any]:
    for prefix in ("one", "two"):
        account.call("CreateRepositoryCreationTemplate", prefix=prefix, appliedFor=[])
    return {}


def backfills(account: Account) -> dict[str, Any]:
    places = [{"region": f"us-west-{one}", "registryId": "222222222222"} for one in (1, 2)]
    rules = [{"destinations": places}]
    account.call("PutReplicationConfiguration", replicationConfiguration={"rules": rules})
    for place in places:
        account.call("StartReplicationBackfill", destination=place)
    return {}


def backfill_results(account: Account) -> dict[str, Any]:
    images(account)
    replicator = Replicator(account.door.bench.core)
    backfills(account)
    replicator.run()
    replicator.run()
    begun = account.call("ListReplicationBackfills")["backfills"][0]
    return {"replicationBackfillId": begun["replicationBackfillId"]}


# What is listed, and how many there are.
def rules(account: Account) -> dict[str, Any]:
    for prefix in ("one", "two"):
        account.call(
            "CreatePullThroughCacheRule",
            ecrRepositoryPrefix=prefix,
            upstreamRegistryUrl="public.ecr.aws",
        )
    return {}


LISTS: dict[str, tuple[Callable[[Account], dict[str, Any]], int]] = {
    "DescribeImages": (images, 3),
    "DescribePullThroughCacheRules": (rules, 2),
    "DescribeRepositories": (repositories, 2),
    "DescribeRepositoryCreationTemplates": (templates, 2),
    "DescribeReplicationBackfillResults": (backfill_results, 3),
    "GetLifecyclePolicyPreview": (preview, 2),
    "ListImages": (images, 3),
    "ListReplicationBackfills": (backfills, 2),
}


def configured(file: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data_file(file).read_bytes())[kind]
    return found


def test_paginators_are_those_of_botocore() -> None:
    known = configured("paginators-1.json", "pagination")

    # Findings are in one of two lists; tests/aws/test_scans.py pages through both.
    assert LISTS.keys() | {"DescribeImageScanFindings"} == known.keys() & OPERATIONS.keys()


@pytest.mark.parametrize("operation", sorted(LISTS))
def test_paginator_gives_everything_once(account: Account, operation: str) -> None:
    prepare, count = LISTS[operation]
    given = prepare(account)
    paginator = account.ecr.get_paginator(method_of(operation))  # type: ignore[call-overload]
    key = configured("paginators-1.json", "pagination")[operation]["result_key"]

    pages = [page[key] for page in paginator.paginate(**given, PaginationConfig={"PageSize": 1})]

    assert [len(page) for page in pages] == [1] * count
    assert len({json.dumps(page, default=str) for page in pages}) == count


@pytest.mark.parametrize("operation", sorted(LISTS))
def test_paginator_goes_on_where_it_was_left(account: Account, operation: str) -> None:
    prepare, count = LISTS[operation]
    given = prepare(account)
    paginator = account.ecr.get_paginator(method_of(operation))  # type: ignore[call-overload]
    key = configured("paginators-1.json", "pagination")[operation]["result_key"]
    begun = paginator.paginate(**given, PaginationConfig={"MaxItems": 1, "PageSize": 1})
    first = begun.build_full_result()

    rest = paginator.paginate(**given, PaginationConfig={"StartingToken": first["NextToken"]})

    found = first[key] + rest.build_full_result()[key]
    assert len({json.dumps(one, default=str) for one in found}) == len(found) == count


def test_waiters_are_those_of_botocore() -> None:
    known = configured("waiters-2.json", "waiters")

    # A scan is waited for in tests/aws/test_scans.py.
    assert {name for name, one in known.items() if one["operation"] in OPERATIONS} == {
        PREVIEW,
        "ImageScanComplete",
    }


def test_waiter_is_content_at_once(account: Account) -> None:
    given = preview(account)

    account.ecr.get_waiter("lifecycle_policy_preview_complete").wait(
        **given, WaiterConfig={"MaxAttempts": 1}
    )

    answer = account.ecr.get_lifecycle_policy_preview(**given)
    assert answer["status"] == "COMPLETE"
    assert answer["summary"] == {"expiringImageTotalCount": 2}


def test_waiter_tells_of_a_preview_that_failed(account: Account) -> None:
    given = preview(account)
    bench = account.door.bench
    with bench.writing() as tx:
        row = tx.one("SELECT id FROM repositories WHERE registry_id = ?", account.id)
        assert row is not None
        found = store.find_preview(tx, row[0])
        assert found is not None
        store.finish_preview(tx, found.id, "FAILED")

    with pytest.raises(WaiterError, match='matched expected path: "FAILED"'):
        account.ecr.get_waiter("lifecycle_policy_preview_complete").wait(**given)
