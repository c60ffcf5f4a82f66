"""Events of the audit log: their form, and what happens while they cannot be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.errors import AuditUnavailable
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller, Source, anonymous
from ecrate.operations.audit import (
    Event,
    record_call,
    record_operator,
    settle_audit,
)
from ecrate.operations.lifecycle import run_lifecycle_policies
from ecrate.store.audit import AuditLog
from tests.support.core import CALLER, DAY, REGISTRY, Bench
from tests.support.lifecycle_bench import KEEP_ONE, digests, push, put, run_in_an_hour

SESSION = Caller(
    "arn:aws:sts::123456789012:assumed-role/ci/run-1",
    "ASIAEXAMPLE",
    REGISTRY,
    principal_id=7,
    role_arn="arn:aws:iam::123456789012:role/ci",
)
USER = Caller("arn:aws:iam::123456789012:user/alice", "AKIAEXAMPLE", REGISTRY, principal_id=5)


@pytest.fixture
def watched(tmp_path: Path, make_bench: Callable[..., Bench]) -> Bench:
    """A core with an audit log."""
    log = AuditLog(tmp_path / "audit.log", tmp_path / "lock", max_size=10**6, kept=1)
    return make_bench(audit=log)


def events_of(bench: Bench) -> list[Any]:
    return [json.loads(line) for line in (bench.folder / "audit.log").read_text().splitlines()]


def break_disk(bench: Bench) -> None:
    """From now on the log is on a disk that is full."""
    (bench.folder / "audit.log").unlink(missing_ok=True)
    (bench.folder / "audit.log").symlink_to("/dev/full")


def repair_disk(bench: Bench) -> None:
    (bench.folder / "audit.log").unlink()


def test_event_is_cloudtrails(watched: Bench) -> None:
    event = Event(
        "TagResource",
        REGISTRY,
        "request-1",
        parameters={"repositoryName": "one", "tags": [{"Key": "a", "Value": "b"}]},
    )
    source = Source("10.1.2.3", "docker/28", is_secure=True)
    caller = Caller(CALLER.arn, CALLER.access_key_id, REGISTRY, is_root=True, source=source)

    record_call(watched.core, caller, event)

    (found,) = events_of(watched)
    assert len(found.pop("eventID")) == 36
    assert found == {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "Root",
            "principalId": "123456789012",
            "arn": "arn:aws:iam::123456789012:root",
            "accountId": "123456789012",
            "accessKeyId": "AKIDEXAMPLE",
        },
        "eventTime": "2023-11-14T22:13:20Z",
        "eventSource": "ecr.amazonaws.com",
        "eventName": "TagResource",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "10.1.2.3",
        "userAgent": "docker/28",
        "requestParameters": {"repositoryName": "one", "tags": [{"Key": "a", "Value": "b"}]},
        "responseElements": None,
        "requestID": "request-1",
        "readOnly": False,
        "resources": [
            {
                "ARN": "arn:aws:ecr:us-east-1:123456789012:repository/one",
                "accountId": "123456789012",
            }
        ],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "123456789012",
        "eventCategory": "Management",
    }


@pytest.mark.parametrize(
    ("caller", "identity"),
    [
        pytest.param(
            USER,
            {
                "type": "IAMUser",
                "principalId": "AIDA0000000000000005",
                "arn": "arn:aws:iam::123456789012:user/alice",
                "accountId": "123456789012",
                "accessKeyId": "AKIAEXAMPLE",
                "userName": "alice",
            },
            id="user",
        ),
        pytest.param(
            SESSION,
            {
                "type": "AssumedRole",
                "principalId": "AROA0000000000000007:run-1",
                "arn": "arn:aws:sts::123456789012:assumed-role/ci/run-1",
                "accountId": "123456789012",
                "accessKeyId": "ASIAEXAMPLE",
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "arn": "arn:aws:iam::123456789012:role/ci",
                        "accountId": "123456789012",
                        "userName": "ci",
                    }
                },
            },
            id="session",
        ),
        pytest.param(
            anonymous(REGISTRY),
            {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"},
            id="nameless",
        ),
    ],
)
def test_identity_is_cloudtrails(
    watched: Bench, caller: Caller, identity: dict[str, object]
) -> None:
    record_call(watched.core, caller, Event("PutImage", REGISTRY))

    (found,) = events_of(watched)
    assert found["userIdentity"] == identity


def test_event_of_another_account_is_that_accounts(watched: Bench) -> None:
    other = RegistryRef("999999999999", "eu-west-1")

    record_call(watched.core, USER, Event("PutImage", other, parameters={"repositoryName": "x"}))

    (found,) = events_of(watched)
    assert (found["awsRegion"], found["recipientAccountId"]) == ("eu-west-1", "999999999999")
    assert found["resources"][0]["ARN"] == "arn:aws:ecr:eu-west-1:999999999999:repository/x"
    assert found["userIdentity"]["accountId"] == "123456789012"


def test_bulk_is_left_out_and_half_characters_are_replaced(watched: Bench) -> None:
    parameters = {"layerPartBlob": memoryview(b"QQ=="), "imageTag": "\udcff\u2028\n", "n": 5}
    response = {"image": {"imageManifest": "{}", "imageId": ("a", "b")}}

    record_call(watched.core, USER, Event("X", REGISTRY, parameters=parameters, response=response))

    (line,) = (watched.folder / "audit.log").read_bytes().splitlines()
    found = json.loads(line)
    assert line.isascii()
    assert found["requestParameters"] == {
        "layerPartBlob": "(left out)",
        "imageTag": "?\u2028\n",
        "n": 5,
    }
    assert found["responseElements"] == {
        "image": {"imageManifest": "(left out)", "imageId": ["a", "b"]}
    }


def test_lifecycle_policy_leaves_a_line_of_what_it_did(watched: Bench) -> None:
    one = watched.create("one")
    pushed_at = watched.clock.now
    tagged, untagged, _ = push(watched, one, "v1", "v2"), push(watched, one), push(watched, one)

    run_in_an_hour(watched, one, KEEP_ONE)

    (found,) = events_of(watched)
    assert found["eventName"] == "PolicyExecutionEvent"
    assert found["eventType"] == "AwsServiceEvent"
    assert found["userIdentity"] == {"accountId": "123456789012", "invokedBy": "AWS Internal"}
    assert found["resources"] == [
        {"ARN": one.arn, "accountId": "123456789012", "type": "AWS::ECR::Repository"}
    ]
    assert found["serviceEventDetails"] == {
        "repositoryName": "one",
        "lifecycleEventPolicy": {"lifecycleEventRules": [KEEP_ONE]},
        "lifecycleEventImageActions": [
            {
                "lifecycleEventImage": {
                    "digest": digest.text,
                    "tagStatus": "Tagged" if tags else "Untagged",
                    "tagList": tags,
                    "pushedAt": round(1000 * moment),
                },
                "rulePriority": 1,
                "actionType": "EXPIRE",
            }
            for digest, tags, moment in (
                (tagged, ["v1", "v2"], pushed_at),
                (untagged, [], pushed_at + DAY),
            )
        ],
    }


def test_lifecycle_policy_that_does_nothing_leaves_no_line(watched: Bench) -> None:
    one = watched.create("one")
    push(watched, one)

    run_in_an_hour(watched, one, KEEP_ONE)

    assert not (watched.folder / "audit.log").exists()


def test_line_that_cannot_be_written_is_told_and_owed(
    watched: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    break_disk(watched)

    with pytest.raises(AuditUnavailable):
        record_call(watched.core, USER, Event("PutImage", REGISTRY))
    with pytest.raises(AuditUnavailable):
        settle_audit(watched.core)
    repair_disk(watched)
    settle_audit(watched.core)

    (found,) = events_of(watched)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "No space left on device; it lacks " in record.message
    assert json.loads(record.message.partition("lacks ")[2]) == found


def test_lifecycle_policies_wait_for_the_audit_log(watched: Bench) -> None:
    one = watched.create("one")
    for _ in range(3):
        push(watched, one)
    put(watched, one, KEEP_ONE)
    watched.clock.advance(watched.core.limits.lifecycle_every)
    break_disk(watched)
    with pytest.raises(AuditUnavailable):
        record_operator(watched.core, "root", Event("CreateUser", REGISTRY), command="ecrate iam")

    with pytest.raises(AuditUnavailable):
        run_lifecycle_policies(watched.core)
    before = len(digests(watched, one))
    repair_disk(watched)
    run_lifecycle_policies(watched.core)

    assert (before, len(digests(watched, one))) == (3, 1)
    assert [event["eventName"] for event in events_of(watched)] == [
        "CreateUser",
        "PolicyExecutionEvent",
    ]


def test_core_without_a_log_records_nothing(bench: Bench) -> None:
    record_call(bench.core, USER, Event("PutImage", REGISTRY))
    settle_audit(bench.core)

    assert not (bench.folder / "audit.log").exists()
