"""DescribeRegistry, account settings, pull time update exclusions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.images import make_image
from tests.support.policies import allow, policy
from tests.support.principals import assume_role, iam, make_user
from tests.support.pushing import push_image
from tests.support.server import ACCOUNT, REGION, SESSION, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

USER = f"arn:aws:iam::{ACCOUNT}:user"
_NUMBERS = itertools.count(1)
PULL_ALL = policy(allow("ecr:*", Resource="*"))


@pytest.fixture
def place(server: Server) -> ECRClient:
    """A client of a registry that no other test uses."""
    return server.ecr(region=f"registry-{next(_NUMBERS)}")


def test_describe_registry_shows_no_rules_at_first(place: ECRClient) -> None:
    answer = place.describe_registry()

    assert answer["registryId"] == ACCOUNT
    assert answer["replicationConfiguration"] == {"rules": []}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE", id="scans"),
        pytest.param("BLOB_MOUNTING", "ENABLED", id="mounts"),
        pytest.param("REGISTRY_POLICY_SCOPE", "V2", id="policies"),
    ],
)
def test_get_account_setting_gives_what_holds_at_first(
    place: ECRClient, name: Any, value: str
) -> None:
    answer = place.get_account_setting(name=name)

    assert (answer["name"], answer["value"]) == (name, value)


@pytest.mark.parametrize("value", ["DISABLED", "ENABLED"])
def test_put_account_setting_is_remembered(place: ECRClient, value: str) -> None:
    place.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")

    answer = place.put_account_setting(name="BLOB_MOUNTING", value=value)

    assert (answer["name"], answer["value"]) == ("BLOB_MOUNTING", value)
    assert place.get_account_setting(name="BLOB_MOUNTING")["value"] == value


def test_put_account_setting_holds_in_its_region_only(place: ECRClient, ecr: ECRClient) -> None:
    place.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")

    assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"


@pytest.mark.parametrize(
    ("name", "value", "constraint"),
    [
        pytest.param(
            "COLOUR",
            "RED",
            "'name' failed to satisfy constraint: 'Member must satisfy enum value set: "
            "[BASIC_SCAN_TYPE_VERSION, BLOB_MOUNTING, REGISTRY_POLICY_SCOPE]'",
            id="name",
        ),
        pytest.param(
            "BASIC_SCAN_TYPE_VERSION",
            "CLAIR",
            "'value' failed to satisfy constraint: 'Member must satisfy enum value set: "
            "[AWS_NATIVE]'",
            id="retired-scanner",
        ),
        pytest.param(
            "BLOB_MOUNTING",
            "enabled",
            "'value' failed to satisfy constraint: 'Member must satisfy enum value set: "
            "[DISABLED, ENABLED]'",
            id="lower-case",
        ),
        pytest.param(
            "REGISTRY_POLICY_SCOPE",
            "V1",
            "'value' failed to satisfy constraint: 'Member must satisfy enum value set: [V2]'",
            id="way-back",
        ),
    ],
)
def test_put_account_setting_refuses(
    place: ECRClient, name: str, value: str, constraint: str
) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException) as refused:
        place.put_account_setting(name=name, value=value)

    assert refused.value.response["Error"]["Message"] == f"Invalid parameter at {constraint}"


def test_get_account_setting_refuses_an_unknown_name(place: ECRClient) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException, match="enum value set"):
        place.get_account_setting(name="COLOUR")


def test_register_pull_time_update_exclusion_lists_the_principal(place: ECRClient) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    answer = place.register_pull_time_update_exclusion(principalArn=f"{USER}/path/scanner")

    assert answer["principalArn"] == f"{USER}/path/scanner"
    assert before <= answer["createdAt"] <= datetime.now(UTC)
    listed = place.list_pull_time_update_exclusions()
    assert listed["pullTimeUpdateExclusions"] == [f"{USER}/path/scanner"]
    assert "nextToken" not in listed


def test_register_pull_time_update_exclusion_refuses_one_that_is_there(place: ECRClient) -> None:
    place.register_pull_time_update_exclusion(principalArn=f"{USER}/u")

    with pytest.raises(place.exceptions.ExclusionAlreadyExistsException) as refused:
        place.register_pull_time_update_exclusion(principalArn=f"{USER}/u")

    assert refused.value.response["Error"]["Message"] == (
        f"Pull time update exclusion for principal '{USER}/u' already exists"
    )


def test_register_pull_time_update_exclusion_takes_a_hundred(place: ECRClient) -> None:
    for number in range(100):
        place.register_pull_time_update_exclusion(principalArn=f"{USER}/u{number:03}")

    with pytest.raises(place.exceptions.LimitExceededException, match="is '100'"):
        place.register_pull_time_update_exclusion(principalArn=f"{USER}/one-more")

    listed = place.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]
    assert listed == [f"{USER}/u{number:03}" for number in range(100)]


@pytest.mark.parametrize(
    "arn",
    [
        pytest.param("u", id="no-arn"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:root", id="root"),
        pytest.param(f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", id="session"),
        pytest.param(f"{USER}/{'u' * 200}", id="too-long"),
    ],
)
def test_register_pull_time_update_exclusion_refuses_other_arns(place: ECRClient, arn: str) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException, match="principalArn"):
        place.register_pull_time_update_exclusion(principalArn=arn)


def test_deregister_pull_time_update_exclusion_takes_it_away(place: ECRClient) -> None:
    for name in ("a", "b"):
        place.register_pull_time_update_exclusion(principalArn=f"{USER}/{name}")

    answer = place.deregister_pull_time_update_exclusion(principalArn=f"{USER}/a")

    assert answer["principalArn"] == f"{USER}/a"
    listed = place.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]
    assert listed == [f"{USER}/b"]


def test_deregister_pull_time_update_exclusion_needs_one(place: ECRClient) -> None:
    with pytest.raises(place.exceptions.ExclusionNotFoundException) as missing:
        place.deregister_pull_time_update_exclusion(principalArn=f"{USER}/a")

    assert missing.value.response["Error"]["Message"] == (
        f"Pull time update exclusion for principal '{USER}/a' does not exist"
    )


def pages_of(ecr: ECRClient, size: int) -> Iterator[list[str]]:
    """Give page after page of the exclusions; boto3 has no paginator for them."""
    more: Any = {}
    while True:
        page = ecr.list_pull_time_update_exclusions(maxResults=size, **more)
        yield page["pullTimeUpdateExclusions"]
        if "nextToken" not in page:
            return
        more = {"nextToken": page["nextToken"]}


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        pytest.param(1, [1, 1, 1], id="one"),
        pytest.param(2, [2, 1], id="two"),
        pytest.param(3, [3], id="all"),
        pytest.param(4, [3], id="more"),
    ],
)
def test_list_pull_time_update_exclusions_pages_give_everything_once(
    place: ECRClient, size: int, lengths: list[int]
) -> None:
    for name in "cab":
        place.register_pull_time_update_exclusion(principalArn=f"{USER}/{name}")

    pages = list(pages_of(place, size))

    assert [arn for page in pages for arn in page] == [f"{USER}/{name}" for name in "abc"]
    assert [len(page) for page in pages] == lengths


def test_list_pull_time_update_exclusions_refuses_a_token_made_up(place: ECRClient) -> None:
    with pytest.raises(place.exceptions.InvalidParameterException, match="Invalid token"):
        place.list_pull_time_update_exclusions(nextToken="made up")


def is_pull_recorded(ecr: ECRClient, puller: Any, repository: str) -> bool:
    """Push an image, pull it as `puller`, and tell whether that was noted."""
    image = make_image()
    push_image(ecr, repository, image)
    image_id: Any = {"imageDigest": image.digest}
    pulled = puller.batch_get_image(repositoryName=repository, imageIds=[image_id])
    assert pulled["failures"] == []
    (detail,) = ecr.describe_images(repositoryName=repository, imageIds=[image_id])["imageDetails"]
    return "lastRecordedPullTime" in detail


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with users scanner and person, and a role robot that root may take."""
    with running_server(tmp_path_factory.mktemp("exclusions") / "data") as running:
        running.ecr().create_repository(repositoryName="pulled")
        yield running


