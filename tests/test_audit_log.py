"""The audit log of a running server: what stands in it, from both doors and the command line."""

from __future__ import annotations

import base64
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from ecrate.aws.model import service_model
from ecrate.aws.table import OPERATIONS as AWS_OPERATIONS
from ecrate.oci.front import HANDLERS
from ecrate.oci.operations import OPERATIONS
from ecrate.operations.audit import changes_something
from tests.support.images import digest_of, make_image
from tests.support.lifecycle import policy, rule
from tests.support.policies import allow
from tests.support.policies import policy as iam_policy
from tests.support.registry import push_blob, push_image, start_upload, token_of, wait_until
from tests.support.server import ACCOUNT, REGION, SESSION, running_server
from tests.support.signing import call
from tests.support.watched import Watched

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

# The operations of ECR's that change something.
CHANGES = """
    BatchDeleteImage CompleteLayerUpload CreatePullThroughCacheRule CreateRepository
    CreateRepositoryCreationTemplate DeleteLifecyclePolicy DeletePullThroughCacheRule
    DeleteRegistryPolicy DeleteRepository DeleteRepositoryCreationTemplate DeleteRepositoryPolicy
    DeleteSigningConfiguration DeregisterPullTimeUpdateExclusion InitiateLayerUpload
    PutAccountSetting PutImage PutImageScanningConfiguration PutImageTagMutability
    PutLifecyclePolicy PutRegistryPolicy PutRegistryScanningConfiguration
    PutReplicationConfiguration PutSigningConfiguration RegisterPullTimeUpdateExclusion
    SetRepositoryPolicy StartImageScan StartLifecyclePolicyPreview StartReplicationBackfill
    StopReplicationBackfill TagResource UntagResource UpdateImageStorageClass
    UpdatePullThroughCacheRule UpdateRepositoryCreationTemplate UploadLayerPart
"""
CONTENT = b"the bytes of a layer"
DIGEST = digest_of(CONTENT)
UNKNOWN = "sha256:" + "0" * 64
ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/app"


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log" / "audit.log"
        path.parent.mkdir()
        settings = {
            "ECRATE_AUDIT_LOG": str(path),
            "ECRATE_RATE_LIMITS": "UploadLayerPart=20,PutImage=100000,InitiateLayerUpload=100000",
            "ECRATE_COLLECT_EVERY": "0.1",
            "ECRATE_LIFECYCLE_EVERY": "0.1",
        }
        data = Path(folder) / "data"
        with running_server(data, "--workers", "2", env=settings) as running:
            running.ecr().create_repository(repositoryName="app")
            yield Watched(running, path)


@pytest.fixture
def ecr(watched: Watched) -> ECRClient:
    return watched.server.ecr()


@pytest.fixture
def http(watched: Watched) -> Iterator[httpx.Client]:
    with watched.server.http() as client:
        client.headers["User-Agent"] = "docker/28"
        yield client


def test_operations_that_change_something_are_known() -> None:
    found = {name for name in service_model().operations if changes_something(name)}

    assert found == set(CHANGES.split())


def test_requests_at_the_registry_door_have_a_name() -> None:
    without = {("base", "GET"), ("base", "HEAD"), ("upload", "GET")}

    assert OPERATIONS.keys() == HANDLERS.keys() - without


@pytest.mark.parametrize("name", sorted(AWS_OPERATIONS))
def test_call_is_recorded_if_it_changes_something(watched: Watched, name: str) -> None:
    """Each is called without its members, and so refused by all but a few that need none."""
    events = watched.recorded(lambda: call(watched.server, name))

    expected = [name] if name in CHANGES.split() else []
    assert [event["eventName"] for event in events] == expected


