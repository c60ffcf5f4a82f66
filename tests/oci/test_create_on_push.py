"""A push to a repository that does not exist makes it, where a template says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, digest_of, make_image
from tests.support.policies import allow, deny, policy
from tests.support.principals import make_user
from tests.support.registry import (
    error_of,
    index_of,
    push_blob,
    push_image,
    put_manifest,
    some_bytes,
)
from tests.support.server import ACCOUNT, REGION, Server, running_server
from tests.support.wire import Wire

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

PULL_BY_ALL = policy(allow("ecr:BatchGetImage", Principal="*"))
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "imageCountMoreThan",
                    "countNumber": 5,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
EMPTY_INDEX = index_of(OCI_INDEX, OCI_MANIFEST)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with templates for `made/...` on a push and `copied/...` on replication."""
    with running_server(tmp_path_factory.mktemp("templates") / "data") as running:
        ecr = running.ecr()
        make_template(ecr, "made")
        make_template(ecr, "copied", appliedFor=["REPLICATION", "PULL_THROUGH_CACHE"])
        yield running


@pytest.fixture(scope="module")
def owner(own_server: Server) -> ECRClient:
    return own_server.ecr()


@pytest.fixture
def docker(own_server: Server) -> Iterator[httpx.Client]:
    with own_server.http() as client:
        yield client


def make_template(ecr: ECRClient, prefix: str, **members: Any) -> None:
    given: Any = {"prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"], **members}
    ecr.create_repository_creation_template(**given)


def described(ecr: ECRClient, name: str) -> Any:
    (found,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    return found


def exists(ecr: ECRClient, name: str) -> bool:
    listed = ecr.get_paginator("describe_repositories").paginate().search("repositories[]")
    return name in [one["repositoryName"] for one in listed]


def begin_upload(http: httpx.Client, repository: str) -> httpx.Response:
    return http.post(f"/v2/{repository}/blobs/uploads/")


def upload_at_once(http: httpx.Client, repository: str) -> httpx.Response:
    path, content = f"/v2/{repository}/blobs/uploads/", b"a whole blob"
    return http.post(path, params={"digest": digest_of(content)}, content=content)


def try_to_mount(http: httpx.Client, repository: str) -> httpx.Response:
    parameters = {"mount": "sha256:" + "0" * 64, "from": "never/made"}
    return http.post(f"/v2/{repository}/blobs/uploads/", params=parameters)


def put_empty_index(http: httpx.Client, repository: str) -> httpx.Response:
    return put_manifest(http, repository, "v1", EMPTY_INDEX, OCI_INDEX)


PUSHES = [
    pytest.param(begin_upload, 202, id="begin-upload"),
    pytest.param(upload_at_once, 201, id="upload-at-once"),
    pytest.param(try_to_mount, 202, id="mount"),
    pytest.param(put_empty_index, 201, id="manifest"),
]
Push = Callable[[httpx.Client, str], httpx.Response]


@pytest.mark.parametrize(("push", "status"), PUSHES)
def test_push_makes_the_repository(
    owner: ECRClient, docker: httpx.Client, push: Push, status: int
) -> None:
    name = f"made/by/{push.__name__}"

    answer = push(docker, name)

    assert answer.status_code == status
    assert exists(owner, name)


def test_image_is_pushed_whole_to_what_was_not_there(
    owner: ECRClient, docker: httpx.Client
) -> None:
    image = make_image()

    push_image(docker, "made/image", image, "v1")

    assert docker.get("/v2/made/image/manifests/v1").text == image.manifest
    assert described(owner, "made/image")["imageTagMutability"] == "MUTABLE"


def test_mount_into_what_was_not_there(owner: ECRClient, docker: httpx.Client) -> None:
    owner.create_repository(repositoryName="mount-source")
    digest = push_blob(docker, "mount-source", some_bytes(1000, "create on push"))

    answer = docker.post(
        "/v2/made/mount-target/blobs/uploads/", params={"mount": digest, "from": "mount-source"}
    )

    assert answer.status_code == 201
    assert docker.head(f"/v2/made/mount-target/blobs/{digest}").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("unmade/app", id="no-template"),
        pytest.param("maden/app", id="longer-word"),
        pytest.param("made", id="the-prefix-itself"),
        pytest.param("copied/app", id="template-for-other-occasions"),
    ],
)
@pytest.mark.parametrize(("push", "status"), PUSHES)
def test_push_without_a_template_finds_no_repository(
    owner: ECRClient, docker: httpx.Client, push: Push, status: int, name: str
) -> None:
    answer = push(docker, name)

    assert answer.status_code != status
    assert error_of(answer) == (
        404,
        "NAME_UNKNOWN",
        f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'",
    )
    assert not exists(owner, name)