def test_pull_of_an_excluded_user_is_not_recorded(own_server: Server) -> None:
    ecr = own_server.ecr()
    scanner = make_user(own_server, "scanner", PULL_ALL).ecr()
    person = make_user(own_server, "person", PULL_ALL).ecr()
    ecr.register_pull_time_update_exclusion(principalArn=f"{USER}/scanner")

    recorded = [is_pull_recorded(ecr, one, "pulled") for one in (scanner, person, ecr)]

    assert recorded == [False, True, True]
    ecr.deregister_pull_time_update_exclusion(principalArn=f"{USER}/scanner")
    assert is_pull_recorded(ecr, scanner, "pulled")


def test_pull_of_an_excluded_user_through_the_registry_door_is_not_recorded(
    own_server: Server,
) -> None:
    ecr = own_server.ecr()
    image = make_image()
    push_image(ecr, "pulled", image)
    user = make_user(own_server, "docker", PULL_ALL)
    ecr.register_pull_time_update_exclusion(principalArn=f"{USER}/docker")

    with user.http() as http:
        pulled = http.get(f"/v2/pulled/manifests/{image.digest}")

    (detail,) = ecr.describe_images(
        repositoryName="pulled", imageIds=[{"imageDigest": image.digest}]
    )["imageDetails"]
    assert pulled.status_code == 200
    assert "lastRecordedPullTime" not in detail


def test_pull_of_an_excluded_roles_session_is_not_recorded(own_server: Server) -> None:
    ecr = own_server.ecr()
    trust = policy(allow("sts:AssumeRole", Principal={"AWS": "*"}))
    role_arn = iam(own_server, "create-role", "robot", "--trust-policy", trust)["arn"]
    iam(own_server, "put-role-policy", "role/robot", "only", PULL_ALL)
    credentials = assume_role(own_server, role_arn, "nightly")
    robot = SESSION.client(
        "ecr", region_name=REGION, endpoint_url=own_server.endpoint, **cast("Any", credentials)
    )

    was_recorded = is_pull_recorded(ecr, robot, "pulled")
    ecr.register_pull_time_update_exclusion(principalArn=role_arn)

    assert was_recorded
    assert not is_pull_recorded(ecr, robot, "pulled")