def test_call_is_recorded_with_parameters_and_answer(watched: Watched, ecr: ECRClient) -> None:
    answers: list[Any] = []

    (event,) = watched.recorded(
        lambda: answers.append(
            ecr.put_image_tag_mutability(repositoryName="app", imageTagMutability="MUTABLE")
        )
    )

    assert event["requestID"] == answers[0]["ResponseMetadata"]["RequestId"]
    assert event["userAgent"].startswith("Boto3/")
    assert event["sourceIPAddress"] == "127.0.0.1"
    assert event["requestParameters"] == {"repositoryName": "app", "imageTagMutability": "MUTABLE"}
    assert event["responseElements"] == {
        "registryId": ACCOUNT,
        "repositoryName": "app",
        "imageTagMutability": "MUTABLE",
    }
    assert event["resources"] == [{"ARN": ARN, "accountId": ACCOUNT}]
    assert "errorCode" not in event
    assert event["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_refused_call_is_recorded_with_its_error(watched: Watched, ecr: ECRClient) -> None:
    caught: list[ClientError] = []

    def create() -> None:
        with pytest.raises(ClientError) as info:
            ecr.create_repository(repositoryName="app")
        caught.append(info.value)

    (event,) = watched.recorded(create)

    answer = caught[0].response
    assert event["errorCode"] == answer["Error"]["Code"] == "RepositoryAlreadyExistsException"
    assert event["errorMessage"] == answer["Error"]["Message"]
    assert event["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert event["requestParameters"] == {"repositoryName": "app"}
    assert event["responseElements"] is None


def test_call_that_cannot_be_read_is_recorded(watched: Watched) -> None:
    (event,) = watched.recorded(lambda: call(watched.server, "CreateRepository", b"["))

    assert event["eventName"] == "CreateRepository"
    assert event["errorCode"] == "SerializationException"
    assert event["requestParameters"] is None


def test_call_on_an_arn_is_recorded_with_it(watched: Watched, ecr: ECRClient) -> None:
    tags = [{"Key": "team", "Value": "core"}]

    (event,) = watched.recorded(lambda: ecr.tag_resource(resourceArn=ARN, tags=tags))  # type: ignore[arg-type]

    assert event["resources"] == [{"ARN": ARN, "accountId": ACCOUNT}]
    assert event["requestParameters"] == {"resourceArn": ARN, "tags": tags}


def test_bytes_of_layers_and_manifests_are_left_out(watched: Watched) -> None:
    ecr, image = watched.server.ecr(region="bulk"), make_image()

    def push() -> None:
        ecr.create_repository(repositoryName="app")
        upload_id = ecr.initiate_layer_upload(repositoryName="app")["uploadId"]
        ecr.upload_layer_part(
            repositoryName="app",
            uploadId=upload_id,
            partFirstByte=0,
            partLastByte=len(CONTENT) - 1,
            layerPartBlob=CONTENT,
        )
        with pytest.raises(ClientError, match="LayersNotFound"):
            ecr.put_image(repositoryName="app", imageManifest=image.manifest, imageTag="v1")

    _, _, part, put = watched.recorded(push)

    assert part["requestParameters"]["layerPartBlob"] == "(left out)"
    assert part["responseElements"]["lastByteReceived"] == len(CONTENT) - 1
    assert put["requestParameters"]["imageManifest"] == "(left out)"
    assert put["requestParameters"]["imageTag"] == "v1"
    text = watched.path.read_text()
    assert base64.b64encode(CONTENT).decode() not in text
    assert image.config.digest not in json.dumps(put["requestParameters"])


def test_push_and_deletion_at_the_registry_door_are_recorded(
    watched: Watched, http: httpx.Client
) -> None:
    image = make_image()

    def work() -> None:
        push_image(http, "app", image, "v1")
        http.delete("/v2/app/manifests/v1")
        http.delete(start_upload(http, "app"))
        http.delete(f"/v2/app/blobs/{push_blob(http, 'app', CONTENT)}")

    events = watched.recorded(work)

    upload = {"name": "InitiateLayerUpload"}, {"name": "CompleteLayerUpload"}
    assert [event["eventName"] for event in events] == [
        *(one["name"] for one in upload * 2),
        "PutImage",
        "BatchDeleteImage",
        "InitiateLayerUpload",
        "CancelLayerUpload",
        "InitiateLayerUpload",
        "CompleteLayerUpload",
        "DeleteLayer",
    ]
    assert {event["userAgent"] for event in events} == {"docker/28"}
    assert all(event["resources"] == [{"ARN": ARN, "accountId": ACCOUNT}] for event in events)
    begun, completed, put = events[0], events[1], events[4]
    upload_id = begun["responseElements"]["uploadId"]
    assert completed["requestParameters"] == {
        "repositoryName": "app",
        "uploadId": upload_id,
        "query": {"digest": [image.config.digest]},
    }
    assert completed["responseElements"] == {"layerDigest": image.config.digest}
    assert put["requestParameters"] == {"repositoryName": "app", "imageTag": "v1"}
    assert put["responseElements"] == {"imageDigest": image.digest}
    assert events[-1]["requestParameters"]["layerDigest"] == DIGEST


REFUSALS: list[tuple[str, str, str, dict[str, object]]] = [
    ("DELETE", "none/manifests/v1", "RepositoryNotFoundException", {"imageTag": "v1"}),
    ("PUT", "app/manifests/v1", "InvalidParameterException", {"imageTag": "v1"}),
    ("PUT", "app/manifests/:v1", "DIGEST_INVALID", {"imageDigest": ":v1"}),
    ("DELETE", "app/manifests/v9", "ImageNotFoundException", {"imageTag": "v9"}),
    ("DELETE", f"app/blobs/{UNKNOWN}", "LayerNotFoundException", {"layerDigest": UNKNOWN}),
    ("DELETE", "app/blobs/uploads/x", "UploadNotFoundException", {"uploadId": "x"}),
    ("POST", "none/blobs/uploads/?mount=x", "DIGEST_INVALID", {"query": {"mount": ["x"]}}),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda row: f"{row[0]}-{row[2]}")
def test_refusal_at_the_registry_door_is_recorded(
    watched: Watched, http: httpx.Client, refusal: tuple[str, str, str, dict[str, object]]
) -> None:
    method, path, code, parameters = refusal
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(http.request(method, f"/v2/{path}", content=b"?"))

    (event,) = watched.recorded(ask)

    assert event["errorCode"] == code
    assert event["requestID"] == answers[0].headers["X-Request-Id"]
    assert event["responseElements"] is None
    repository = path.partition("/")[0]
    assert event["requestParameters"] == {"repositoryName": repository, **parameters}


def test_throttled_call_is_recorded(watched: Watched, http: httpx.Client) -> None:
    def work() -> None:
        location = start_upload(http, "app")
        while http.patch(location, content=b"x").status_code != 429:
            pass

    event = watched.recorded(work)[-1]

    assert (event["eventName"], event["errorCode"], event["errorMessage"]) == (
        "UploadLayerPart",
        "RateExceededException",
        "Rate exceeded",
    )


def test_what_changes_nothing_is_not_recorded(
    watched: Watched, ecr: ECRClient, http: httpx.Client
) -> None:
    push_image(http, "app", make_image(), "read")

    def read() -> None:
        token_of(watched.server)
        ecr.describe_images(repositoryName="app")
        ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "read"}])
        for path in ("", "_catalog", "app/tags/list", "app/manifests/read", f"app/blobs/{DIGEST}"):
            http.get(f"/v2/{path}")
            http.head(f"/v2/{path}")
        location = start_upload(http, "app")
        http.get(location)
        http.get("/v2/no/such/route")
        httpx.put(f"{watched.server.endpoint}/v2/app/manifests/v1", content=b"{}")  # nobody's
        with pytest.raises(ClientError):
            dataclasses.replace(watched.server, secret="wrong").ecr().delete_repository(
                repositoryName="app"
            )

    events = watched.recorded(read)

    assert [event["eventName"] for event in events] == ["InitiateLayerUpload"]