def test_push_takes_all_from_the_template(owner: ECRClient, docker: httpx.Client) -> None:
    filters: Any = [{"filterType": "WILDCARD", "filter": "dev-*"}]
    make_template(
        owner,
        "whole",
        encryptionConfiguration={"encryptionType": "KMS"},
        resourceTags=[{"Key": "team", "Value": "a"}],
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
        repositoryPolicy=PULL_BY_ALL,
        lifecyclePolicy=LIFECYCLE,
    )

    put_empty_index(docker, "whole/app")

    made = described(owner, "whole/app")
    assert made["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert made["imageTagMutabilityExclusionFilters"] == filters
    assert made["encryptionConfiguration"] == {
        "encryptionType": "KMS",
        "kmsKey": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/ecr",
    }
    tags = owner.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "a"}]
    assert owner.get_repository_policy(repositoryName="whole/app")["policyText"] == PULL_BY_ALL
    lifecycle = owner.get_lifecycle_policy(repositoryName="whole/app")
    assert lifecycle["lifecyclePolicyText"] == LIFECYCLE


@pytest.mark.parametrize(
    ("name", "mutability"),
    [
        pytest.param("long/team/app", "IMMUTABLE", id="longest"),
        pytest.param("long/app", "MUTABLE", id="shorter"),
        pytest.param("long/copied/app", "MUTABLE", id="longest-is-for-other-occasions"),
    ],
)
def test_push_takes_the_template_of_the_longest_prefix(
    server: Server, http: httpx.Client, name: str, mutability: str
) -> None:
    ecr, prefix = server.ecr(), f"case-{name.replace('/', '-')}"
    make_template(ecr, f"{prefix}/long")
    make_template(ecr, f"{prefix}/long/team", imageTagMutability="IMMUTABLE")
    make_template(ecr, f"{prefix}/long/copied", appliedFor=["REPLICATION"])

    put_empty_index(http, f"{prefix}/{name}")

    assert described(ecr, f"{prefix}/{name}")["imageTagMutability"] == mutability


def test_root_template_makes_what_no_other_does(server: Server) -> None:
    region = "create-on-push"
    ecr = server.ecr(region=region)
    make_template(ecr, "ROOT", imageTagMutability="IMMUTABLE")
    make_template(ecr, "a")
    host = {"Host": f"{ACCOUNT}.dkr.ecr.{region}.localhost:{server.port}"}
    with server.http() as http:
        for name in ("a/app", "app"):
            http.post(f"/v2/{name}/blobs/uploads/", headers=host)

    assert described(ecr, "app")["imageTagMutability"] == "IMMUTABLE"
    assert described(ecr, "a/app")["imageTagMutability"] == "MUTABLE"


def test_existing_repository_stays_as_it_is(owner: ECRClient, docker: httpx.Client) -> None:
    make_template(owner, "old", imageTagMutability="IMMUTABLE")
    owner.create_repository(repositoryName="old/app")

    put_empty_index(docker, "old/app")

    assert described(owner, "old/app")["imageTagMutability"] == "MUTABLE"


def test_manifest_that_is_refused_makes_nothing(owner: ECRClient, docker: httpx.Client) -> None:
    answer = put_manifest(docker, "made/refused", "v1", make_image().manifest, OCI_MANIFEST)

    assert error_of(answer)[:2] == (404, "MANIFEST_BLOB_UNKNOWN")
    assert not exists(owner, "made/refused")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "manifests/v1", id="pull"),
        pytest.param("HEAD", "manifests/v1", id="look"),
        pytest.param("GET", "tags/list", id="tags"),
        pytest.param("HEAD", "blobs/sha256:" + "0" * 64, id="blob"),
        pytest.param("DELETE", "manifests/v1", id="delete"),
        pytest.param("GET", "referrers/sha256:" + "0" * 64, id="referrers"),
    ],
)
def test_other_requests_make_nothing(
    owner: ECRClient, docker: httpx.Client, method: str, path: str
) -> None:
    answer = docker.request(method, f"/v2/made/never/{path}")

    assert answer.status_code == 404
    assert not exists(owner, "made/never")


