"""The operations on replication: rules, statuses, backfills."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.door import Account
from tests.support.replicator import Replicator

WEST = {"region": "us-west-2", "registryId": "222222222222"}


def put(account: Account, *rules: dict[str, Any]) -> dict[str, Any]:
    given = {"rules": list(rules)}
    return account.call("PutReplicationConfiguration", replicationConfiguration=given)


def own(account: Account) -> dict[str, str]:
    return {"region": "us-west-2", "registryId": account.id}


def test_describe_registry_has_no_rules_at_first(account: Account) -> None:
    answer = account.call("DescribeRegistry")

    assert answer["replicationConfiguration"] == {"rules": []}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="plain"),
        pytest.param(
            {"repositoryFilters": [{"filter": "prod", "filterType": "PREFIX_MATCH"}]}, id="filter"
        ),
        pytest.param({"deleteReplication": {"enabled": True}}, id="deletions"),
        pytest.param({"deleteReplication": {"enabled": False}}, id="no deletions"),
    ],
)
def test_put_replication_configuration_is_described(account: Account, more: dict[str, Any]) -> None:
    rule = {"destinations": [WEST], **more}

    answer = put(account, rule)

    described = account.call("DescribeRegistry")["replicationConfiguration"]
    assert answer["replicationConfiguration"] == described == {"rules": [rule]}


def test_put_replication_configuration_replaces_all_rules(account: Account) -> None:
    put(account, {"destinations": [WEST]})

    put(account)

    assert account.call("DescribeRegistry")["replicationConfiguration"] == {"rules": []}


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        pytest.param(
            [{"destinations": [{"region": "us-east-1", "registryId": "SELF"}]}],
            "Replication destination cannot be the same as the source registry",
            id="itself",
        ),
        pytest.param(
            [
                {"destinations": [{"region": f"r-{one}", "registryId": "222222222222"}]}
                for one in range(25)
            ],
            None,
            id="most",
        ),
        pytest.param(
            [
                {
                    "destinations": [
                        {"region": f"r-{one}", "registryId": "222222222222"} for one in range(26)
                    ]
                }
            ],
            "at most 25 unique destinations",
            id="destinations",
        ),
        pytest.param([{"destinations": []}], "Every rule must have a destination", id="none"),
    ],
)
def test_put_replication_configuration_has_limits(
    account: Account, rules: list[dict[str, Any]], text: str | None
) -> None:
    for rule in rules:
        for place in rule["destinations"]:
            place["registryId"] = place["registryId"].replace("SELF", account.id)
    if text is None:
        put(account, *rules)
        return

    given = {"rules": rules}
    status, code, message = account.refuse(
        "PutReplicationConfiguration", replicationConfiguration=given
    )

    assert (status, code) == (400, "InvalidParameterException")
    assert "'replicationConfiguration'" in message
    assert text in message


def test_describe_image_replication_status_tells_each_destination(account: Account) -> None:
    replicator = Replicator(account.door.bench.core)
    name = account.create()
    put(account, {"destinations": [WEST, own(account)]})
    image = account.push(name, "v1")
    replicator.work.feed()
    before = account.call(
        "DescribeImageReplicationStatus", repositoryName=name, imageId={"imageTag": "v1"}
    )
    replicator.run()

    answer = account.call(
        "DescribeImageReplicationStatus", repositoryName=name, imageId={"imageTag": "v1"}
    )

    assert before["replicationStatuses"] == []
    assert answer["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    assert sorted(answer["replicationStatuses"], key=lambda one: one["status"]) == [
        {**own(account), "status": "COMPLETE"},
        {**WEST, "status": "FAILED", "failureCode": "AccessDenied"},
    ]


def test_start_replication_backfill_needs_a_rule(account: Account) -> None:
    status, code, message = account.refuse("StartReplicationBackfill", destination=WEST)

    assert (status, code) == (400, "InvalidParameterException")
    assert "'destination'" in message


def test_start_replication_backfill_is_preparing(account: Account) -> None:
    put(account, {"destinations": [WEST]})

    answer = account.call("StartReplicationBackfill", destination=WEST)

    assert answer["status"] == "PREPARING"
    assert answer["destination"] == WEST
    described = account.call(
        "DescribeReplicationBackfillResults",
        replicationBackfillId=answer["replicationBackfillId"],
    )
    assert described["status"] == "PREPARING"
    assert not described.keys() & {"progress", "results", "endedAt"}


def test_describe_replication_backfill_results_when_it_has_ended(account: Account) -> None:
    replicator = Replicator(account.door.bench.core)
    name = account.create()
    image = account.push(name, "v1")
    replicator.run()
    put(account, {"destinations": [own(account)]})
    begun = account.call("StartReplicationBackfill", destination=own(account))

    replicator.run()
    replicator.run()

    answer = account.call(
        "DescribeReplicationBackfillResults", replicationBackfillId=begun["replicationBackfillId"]
    )
    assert answer["status"] == "COMPLETE"
    assert answer["progress"] == {
        "totalReplicationCount": 1,
        "completedReplicationCount": 1,
        "failedReplicationCount": 0,
        "failureCodes": [],
    }
    assert answer["results"] == [
        {
            "repositoryName": name,
            "imageId": {"imageDigest": image.digest, "imageTag": "v1"},
            "status": "COMPLETE",
        }
    ]


def test_list_replication_backfills_is_of_this_registry(account: Account, door: Any) -> None:
    put(account, {"destinations": [WEST]})
    begun = account.call("StartReplicationBackfill", destination=WEST)
    other = door.account()

    mine = account.call("ListReplicationBackfills")["backfills"]

    assert [one["replicationBackfillId"] for one in mine] == [begun["replicationBackfillId"]]
    assert other.call("ListReplicationBackfills")["backfills"] == []


def test_stop_replication_backfill_that_is_preparing_stops_at_once(account: Account) -> None:
    put(account, {"destinations": [WEST]})
    begun = account.call("StartReplicationBackfill", destination=WEST)

    answer = account.call(
        "StopReplicationBackfill", replicationBackfillId=begun["replicationBackfillId"]
    )

    assert answer["status"] == "STOPPED"
