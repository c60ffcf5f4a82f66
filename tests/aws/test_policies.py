"""Repository and registry policies, principals and STS, through boto3 on a server of their own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.images import make_image
from tests.support.policies import PULLING, allow, deny, open_to_all, policy
from tests.support.server import ACCOUNT, REGION, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

OTHER = "222222222222"


@dataclass(frozen=True)
class Office:
    """A server with `ecrate iam` at hand."""

    server: Server

    def iam(self, *words: str) -> Any:
        """Run the command; what it prints, read."""
        done = self.server.iam(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    def user(self, name: str, *statements: dict[str, Any], account: str = ACCOUNT) -> Any:
        """Make a user with a key, and with a policy of these statements."""
        made = self.iam("--account", account, "create-user", name)
        if statements:
            self.iam("put-user-policy", made["arn"], "own", policy(*statements))
        return self.iam("create-access-key", made["arn"]) | made

    def client(self, service: str, key: Any, **more: str) -> Any:
        return boto3.session.Session().client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=self.server.endpoint,
            aws_access_key_id=key["id"],
            aws_secret_access_key=key["secret"],
            **more,
        )


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(
            Path(folder) / "data", "--workers", "2", env={"ECRATE_ANONYMOUS_PULL": "true"}
        ) as running,
    ):
        yield Office(running)


@pytest.fixture(scope="module")
def root(office: Office) -> ECRClient:
    return office.server.ecr()


@pytest.fixture
def app(root: ECRClient, request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    name = "app/" + request.node.name.partition("[")[0].lower()[-60:].strip("_")
    root.create_repository(repositoryName=name)
    return str(name)


def code_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_user_without_a_policy_may_nothing(office: Office, app: str) -> None:
    ecr = office.client("ecr", office.user("nobody"))

    answers = [
        code_of(lambda name=name: ecr.describe_images(repositoryName=name))  # type: ignore[misc]
        for name in (app, "no/such")
    ]

    assert answers == [
        (
            "AccessDeniedException",
            (
                f"User: arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: "
                f"ecr:DescribeImages on resource: arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name} "
                "because no identity-based policy allows the ecr:DescribeImages action"
            ),
        )
        for name in (app, "no/such")
    ]


def test_user_is_not_called_root(office: Office) -> None:
    made = office.server.iam("create-user", "root")

    assert (made.returncode, made.stdout) == (1, "")
    assert "root is the name of the account's root" in made.stderr


def test_denial_in_a_repository_does_not_tell_that_it_is_there(
    office: Office, root: ECRClient, app: str
) -> None:
    root.set_repository_policy(
        repositoryName=app, policyText=policy(deny("ecr:DescribeImages", Principal="*"))
    )
    stranger = office.user("curious", allow("ecr:*", Resource="*"), account=OTHER)
    callers = [
        office.client("ecr", office.user("blind")),
        office.client("ecr", office.user("sighted", allow("ecr:*", Resource="*"))),
        office.client("ecr", stranger),
    ]

    blind, sighted, other = (
        [code_of(describing(ecr, name)) for name in (app, "no/such")] for ecr in callers
    )

    assert blind[0] == (blind[1][0], blind[1][1].replace("no/such", app))
    assert other[0] == (other[1][0], other[1][1].replace("no/such", app))
    assert [code for code, _ in sighted] == ["AccessDeniedException", "RepositoryNotFoundException"]
    assert sighted[0][1].endswith("with an explicit deny in a resource-based policy")


def describing(ecr: ECRClient, name: str) -> Callable[[], object]:
    return lambda: ecr.describe_images(repositoryName=name, registryId=ACCOUNT)


def test_rights_come_and_go_with_the_next_request(office: Office, app: str) -> None:
    key = office.user("temp")
    ecr = office.client("ecr", key)
    before = code_of(lambda: ecr.list_images(repositoryName=app))[0]
    office.iam("put-user-policy", "temp", "p", policy(allow("ecr:ListImages", Resource="*")))
    between = ecr.list_images(repositoryName=app)["imageIds"]
    office.iam("deactivate", key["id"])

    after = code_of(lambda: ecr.list_images(repositoryName=app))[0]

    assert (before, between, after) == ("AccessDeniedException", [], "UnrecognizedClientException")


def test_token_of_a_deactivated_key_is_refused_at_the_registry_door(office: Office) -> None:
    key = office.user("pusher", allow("ecr:*", Resource="*"))
    ecr = office.client("ecr", key)
    data = ecr.get_authorization_token()["authorizationData"][0]
    headers = {"Authorization": f"Basic {data['authorizationToken']}"}
    before = httpx.get(f"{office.server.endpoint}/v2/", headers=headers).status_code
    office.iam("deactivate", key["id"])

    after = httpx.get(f"{office.server.endpoint}/v2/", headers=headers).status_code

    assert (before, after) == (200, 401)


def test_registry_door_denies_with_the_same_text(office: Office, app: str) -> None:
    key = office.user("reader", allow(*PULLING, Resource="*"))
    auth = (key["id"], key["secret"])

    answer = httpx.post(f"{office.server.endpoint}/v2/{app}/blobs/uploads/", auth=auth)

    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"]) == (403, "DENIED")
    assert error["message"] == (
        f"User: arn:aws:iam::{ACCOUNT}:user/reader is not authorized to perform: "
        f"ecr:InitiateLayerUpload on resource: arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{app} "
        "because no identity-based policy allows the ecr:InitiateLayerUpload action"
    )


def test_repository_policy_is_kept_given_and_removed(root: ECRClient, app: str) -> None:
    text = policy(allow("ecr:*", Principal="*"))

    put = root.set_repository_policy(repositoryName=app, policyText=text)
    got = root.get_repository_policy(repositoryName=app)
    removed = root.delete_repository_policy(repositoryName=app)

    assert put["policyText"] == got["policyText"] == removed["policyText"] == text
    assert code_of(lambda: root.get_repository_policy(repositoryName=app)) == (
        "RepositoryPolicyNotFoundException",
        (
            f"Repository policy does not exist for the repository with name '{app}' in the "
            f"registry with id '{ACCOUNT}'"
        ),
    )


def test_repository_policy_that_is_none_is_refused(root: ECRClient, app: str) -> None:
    answer = code_of(lambda: root.set_repository_policy(repositoryName=app, policyText="{}"))

    assert answer == (
        "InvalidParameterException",
        (
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository "
            "policy provided'"
        ),
    )


def test_repository_policy_that_locks_its_writer_out_needs_force(root: ECRClient, app: str) -> None:
    text = policy(deny("ecr:SetRepositoryPolicy", Principal="*"))

    refused = code_of(lambda: root.set_repository_policy(repositoryName=app, policyText=text))
    root.set_repository_policy(repositoryName=app, policyText=text, force=True)

    locked = code_of(lambda: root.set_repository_policy(repositoryName=app, policyText=text))
    assert (refused[0], locked[0]) == ("InvalidParameterException", "AccessDeniedException")


def test_registry_policy_denies_in_every_repository(office: Office, app: str) -> None:
    key = office.iam("create-account", "333333333333")
    ecr = office.client("ecr", key)
    ecr.create_repository(repositoryName=app)
    text = policy(deny("ecr:DescribeImages", Principal="*", Resource="*"))
    put = ecr.put_registry_policy(policyText=text)

    denied = code_of(lambda: ecr.describe_images(repositoryName=app))
    got = ecr.get_registry_policy()["policyText"]
    removed = ecr.delete_registry_policy()["policyText"]

    assert "with an explicit deny in a resource-based policy" in denied[1]
    assert put["policyText"] == got == removed == text
    assert ecr.describe_images(repositoryName=app)["imageDetails"] == []
    assert code_of(ecr.get_registry_policy)[0] == "RegistryPolicyNotFoundException"


def test_another_account_is_let_in_by_both_sides_only(office: Office, app: str) -> None:
    office.iam("create-account", OTHER)
    guest = office.user("guest", allow("ecr:*", Resource="*"), account=OTHER)
    ecr = office.client("ecr", guest)

    def look(name: str) -> object:
        return ecr.list_images(repositoryName=name, registryId=ACCOUNT)

    closed = [code_of(lambda name=name: look(name))[0] for name in (app, "no/such")]  # type: ignore[misc]
    text = policy(allow("ecr:ListImages", Principal={"AWS": OTHER}))
    office.server.ecr().set_repository_policy(repositoryName=app, policyText=text)

    opened = ecr.list_images(repositoryName=app, registryId=ACCOUNT)["imageIds"]

    assert closed == ["RepositoryNotFoundException"] * 2
    assert opened == []


def test_accounts_of_one_server_do_not_see_each_other(office: Office, app: str) -> None:
    key = office.iam("create-account", "444444444444")
    ecr = office.client("ecr", key)

    ecr.create_repository(repositoryName=app)

    mine = ecr.describe_repositories()["repositories"]
    assert [one["registryId"] for one in mine] == ["444444444444"]
    assert mine[0]["repositoryUri"].startswith(office.server.host)


def test_nameless_pulls_what_is_open_to_all(office: Office, root: ECRClient, app: str) -> None:
    image = make_image(1000)
    with office.server.http() as http:
        for blob in image.blobs:
            where = f"/v2/{app}/blobs/uploads/?digest={blob.digest}"
            assert http.post(where, content=blob.content).status_code == 201
        http.put(f"/v2/{app}/manifests/v1", content=image.manifest)
    url = f"{office.server.endpoint}/v2/{app}/manifests/v1"
    token = httpx.get(f"{office.server.endpoint}/v2/token").json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    closed = httpx.get(url, headers=headers)

    open_to_all(root, app)

    opened = httpx.get(url, headers=headers)
    assert (closed.status_code, opened.status_code) == (401, 200)
    assert opened.text == image.manifest


def test_caller_identity_is_the_callers(office: Office) -> None:
    key = office.user("who")

    answer = office.client("sts", key).get_caller_identity()

    assert answer["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/who"
    assert answer["Account"] == ACCOUNT


def credentials(answer: Any) -> tuple[dict[str, str], str]:
    found = answer["Credentials"]
    return {"id": found["AccessKeyId"], "secret": found["SecretAccessKey"]}, found["SessionToken"]


def test_session_token_acts_for_its_user_and_ends_with_its_key(office: Office, app: str) -> None:
    key = office.user("sessions", allow("ecr:ListImages", Resource="*"))
    session, token = credentials(office.client("sts", key).get_session_token())
    ecr = office.client("ecr", session, aws_session_token=token)
    before = ecr.list_images(repositoryName=app)["imageIds"]
    office.iam("deactivate", key["id"])

    after = code_of(lambda: ecr.list_images(repositoryName=app))[0]

    assert (before, after) == ([], "UnrecognizedClientException")


def test_role_is_assumed_by_whom_it_trusts(office: Office, app: str) -> None:
    key = office.user("deployer")
    arn = f"arn:aws:iam::{ACCOUNT}:role/deploy"
    trust = policy(allow("sts:AssumeRole", Principal={"AWS": key["arn"]}))
    office.iam("create-role", "deploy", "--trust-policy", trust)
    office.iam("put-role-policy", arn, "own", policy(allow("ecr:*", Resource="*")))
    sts = office.client("sts", key)
    narrow = policy(allow("ecr:ListImages", Resource="*"))

    answer = sts.assume_role(RoleArn=arn, RoleSessionName="run-1", Policy=narrow)

    session, token = credentials(answer)
    ecr = office.client("ecr", session, aws_session_token=token)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/run-1"
    assert ecr.list_images(repositoryName=app)["imageIds"] == []
    denied = code_of(lambda: ecr.describe_images(repositoryName=app))
    assert "because no session policy allows the ecr:DescribeImages action" in denied[1]


@pytest.mark.parametrize("role", ["closed", "no-such-role"])
def test_role_is_not_assumed_by_others(office: Office, role: str) -> None:
    trust = policy(allow("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/x"}))
    office.iam("create-role", f"closed-{role}", "--trust-policy", trust)
    key = office.user(f"outsider-{role}", allow("sts:AssumeRole", Resource="*"))
    arn = f"arn:aws:iam::{ACCOUNT}:role/" + role.replace("closed", "closed-closed")

    answer = code_of(
        lambda: office.client("sts", key).assume_role(RoleArn=arn, RoleSessionName="run")
    )

    assert answer[0] == "AccessDenied"


def test_forged_session_token_is_refused(office: Office) -> None:
    key = office.user("forger")
    session, token = credentials(office.client("sts", key).get_session_token())

    answers = [
        code_of(office.client("ecr", one, aws_session_token=text).get_authorization_token)[0]
        for one, text in ((key, token), (session, token[:-1]), (session, f"{token}x"))
    ]

    assert answers == ["UnrecognizedClientException"] * 3


def test_iam_rotates_lists_and_explains(office: Office, app: str) -> None:
    key = office.user("rotating", allow("ecr:Get*", Resource="*"))

    new = office.iam("rotate", key["id"])
    listed = next(one for one in office.iam("list") if one["arn"] == key["arn"])
    explained = office.iam("simulate", "rotating", "ecr:PutImage", app)

    assert [(one["id"], one["active"]) for one in listed["keys"]] == [
        (key["id"], False),
        (new["id"], True),
    ]
    assert listed["policies"] == ["own"]
    assert explained == {
        "decision": "denied",
        "by": "nothing that applies",
        "reason": "because no identity-based policy allows the ecr:PutImage action",
    }