def test_aws_door_makes_nothing(owner: ECRClient) -> None:
    with pytest.raises(owner.exceptions.RepositoryNotFoundException):
        owner.initiate_layer_upload(repositoryName="made/api")
    with pytest.raises(owner.exceptions.RepositoryNotFoundException):
        owner.put_image(repositoryName="made/api", imageManifest=EMPTY_INDEX)

    assert not exists(owner, "made/api")


@pytest.mark.parametrize(
    ("denied", "action"),
    [
        pytest.param("ecr:CreateRepository", "ecr:CreateRepository", id="may-not-create"),
        pytest.param("ecr:InitiateLayerUpload", "ecr:InitiateLayerUpload", id="may-not-push"),
    ],
)
def test_push_takes_both_rights(
    own_server: Server, owner: ECRClient, denied: str, action: str
) -> None:
    user = f"without-{denied.partition(':')[2]}"
    rights = policy(allow("ecr:*", Resource="*"), deny(denied, Resource="*"))
    name = f"made/{user.lower()}"
    with make_user(own_server, user, rights).http() as http:
        answer = begin_upload(http, name)

    status, code, text = error_of(answer)
    assert (status, code) == (403, "DENIED")
    assert f"{action} on resource: arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}" in text
    assert not exists(owner, name)


def test_push_of_a_user_with_both_rights(own_server: Server, owner: ECRClient) -> None:
    rights = policy(allow("ecr:CreateRepository", "ecr:InitiateLayerUpload", Resource="*"))
    with make_user(own_server, "pusher", rights).http() as http:
        answer = begin_upload(http, "made/by-a-user")

    assert answer.status_code == 202
    assert exists(owner, "made/by-a-user")


def test_manifest_is_read_where_it_would_make_the_repository(
    own_server: Server, owner: ECRClient
) -> None:
    length: dict[str, str | int] = {"Content-Length": len(EMPTY_INDEX), "Expect": "100-continue"}
    with Wire(own_server) as wire:
        wire.head("PUT", "/v2/made/when-welcome/manifests/latest", length)
        welcome = wire.answer(has_body=False)
        was_there = exists(owner, "made/when-welcome")
        wire.send(EMPTY_INDEX.encode())
        answer = wire.answer()

    assert (welcome.status, was_there) == (100, False)
    assert answer.status == 201
    assert exists(owner, "made/when-welcome")


def test_manifest_of_a_user_who_may_not_create_is_refused_before_it_is_read(
    own_server: Server,
) -> None:
    rights = policy(allow("ecr:PutImage", Resource="*"))
    length: dict[str, str | int] = {"Content-Length": 4_000_000, "Expect": "100-continue"}
    with Wire(make_user(own_server, "no-creator", rights)) as wire:
        answer = wire.ask("PUT", "/v2/made/by-no-creator/manifests/latest", length)

    assert (answer.status, answer.code) == (403, "DENIED")


def test_stranger_learns_of_no_template(as_account: Callable[[str], Server]) -> None:
    own, other = as_account("333333333333"), as_account("444444444444")
    make_template(own.ecr(), "theirs")
    host = {"Host": f"333333333333.dkr.ecr.{REGION}.localhost:{own.port}"}
    names = ("theirs/app", "absent/app")

    with other.http() as http:
        answers = [http.post(f"/v2/{name}/blobs/uploads/", headers=host) for name in names]

    errors = [error_of(answer) for answer in answers]
    assert [error[:2] for error in errors] == [(404, "NAME_UNKNOWN")] * 2
    assert errors[0][2].replace(names[0], names[1]) == errors[1][2]
    assert own.ecr().describe_repositories()["repositories"] == []
