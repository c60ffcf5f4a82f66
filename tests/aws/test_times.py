"""The times that answers tell, by a clock that stands still until a test moves it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller
from ecrate.operations import identities
from ecrate.operations.lifecycle import run_lifecycle_policies
from tests.support.core import DAY, HOUR, Clock
from tests.support.door import Account
from tests.support.lifecycle import policy, rule
from tests.support.policies import allow
from tests.support.policies import policy as policy_of
from tests.support.server import REGION

FIRST = policy(rule(1))


@pytest.fixture
def clock(account: Account) -> Clock:
    return account.clock


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_create_repository_tells_when(account: Account, clock: Clock) -> None:
    created = account.ecr.create_repository(repositoryName="one")["repository"]
    clock.advance(DAY)

    (described,) = account.ecr.describe_repositories()["repositories"]

    assert created["createdAt"] == described["createdAt"] == moment(clock.now - DAY)


def test_get_authorization_token_lasts_twelve_hours_to_the_second(
    account: Account, clock: Clock
) -> None:
    (data,) = account.ecr.get_authorization_token()["authorizationData"]

    assert data["expiresAt"] == moment(clock.now + 12 * HOUR)


def test_session_is_expired_after_its_time(account: Account, clock: Clock) -> None:
    core = account.door.bench.core
    root = identities.create_principal(core, account.id, "root", "")
    registry = RegistryRef(account.id, REGION)
    caller = Caller(root.arn, account.id, registry, principal_id=root.id, is_root=True)
    made = identities.assume_role(core, caller, _role(account), "one", policy="", seconds=3600)
    session = dataclasses.replace(account, id=made.key_id, token=made.token)
    before = session.call("GetAccountSetting", name="BLOB_MOUNTING")
    clock.advance(HOUR + 1)

    refusal = session.refuse("GetAccountSetting", name="BLOB_MOUNTING")

    assert before["value"] == "ENABLED"
    assert refusal == (
        400,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )


def _role(account: Account) -> str:
    """Make a role that may all and trusts its account."""
    core = account.door.bench.core
    trust = policy_of(allow("sts:AssumeRole", Principal={"AWS": account.id}))
    role = identities.create_principal(core, account.id, "role", "one", trust)
    identities.put_policy(core, role.arn, "own", policy_of(allow("ecr:*", Resource="*")))
    return role.arn


def test_put_image_of_a_known_image_keeps_the_time_of_its_first_push(
    account: Account, clock: Clock
) -> None:
    name = account.create()
    image = account.push(name, "v1")
    clock.advance(DAY)
    account.ecr.put_image(repositoryName=name, imageManifest=image.manifest, imageTag="v2")

    (detail,) = account.ecr.describe_images(repositoryName=name)["imageDetails"]

    assert detail["imageTags"] == ["v1", "v2"]
    assert detail["imagePushedAt"] == moment(clock.now - DAY)


def test_batch_get_image_records_one_pull_an_hour(account: Account, clock: Clock) -> None:
    name = account.create()
    account.push(name, "v1")
    times = []
    for pause in (DAY, HOUR / 2, HOUR):
        clock.advance(pause)
        account.ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])
        (detail,) = account.ecr.describe_images(repositoryName=name)["imageDetails"]
        times.append(detail["lastRecordedPullTime"])

    begun = clock.now - HOUR * 3 / 2
    assert times == [moment(begun), moment(begun), moment(clock.now)]


def test_update_image_storage_class_tells_when(account: Account, clock: Clock) -> None:
    name = account.create()
    image_id = {"imageDigest": account.push(name).digest}
    archived = {"repositoryName": name, "imageId": image_id, "targetStorageClass": "ARCHIVE"}
    account.call("UpdateImageStorageClass", **archived)
    clock.advance(DAY)
    account.call("UpdateImageStorageClass", **archived | {"targetStorageClass": "STANDARD"})
    (restoring,) = account.ecr.describe_images(
        repositoryName=name, filter={"imageStatus": "ACTIVATING"}
    )["imageDetails"]
    clock.advance(account.door.bench.core.limits.activation)

    (restored,) = account.ecr.describe_images(repositoryName=name)["imageDetails"]

    assert restoring["imageStatus"] == "ACTIVATING"
    assert "lastActivatedAt" not in restoring
    assert restored["imageStatus"] == "ACTIVE"
    assert restored["lastActivatedAt"] == moment(clock.now)
    assert restored["lastArchivedAt"] == restoring["lastArchivedAt"] == moment(clock.now - DAY - 1)


def test_update_repository_creation_template_tells_when(account: Account, clock: Clock) -> None:
    ecr = account.ecr
    created = ecr.create_repository_creation_template(prefix="p", appliedFor=["CREATE_ON_PUSH"])
    clock.advance(DAY)

    updated = ecr.update_repository_creation_template(prefix="p", description="Later")

    before, after = created["repositoryCreationTemplate"], updated["repositoryCreationTemplate"]
    assert before["createdAt"] == before["updatedAt"] == after["createdAt"]
    assert after["updatedAt"] == moment(clock.now)


def test_register_pull_time_update_exclusion_tells_when(account: Account, clock: Clock) -> None:
    answer = account.ecr.register_pull_time_update_exclusion(
        principalArn=f"arn:aws:iam::{account.id}:user/robot"
    )

    assert answer["createdAt"] == moment(clock.now)


def test_get_lifecycle_policy_tells_when_it_was_evaluated(account: Account, clock: Clock) -> None:
    name = account.create()
    account.ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=FIRST)
    before = account.ecr.get_lifecycle_policy(repositoryName=name)["lastEvaluatedAt"]
    clock.advance(HOUR + 1)
    run_lifecycle_policies(account.door.bench.core)

    after = account.ecr.get_lifecycle_policy(repositoryName=name)["lastEvaluatedAt"]

    assert (before, after) == (moment(0), moment(clock.now))


@pytest.mark.parametrize(
    ("age", "status"),
    [pytest.param(DAY, "COMPLETE", id="a-day"), pytest.param(DAY + 1, "EXPIRED", id="longer")],
)
def test_get_lifecycle_policy_preview_expires(
    account: Account, clock: Clock, age: float, status: str
) -> None:
    name = account.create()
    account.ecr.start_lifecycle_policy_preview(repositoryName=name, lifecyclePolicyText=FIRST)
    clock.advance(age)

    answer = account.ecr.get_lifecycle_policy_preview(repositoryName=name)

    assert answer["status"] == status
    assert ("previewResults" in answer) == (status == "COMPLETE")
