"""`ecrate trash`, `lock` and `unlock` beside a running server, seen through its doors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.cli.conftest import Run
from tests.support.aws_cli import Ran
from tests.support.images import OCI_MANIFEST, make_image
from tests.support.pushing import ids_of, push_image
from tests.support.server import ACCOUNT, REGION, Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

Command = Callable[..., Ran]


@pytest.fixture
def ecrate(plain_run: Run, server: Server) -> Command:
    """Run a command on the server's data."""

    def run(command: str, *words: str) -> Ran:
        return plain_run(command, "--data", str(server.data), *words)

    return run


def answer(ran: Ran) -> Any:
    """Give what a command printed that did what it should."""
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out or "null")


def delete_by_api(ecr: ECRClient, _: httpx.Client, repository: str, digest: str) -> None:
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])


def delete_at_v2(_: ECRClient, http: httpx.Client, repository: str, digest: str) -> None:
    assert http.delete(f"/v2/{repository}/manifests/{digest}").status_code == 202


@pytest.mark.parametrize("delete", [delete_by_api, delete_at_v2], ids=["aws", "oci"])
def test_image_comes_back(
    ecrate: Command,
    ecr: ECRClient,
    http: httpx.Client,
    repository: str,
    delete: Callable[..., None],
) -> None:
    image = make_image(10)
    push_image(ecr, repository, image, "v1", "v2")
    delete(ecr, http, repository, image.digest)
    gone = http.get(f"/v2/{repository}/manifests/{image.digest}").status_code
    item = f"{repository}@{image.digest}"
    (listed,) = answer(ecrate("trash", "list", repository))

    restored = answer(ecrate("trash", "restore", item))

    assert gone == 404
    assert (
        listed.items()
        >= {"item": item, "tags": ["v1", "v2"], "account": ACCOUNT, "region": REGION}.items()
    )
    assert restored == [
        {"digest": image.digest, "tags": ["v1", "v2"], "taken_tags": [], "was_there": False}
    ]
    pulled = http.get(f"/v2/{repository}/manifests/v1", headers={"Accept": OCI_MANIFEST})
    assert pulled.text == image.manifest
    assert ids_of(ecr, repository) == [(image.digest, "v1"), (image.digest, "v2")]
    assert answer(ecrate("trash", "list", repository)) == []


def test_repository_comes_back(
    ecrate: Command, ecr: ECRClient, http: httpx.Client, repository: str
) -> None:
    image = make_image(10)
    push_image(ecr, repository, image, "v1")
    before = ecr.describe_images(repositoryName=repository)["imageDetails"]
    ecr.delete_repository(repositoryName=repository, force=True)
    gone = [
        http.get(f"/v2/{repository}/manifests/v1").status_code,
        http.get(f"/v2/{repository}/blobs/{image.layers[0].digest}").status_code,
    ]
    (listed,) = answer(ecrate("trash", "list", repository))

    restored = answer(ecrate("trash", "restore", repository))

    assert gone == [404, 404]
    assert (listed["item"], listed["images"]) == (repository, 1)
    assert restored == {"repository": repository, "id": listed["id"], "images": 1}
    assert ecr.describe_images(repositoryName=repository)["imageDetails"] == before
    layer = http.get(f"/v2/{repository}/blobs/{image.layers[0].digest}")
    assert layer.content == image.layers[0].content


def test_repository_comes_back_under_another_name(
    ecrate: Command, ecr: ECRClient, repository: str
) -> None:
    digest = push_image(ecr, repository, make_image(10), "v1")
    ecr.delete_repository(repositoryName=repository, force=True)
    ecr.create_repository(repositoryName=repository)
    (listed,) = answer(ecrate("trash", "list", repository))
    taken = ecrate("trash", "restore", repository)
    another = f"{repository}-restored"

    answer(ecrate("trash", "restore", repository, "--as", another, "--id", str(listed["id"])))

    assert (taken.code, taken.out) == (1, "")
    assert taken.err.startswith(f"ecrate: The repository with name '{repository}' already exists")
    assert ids_of(ecr, another) == [(digest, "v1")]
    assert ids_of(ecr, repository) == []


def test_emptied_trash_gives_nothing_back(ecrate: Command, ecr: ECRClient, repository: str) -> None:
    digest = push_image(ecr, repository, make_image(10))
    delete_by_api(ecr, httpx.Client(), repository, digest)

    emptied = answer(ecrate("trash", "empty", repository))
    late = ecrate("trash", "restore", f"{repository}@{digest}")

    assert emptied == {"repositories": 0, "images": 1}
    assert late.code == 1
    assert late.err.startswith(f"ecrate: There is no {repository}@{digest} of the registry with")


def test_list_and_empty_mean_an_account(ecrate: Command, ecr: ECRClient, repository: str) -> None:
    ecr.delete_repository(repositoryName=repository)

    others = answer(ecrate("trash", "--account", "999999999999", "list"))
    emptied = answer(ecrate("trash", "--account", "999999999999", "empty"))
    own = answer(ecrate("trash", "--account", ACCOUNT, "list"))

    assert (others, emptied) == ([], {"repositories": 0, "images": 0})
    assert repository in [one["item"] for one in own]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        pytest.param(["empty"], "empty what?", id="empty"),
        pytest.param(["empty", "a-repository", "--all"], "empty what?", id="both"),
        pytest.param(
            ["restore", "aa@sha256:" + "0" * 64, "--as", "bb"], "go with a repository", id="as"
        ),
        pytest.param(["restore", "aa@sha256:" + "0" * 64, "--id", "1"], "--id", id="id"),
    ],
)
def test_bad_command_lines_are_252(ecrate: Command, words: list[str], text: str) -> None:
    ran = ecrate("trash", *words)

    assert (ran.code, ran.out) == (252, "")
    assert text in ran.err


@pytest.mark.parametrize("item", ["No Name", "aa@sha256:0", "aa@"])
def test_item_that_is_none(ecrate: Command, item: str) -> None:
    ran = ecrate("trash", "restore", item)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("ecrate: Invalid parameter at '")


def test_locked_repository_is_not_deleted(
    ecrate: Command, ecr: ECRClient, http: httpx.Client, repository: str
) -> None:
    digest = push_image(ecr, repository, make_image(10), "v1")

    answer(ecrate("lock", repository))

    with pytest.raises(ClientError, match="locked against deletion") as refused:
        ecr.delete_repository(repositoryName=repository, force=True)
    with pytest.raises(ClientError, match="locked against deletion"):
        delete_by_api(ecr, http, repository, digest)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterException"
    for reference in (digest, "v1"):
        deleted = http.delete(f"/v2/{repository}/manifests/{reference}")
        assert deleted.status_code == 405
        assert deleted.json()["errors"][0]["code"] == "UNSUPPORTED"
        assert "is locked against deletion" in deleted.json()["errors"][0]["message"]
    assert ids_of(ecr, repository) == [(digest, "v1")]
    locked = answer(ecrate("lock"))
    assert {"repository": repository, "account": ACCOUNT, "region": REGION} in locked


def test_unlocked_repository_is_deleted(ecrate: Command, ecr: ECRClient, repository: str) -> None:
    answer(ecrate("lock", repository))

    answer(ecrate("unlock", repository))

    ecr.delete_repository(repositoryName=repository)
    assert repository not in [one["repository"] for one in answer(ecrate("lock"))]


@pytest.mark.parametrize("command", ["lock", "unlock"])
def test_lock_of_what_is_not_there(ecrate: Command, command: str) -> None:
    ran = ecrate(command, "no/such-repository")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("ecrate: The repository with name 'no/such-repository' does not")
