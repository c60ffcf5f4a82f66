"""`ecrate copy` between two repositories of ours, and to and from a registry that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cli.conftest import CuttingProxy, LogIn, Run
from tests.cli.pushed import push, push_index, push_referrer, tags_of
from tests.cli.stalling_registry import stalling_registry
from tests.support.docker_registry import PASSWORD, USER, DockerRegistry
from tests.support.images import digest_of, make_image
from tests.support.layouts import pack_index
from tests.support.registry import pull_blob
from tests.support.server import Server

MIB = 1024 * 1024


def test_copy_within_a_registry_mounts(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    image = make_image(1000, 2000)
    push(server, one, image, "v1")

    ran = run("copy", f"{one}:v1", other, "--json")

    told = json.loads(ran.out)
    assert told["digest"] == image.digest
    assert [each["result"] for each in told["blobs"]] == ["mounted"] * 3
    assert tags_of(server, other) == {"v1": image.digest}


def test_copy_again_sends_nothing(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    push(server, one, make_image(1000), "v1")
    first = run("copy", f"{one}:v1", f"{other}:v2")

    second = run("copy", f"{one}:v1", f"{other}:v2")

    assert second.out == first.out
    assert second.err.count("already there") == 2


def test_copy_goes_to_another_registry_and_back(
    run: Run, server: Server, foreign: str, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    images = push_index(server, one, "multi")

    there = run("copy", f"{one}:multi", foreign)
    back = run("copy", f"{foreign}:multi", f"{other}:again")

    digest = digest_of(pack_index(images).encode())
    assert (there.code, back.code) == (0, 0), there.err + back.err
    assert there.out.startswith(f"{foreign}:multi: digest: {digest} ")
    assert tags_of(server, other) == {"again": digest}
    with server.http() as http:
        for image in images.values():
            layer = image.layers[0]
            assert pull_blob(http, other, layer.digest) == layer.content


def test_copy_within_another_registry_mounts(run: Run, server: Server, foreign: str) -> None:
    repository = foreign.partition("/")[2]
    push(server, repository, make_image(1000), "v1")
    run("copy", f"{repository}:v1", foreign)

    ran = run("copy", f"{foreign}:v1", f"{foreign}/other")

    assert ran.code == 0, ran.err
    assert ran.err.count(f"mounted, from {repository}") == 2


def test_copy_takes_one_platform(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    images = push_index(server, one, "multi")

    ran = run("copy", f"{one}:multi", other, "--platform", "linux/arm64")
    missing = run("copy", f"{one}:multi", other, "--platform", "linux/s390x")

    assert tags_of(server, other) == {"multi": images["arm64"].digest}, ran.err
    assert missing.code == 255
    assert "it has linux/amd64, linux/arm64" in missing.err


def test_copy_by_digest_keeps_it_untagged(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    image = make_image(100)
    push(server, one, image)

    ran = run("copy", f"{one}@{image.digest}", other)

    assert f"@{image.digest}: digest: " in ran.out
    ids = server.ecr().list_images(repositoryName=other)["imageIds"]
    assert ids == [{"imageDigest": image.digest}]


def test_copy_takes_all_tags(run: Run, server: Server, make_repository: Callable[[], str]) -> None:
    one, other = make_repository(), make_repository()
    for tag in ("a", "b"):
        push(server, one, make_image(100), tag)

    ran = run("copy", one, other, "--all-tags")

    assert ran.code == 0
    assert tags_of(server, other) == tags_of(server, one)


def test_copy_brings_referrers_of_referrers(
    run: Run, server: Server, foreign: str, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    image, signature = make_image(100), make_image(50)
    push(server, one, image, "v1")
    stem = image.digest.replace(":", "-")
    push(server, one, signature, f"{stem}.sig")
    first = push_referrer(server, one, image.digest)
    second = push_referrer(server, one, first)

    there = run("copy", f"{one}:v1", foreign, "--referrers", "--json")
    back = run("copy", f"{foreign}:v1", other, "--referrers", "--json")

    # docker-registry has no referrers API: they are found by the fallback tag there.
    for ran in (there, back):
        found = [each["digest"] for each in json.loads(ran.out)["referrers"]]
        assert found == [first, second, signature.digest]
    for subject, referrer in ((image.digest, first), (first, second)):
        answer = server.ecr().list_image_referrers(
            repositoryName=other, subjectId={"imageDigest": subject}
        )
        assert [each["digest"] for each in answer["referrers"]] == [referrer]


def test_copy_without_referrers_leaves_them(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    one, other = make_repository(), make_repository()
    image = make_image(100)
    push(server, one, image, "v1")
    push_referrer(server, one, image.digest)

    run("copy", f"{one}:v1", other)

    ids = server.ecr().list_images(repositoryName=other)["imageIds"]
    assert [each["imageDigest"] for each in ids] == [image.digest]


def test_copy_goes_on_where_the_source_broke(
    run: Run,
    server: Server,
    foreign: str,
    *,
    docker_registry: DockerRegistry,
    log_in: LogIn,
    make_proxy: Callable[..., CuttingProxy],
    make_repository: Callable[[], str],
) -> None:
    one, other = make_repository(), make_repository()
    image = make_image(12 * MIB)
    push(server, one, image, "v1")
    run("copy", f"{one}:v1", foreign)
    proxy = make_proxy(down=[3 * MIB, 5 * MIB], port=docker_registry.port)
    host = proxy.endpoint.removeprefix("http://")
    log_in({host: (USER, PASSWORD)})

    ran = run("copy", f"{host}/{foreign.partition('/')[2]}:v1", other)

    assert (ran.code, proxy.cuts) == (0, 2), ran.err
    with server.http() as http:
        assert pull_blob(http, other, image.layers[0].digest) == image.layers[0].content


@pytest.mark.parametrize(
    ("target", "cuts"),
    [
        # 12 MiB by pieces of 5 MiB at most: ours goes on behind each cut, asked as any registry
        # is; docker-registry has to begin anew.
        pytest.param("ours", 2, id="ours"),
        pytest.param("foreign", 3, id="foreign"),
    ],
)
def test_copy_goes_on_where_the_destination_broke(
    run: Run,
    server: Server,
    docker_registry: DockerRegistry,
    *,
    log_in: LogIn,
    make_proxy: Callable[..., CuttingProxy],
    make_repository: Callable[[], str],
    target: str,
    cuts: int,
) -> None:
    one, other = make_repository(), make_repository()
    image = make_image(12 * MIB)
    push(server, one, image, "v1")
    port, login = {
        "ours": (server.port, (server.key_id, server.secret)),
        "foreign": (docker_registry.port, (USER, PASSWORD)),
    }[target]
    proxy = make_proxy(up=[5 * MIB] * 3, port=port)
    host = proxy.endpoint.removeprefix("http://")
    log_in({host: login})

    ran = run("copy", f"{one}:v1", f"{host}/{other}", "--jobs", "1")

    assert (ran.code, proxy.cuts) == (0, cuts), ran.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        pytest.param(["{0}:none", "{0}/x"], 254, "has no image none", id="no image"),
        pytest.param(["{0}:v1", "no/such"], 254, "or use --create", id="no repository"),
        pytest.param(["{0}:v1", "x@sha256:" + "0" * 64], 252, "copy to a tag", id="digest"),
        pytest.param(["{0}:v1", "x", "--all-tags"], 252, "takes no tag", id="all tags and one"),
        pytest.param(["localhost:9/a", "x"], 255, "cannot be reached", id="nobody there"),
    ],
)
def test_copy_fails_with_advice(
    run: Run, server: Server, repository: str, *, words: list[str], code: int, text: str
) -> None:
    push(server, repository, make_image(10), "v1")

    ran = run("copy", *(word.format(repository) for word in words))

    assert (ran.code, ran.out) == (code, "")
    assert text in ran.err


def test_copy_to_where_nobody_is_logged_in_says_so(
    run: Run, server: Server, docker_registry: DockerRegistry, repository: str
) -> None:
    push(server, repository, make_image(10), "v1")

    ran = run("copy", f"{repository}:v1", f"{docker_registry.host}/x")

    assert ran.code == 254
    assert f"Log in first: docker login {docker_registry.host}" in ran.err


def test_copy_of_a_blob_with_another_digest_is_refused(
    run: Run, server: Server, foreign: str
) -> None:
    repository = foreign.partition("/")[2]
    image = make_image(5000)
    push(server, repository, image, "v1")
    stored = [
        file
        for file in (server.data / "blobs").rglob("*")
        if file.is_file() and file.stat().st_size == 5000
    ]
    damaged = [file for file in stored if digest_of(file.read_bytes()) == image.layers[0].digest]
    damaged[0].write_bytes(bytes(5000))

    ran = run("copy", f"{repository}:v1", foreign)

    assert ran.code == 254
    assert "DIGEST_INVALID" in ran.err


def test_interrupt_ends_a_copy_that_waits(server: Server, repository: str) -> None:
    push(server, repository, make_image(3000, 4000), "v1")
    with stalling_registry() as registry:
        names = (f"{repository}:v1", f"{registry.host}/app")
        env = {**os.environ, **server.env, "DOCKER_CONFIG": "/nowhere"}
        process = subprocess.Popen(
            [sys.executable, "-m", "ecrate", "copy", *names],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert registry.stalled.wait(60)

        process.send_signal(signal.SIGINT)

        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_copy_of_a_whole_registry(
    run: Run, server: Server, docker_registry: DockerRegistry, log_in: LogIn, repository: str
) -> None:
    log_in({docker_registry.host: (USER, PASSWORD)})
    images = {f"{repository}/{name}": make_image(1000) for name in ("one", "two/three")}
    for name, image in images.items():
        run("ecr", "create-repository", "--repository-name", name)
        push(server, name, image, "v1", "v2")
        there = run("copy", name, f"{docker_registry.host}/{name}", "--all-tags")
        assert there.code == 0, there.err

    ran = run("copy", docker_registry.host, "mirror", "--all", "--create", "--json")
    again = run("copy", docker_registry.host, f"{server.host}/again", "--all", "--create")

    told = {each["name"] for each in json.loads(ran.out)}
    for name, image in images.items():
        assert {f"{server.host}/mirror/{name}:v1", f"{server.host}/mirror/{name}:v2"} <= told
        assert tags_of(server, f"mirror/{name}") == {"v1": image.digest, "v2": image.digest}
        assert f"again/{name}:v2: digest: {image.digest}" in again.out


def test_copy_of_a_whole_ecrate_goes_on_behind_what_fails(
    run: Run, server: Server, make_repository: Callable[[], str]
) -> None:
    one = make_repository()
    push(server, one, make_image(100), "v1")

    ran = run("copy", server.host, "copied", "--all")

    assert ran.code == 254
    assert f"{server.host}/{one} is not copied whole: " in ran.err
    assert "not copied whole: " in ran.err.splitlines()[-1]


@pytest.mark.parametrize("source", ["host/name", "a@sha256:00"])
def test_copy_of_all_takes_a_host(run: Run, source: str) -> None:
    ran = run("copy", source, "mirror", "--all")

    assert ran.code == 252
    assert f"with --all, '{source}' has to be a registry's host" in ran.err
