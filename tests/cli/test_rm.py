"""`ecrate rm` and `tag`: what goes and what stays."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Run
from tests.cli.pushed import push, push_index, push_referrer, tags_of
from tests.support.images import OCI_INDEX, digest_of, make_image
from tests.support.layouts import pack_index
from tests.support.registry import put_manifest
from tests.support.server import Server


def _digests(server: Server, repository: str) -> set[str]:
    ids = server.ecr().list_images(repositoryName=repository)["imageIds"]
    return {each["imageDigest"] for each in ids}


def test_rm_takes_one_tag_of_two(run: Run, server: Server, repository: str) -> None:
    image = make_image()
    push(server, repository, image, "a", "b")

    ran = run("rm", f"{repository}:a")

    assert ran.out == f"untagged: {server.host}/{repository}:a\n"
    assert tags_of(server, repository) == {"b": image.digest}


def test_rm_of_the_last_tag_takes_platforms_and_referrers(
    run: Run, server: Server, repository: str
) -> None:
    images = push_index(server, repository, "multi")
    push_referrer(server, repository, images["arm64"].digest)
    other = make_image()
    push(server, repository, other, "other")

    ran = run("rm", f"{repository}:multi", "--json")

    assert ran.code == 0, ran.err
    assert len(json.loads(ran.out)["deleted"]) == 4
    assert _digests(server, repository) == {other.digest}


def test_rm_leaves_what_others_hold(run: Run, server: Server, repository: str) -> None:
    images = push_index(server, repository, "one")
    push(server, repository, images["amd64"], "tagged")
    extra = pack_index({"arm64": images["arm64"]})
    with server.http() as http:
        put_manifest(http, repository, "two", extra, OCI_INDEX)

    ran = run("rm", f"{repository}:one")

    assert ran.code == 0, ran.err
    kept = {image.digest for image in images.values()} | {digest_of(extra.encode())}
    assert _digests(server, repository) == kept


def test_rm_only_leaves_the_platforms(run: Run, server: Server, repository: str) -> None:
    images = push_index(server, repository, "multi")

    run("rm", f"{repository}:multi", "--only")

    assert _digests(server, repository) == {image.digest for image in images.values()}


def test_rm_as_a_trial_deletes_nothing(run: Run, server: Server, repository: str) -> None:
    image = make_image()
    push(server, repository, image, "a")

    ran = run("rm", f"{repository}:a", "--dry-run")

    assert ran.out == f"would be deleted: {server.host}/{repository}:a  {image.digest}\n"
    assert tags_of(server, repository) == {"a": image.digest}


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        pytest.param("{0}", 252, "ecr delete-repository --force", id="repository"),
        pytest.param("{0}:none", 254, "has no image none", id="no image"),
        pytest.param("{0}@{1}", 254, "goes with it only", id="platform of an index"),
    ],
)
def test_rm_refuses(
    run: Run, server: Server, repository: str, *, name: str, code: int, text: str
) -> None:
    images = push_index(server, repository, "multi")
    before = _digests(server, repository)

    ran = run("rm", name.format(repository, images["amd64"].digest))

    assert (ran.code, ran.out) == (code, "")
    assert text in ran.err
    assert _digests(server, repository) == before


def test_rm_at_another_registry(run: Run, server: Server, foreign: str) -> None:
    repository = foreign.partition("/")[2]
    image = make_image()
    push(server, repository, image, "a")
    run("copy", f"{repository}:a", foreign)

    by_tag = run("rm", f"{foreign}:a")
    by_digest = run("rm", f"{foreign}@{image.digest}")

    # docker-registry deletes by digest only.
    assert by_tag.code == 254
    assert by_tag.err.endswith(f"ecrate rm {foreign}@{image.digest}\n")
    assert by_digest.code == 0, by_digest.err
    assert run("ls", f"{foreign}:a").code == 254


def test_tag_names_an_image_again(run: Run, server: Server, repository: str) -> None:
    image = make_image()
    push(server, repository, image, "a")
    push(server, repository, make_image(), "b")

    ran = run("tag", f"{repository}:a", "b", "c")

    assert ran.out.splitlines() == [
        f"{server.host}/{repository}:{tag}: digest: {image.digest}" for tag in "bc"
    ]
    assert tags_of(server, repository) == dict.fromkeys("abc", image.digest)


def test_tag_at_another_registry(run: Run, server: Server, foreign: str) -> None:
    repository = foreign.partition("/")[2]
    push(server, repository, make_image(), "a")
    run("copy", f"{repository}:a", foreign)

    run("tag", f"{foreign}:a", "b")

    assert run("ls", foreign, "--tags").out == "a\nb\n"


def test_tag_that_is_none_is_refused(run: Run, repository: str) -> None:
    ran = run("tag", f"{repository}:a", "other/name:b")

    assert ran.code == 252
    assert "`ecrate copy`" in ran.err