def test_denied_user_is_recorded_at_both_doors(watched: Watched) -> None:
    watched.iam("create-user", "eve")
    key = watched.iam("create-access-key", "eve")
    eve = dataclasses.replace(watched.server, key_id=key["id"], secret=key["secret"])

    def ask() -> None:
        with eve.http() as http:
            http.post("/v2/app/blobs/uploads/")
        with pytest.raises(ClientError):
            eve.ecr().initiate_layer_upload(repositoryName="app")

    events = watched.recorded(ask)

    assert [event["errorCode"] for event in events] == ["AccessDeniedException"] * 2
    denial = (
        f"User: arn:aws:iam::{ACCOUNT}:user/eve is not authorized to perform: "
        f"ecr:InitiateLayerUpload on resource: {ARN} because no identity-based policy allows the "
        "ecr:InitiateLayerUpload action"
    )
    assert [event["errorMessage"] for event in events] == [denial] * 2
    assert [event["userIdentity"]["userName"] for event in events] == ["eve"] * 2


def test_session_is_recorded_with_its_role(watched: Watched) -> None:
    root = f"arn:aws:iam::{ACCOUNT}:root"
    trust = iam_policy(allow("sts:AssumeRole", Principal={"AWS": root}))
    role = watched.iam("create-role", "ci", "--trust-policy", trust)["arn"]
    watched.iam("put-role-policy", "role/ci", "all", iam_policy(allow("ecr:*", Resource="*")))
    sts = SESSION.client(
        "sts",
        region_name=REGION,
        endpoint_url=watched.server.endpoint,
        aws_access_key_id=watched.server.key_id,
        aws_secret_access_key=watched.server.secret,
    )
    made = sts.assume_role(RoleArn=role, RoleSessionName="run-1")["Credentials"]
    session = SESSION.client(
        "ecr",
        region_name=REGION,
        endpoint_url=watched.server.endpoint,
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )

    (event,) = watched.recorded(lambda: session.initiate_layer_upload(repositoryName="app"))

    identity = event["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-1"
    assert identity["accessKeyId"] == made["AccessKeyId"]
    assert identity["sessionContext"]["sessionIssuer"]["arn"] == role
    text = watched.path.read_text()
    assert made["SecretAccessKey"] not in text
    assert made["SessionToken"] not in text


def test_command_line_is_recorded_without_secrets(watched: Watched) -> None:
    everything = iam_policy(allow("ecr:*", Resource="*"))
    said: list[Any] = []

    def manage() -> None:
        said.append(watched.iam("create-user", "bob"))
        said.append(watched.iam("create-access-key", "bob"))
        watched.iam("put-user-policy", "bob", "all", everything)
        watched.iam("list")
        said.append(watched.iam("rotate", said[1]["id"]))
        watched.iam("delete", "nobody")
        watched.iam("--account", "555555555555", "create-account", "555555555555")

    events = watched.recorded(manage)

    assert [event["eventName"] for event in events] == [
        "CreateUser",
        "CreateAccessKey",
        "PutUserPolicy",
        "RotateAccessKey",
        "DeletePrincipal",
        "CreateAccount",
    ]
    assert {event["eventSource"] for event in events} == {"iam.amazonaws.com"}
    assert {event["userIdentity"]["type"] for event in events} == {"Operator"}
    assert events[1]["responseElements"] == {"id": said[1]["id"]}
    assert events[2]["requestParameters"] == {
        "principal": "bob",
        "name": "all",
        "document": everything,
    }
    assert events[4]["errorCode"] == "PrincipalNotFoundException"
    assert events[5]["recipientAccountId"] == "555555555555"
    text = watched.path.read_text()
    assert said[1]["secret"] not in text
    assert said[2]["secret"] not in text


def test_commands_on_repositories_are_recorded(watched: Watched, ecr: ECRClient) -> None:
    ecr.create_repository(repositoryName="kept")
    watched.run("lock", "kept")
    watched.run("unlock", "kept")
    ecr.delete_repository(repositoryName="kept")
    digest = "sha256:" + "0" * 64

    def manage() -> None:
        watched.run("trash", "list")
        watched.run("trash", "restore", "kept", "--as", "again")
        watched.run("lock", "again")
        watched.run("lock")
        watched.run("unlock", "again")
        watched.run("gc", "status")
        watched.run("gc", "explain", digest)
        watched.run("gc", "restore", digest, "--repository", "again")
        watched.run("trash", "empty", "--all")

    events = watched.recorded(manage)

    assert [(event["eventName"], event["userAgent"]) for event in events] == [
        ("RestoreFromTrash", "ecrate trash"),
        ("LockRepository", "ecrate lock"),
        ("UnlockRepository", "ecrate unlock"),
        ("RestoreLayer", "ecrate gc"),
        ("EmptyTrash", "ecrate trash"),
    ]
    assert {event["eventSource"] for event in events} == {"ecr.amazonaws.com"}
    assert events[0]["requestParameters"].items() >= {"item": "kept", "name": "again"}.items()
    assert events[0]["responseElements"]["repository"] == "again"
    assert events[3]["errorCode"] == "GarbageNotFoundException"


def test_no_secret_stands_in_the_log(watched: Watched, http: httpx.Client) -> None:
    password = token_of(watched.server)
    login = "Basic " + base64.b64encode(f"AWS:{password}".encode()).decode()
    http.post("/v2/app/blobs/uploads/", headers={"Authorization": login})

    text = watched.path.read_text()

    for secret in (watched.server.secret, password, login.partition(" ")[2]):
        assert secret not in text


def test_lifecycle_expiry_is_recorded(watched: Watched) -> None:
    server = watched.server
    ecr = server.ecr(region="expiry")
    ecr.create_repository(repositoryName="old")
    host = {"Host": f"{ACCOUNT}.dkr.ecr.expiry.localhost:{server.port}"}
    images = [make_image(), make_image()]
    with server.http() as http:
        http.headers.update(host)
        for image in images:
            push_image(http, "old", image, "v1" if image is images[0] else "v2")

    ecr.put_lifecycle_policy(repositoryName="old", lifecyclePolicyText=policy(rule(1)))
    wait_until(lambda: len(ecr.list_images(repositoryName="old")["imageIds"]) == 1)
    wait_until(lambda: watched.events()[-1]["eventName"] == "PolicyExecutionEvent")

    event = watched.events()[-1]
    (action,) = event["serviceEventDetails"]["lifecycleEventImageActions"]
    assert action["lifecycleEventImage"]["digest"] == images[0].digest
    assert action["lifecycleEventImage"]["tagList"] == ["v1"]
    assert event["awsRegion"] == "expiry"


def test_agent_that_is_no_text_leaves_a_line(watched: Watched, http: httpx.Client) -> None:
    headers = [(b"User-Agent", b"\xff\xe2\x80\xa8")]

    (event,) = watched.recorded(lambda: http.post("/v2/app/blobs/uploads/", headers=headers))

    assert event["userAgent"] == "?\u2028"
