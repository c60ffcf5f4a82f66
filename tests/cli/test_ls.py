"""`ecrate ls`: what is told of repositories and images, ours and others'."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.pushed import SIGNATURE, image_of, push, push_index, push_referrer, tar
from tests.support.images import digest_of, make_image
from tests.support.layouts import pack_index
from tests.support.server import Server


def _images(out: str) -> list[dict[str, Any]]:
    (repository,) = json.loads(out)["repositories"]
    found: list[dict[str, Any]] = repository["images"]
    return found


def test_ls_shows_tags_platforms_and_referrers(run: Run, server: Server, repository: str) -> None:
    images = push_index(server, repository, "multi")
    push_referrer(server, repository, images["arm64"].digest)
    push(server, repository, make_image(3000))

    lines = run("ls", repository).out.splitlines()

    assert lines[0] == f"{server.host}/{repository}"
    labels = [line.partition("sha256:")[0].rstrip() for line in lines[1:]]
    assert labels == [
        "├── (untagged) linux/amd64",
        "└── multi",
        "    ├── linux/amd64",
        "    └── linux/arm64",
        f"        └── {SIGNATURE}",
    ]
    assert all("never pulled" in line for line in lines[1:])
    assert "  3.0 KiB  " in lines[1]


def test_ls_as_json_has_the_same(run: Run, server: Server, repository: str) -> None:
    images = push_index(server, repository, "multi")
    signature = push_referrer(server, repository, images["amd64"].digest)

    (image,) = _images(run("ls", repository, "--json").out)

    child = image["children"][0]
    assert (image["tags"], image["digest"]) == (["multi"], digest_of(pack_index(images).encode()))
    assert (child["digest"], child["platform"]) == (images["amd64"].digest, "linux/amd64")
    assert [each["digest"] for each in child["referrers"]] == [signature]
    assert image["size"] == sum(each["size"] for each in image["children"])
    assert image["pushedAt"].endswith("Z")


def test_ls_tells_the_platform_of_a_single_image(run: Run, server: Server, repository: str) -> None:
    push(server, repository, image_of(tar({"a": b"1"})), "v1")

    (image,) = _images(run("ls", f"{repository}:v1", "--json").out)

    assert image["platform"] == "linux/amd64"


def test_looking_is_not_pulling(run: Run, server: Server, repository: str) -> None:
    push(server, repository, make_image(), "v1")
    push_index(server, repository, "multi")
    for command in ("ls", "inspect", "diff"):
        others = [f"{repository}:v1", "--layers"] if command == "diff" else []
        assert run(command, f"{repository}:multi", *others).err == ""
    looked = server.ecr().describe_images(repositoryName=repository)["imageDetails"]

    run("copy", f"{repository}:v1", f"{repository}:v2")

    pulled = server.ecr().describe_images(repositoryName=repository)["imageDetails"]
    assert [each for each in looked if "lastRecordedPullTime" in each] == []
    assert sum("lastRecordedPullTime" in each for each in pulled) == 1


def test_ls_of_all_repositories(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    empty, other = make_repository(), make_repository()
    push(server, other, make_image(), "a", "b")

    lines = run("ls").out.splitlines()
    told = {each["name"]: each for each in json.loads(run("ls", "--json").out)["repositories"]}

    assert lines[0].split("  ")[0] == "REPOSITORY"
    assert [line.split()[1:3] for line in lines if line.split()[0] == other] == [["1", "2"]]
    assert (told[empty]["images"], told[empty]["lastPushedAt"]) == (0, None)
    assert (told[other]["images"], told[other]["tags"]) == (1, 2)


def test_ls_of_another_registry(run: Run, server: Server, foreign: str) -> None:
    repository = foreign.partition("/")[2]
    images = push_index(server, repository, "multi")
    push(server, repository, images["amd64"], "v1")
    for tag in ("multi", "v1"):
        run("copy", f"{repository}:{tag}", foreign)

    found = {each["tags"][0]: each for each in _images(run("ls", foreign, "--json").out)}
    tags = run("ls", "--tags", foreign)

    assert tags.out == "multi\nv1\n"
    assert [each["platform"] for each in found["multi"]["children"]] == [
        "linux/amd64",
        "linux/arm64",
    ]
    assert (found["v1"]["digest"], found["v1"]["pushedAt"]) == (images["amd64"].digest, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("{0}:none", "has no image none", id="no image"),
        pytest.param("no/such", "RepositoryNotFoundException", id="no repository"),
    ],
)
def test_ls_of_what_is_not_there(run: Run, repository: str, *, name: str, text: str) -> None:
    ran = run("ls", name.format(repository))

    assert (ran.code, ran.out) == (254, "")
    assert text in ran.err


def test_ls_tells_of_a_repository_that_may_not_be_read(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    hidden, other = make_repository(), make_repository()
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr:DescribeImages"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    server.ecr().set_repository_policy(repositoryName=hidden, policyText=policy)

    ran = run("ls", "--json")

    told = {each["name"]: each for each in json.loads(ran.out)["repositories"]}
    assert (told[hidden]["images"], told[other]["images"]) == (None, 0)
    assert "not authorized" in told[hidden]["error"]
