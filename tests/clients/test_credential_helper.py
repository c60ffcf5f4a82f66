"""Amazon's credential helper for docker, and clients that know AWS' host names only, over TLS."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws_names import OTHER_NAME, REGISTRY, World, aws_names
from tests.support.clients import Program, find_program
from tests.support.dockerd import running_dockerd
from tests.support.images import digest_of
from tests.support.layouts import read_blobs
from tests.support.server import ACCOUNT

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

HELPER = {"credHelpers": {REGISTRY: "ecr-login"}}
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A machine set up for AWS."""
    with aws_names(tmp_path_factory.mktemp("aws")) as world:
        yield world


@pytest.fixture(scope="module")
def aws(world: World) -> Program:
    """The AWS CLI, told of no address."""
    return world.program(str(Path(sys.executable).with_name("aws")))


@pytest.fixture
def remote(aws: Program) -> str:
    """Where to push: a new repository."""
    name = f"helped/repository-{next(_NUMBERS)}"
    answer = aws.output("ecr", "create-repository", "--repository-name", name)
    return str(json.loads(answer)["repository"]["repositoryUri"])


@pytest.fixture(scope="module")
def helper(world: World) -> Program:
    return world.program(find_program("docker-credential-ecr-login"))


@pytest.fixture(scope="module")
def helped_skopeo(world: World, helper: Program) -> Program:
    """skopeo, which asks the helper for credentials."""
    assert helper.command
    file = world.folder / "helped.json"
    file.write_text(json.dumps(HELPER))
    env = {
        "REGISTRY_AUTH_FILE": str(file),
        "_CONTAINERS_ROOTLESS_UID": "1",  # see the fixture `skopeo`
        "XDG_DATA_HOME": str(world.folder),
    }
    return world.program(find_program("skopeo"), "--insecure-policy", **env)


@pytest.fixture(scope="module")
def helped_docker(
    world: World, helper: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """docker, whose command asks the helper for credentials."""
    assert helper.command
    wrapper = tmp_path_factory.mktemp("bin") / "dockerd"
    command = shlex.join([*world.inside, find_program("dockerd")])
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(wrapper.parent), prepend=":")
        with running_dockerd() as docker:
            folder = Path(docker.env["DOCKER_CONFIG"])
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps(HELPER))
            yield world.program(*docker.command, **docker.env)


def push(skopeo: Program, layout: Path, remote: str) -> None:
    options = ("--preserve-digests", "--dest-tls-verify=true")
    skopeo.output("copy", *options, f"oci:{layout}:busybox", f"docker://{remote}:pushed")


def test_helper_gets_credentials_that_are_good(helper: Program, world: World) -> None:
    answer = json.loads(helper.output("get", text=REGISTRY))

    skopeo = world.program(
        find_program("skopeo"), REGISTRY_AUTH_FILE=str(world.folder / "login.json")
    )
    login = ("login", f"--username={answer['Username']}", "--password-stdin")
    assert answer["ServerURL"] == REGISTRY
    assert answer["Username"] == "AWS"
    assert "Login Succeeded!" in skopeo.output(*login, REGISTRY, text=answer["Secret"])


def test_helper_tells_what_it_has_credentials_for(helper: Program) -> None:
    answer = json.loads(helper.output("list"))

    assert answer[f"https://{REGISTRY}"] == "AWS"


def test_helper_with_a_wrong_key_has_none(helper: Program, tmp_path: Path) -> None:
    env = {**helper.env, "AWS_SECRET_ACCESS_KEY": "wrong"}
    stranger = Program(helper.command, tmp_path, env)

    done = stranger.run("get", text=REGISTRY)

    assert done.returncode != 0
    assert "credentials not found" in done.stdout
    log = (tmp_path / ".ecr" / "log" / "ecr-login.log").read_text()
    assert "InvalidSignatureException" in log


def test_repository_uri_is_that_of_aws(remote: str) -> None:
    assert remote.startswith(f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/helped/repository-")


def test_skopeo_pushes_and_pulls_with_the_helper(
    helped_skopeo: Program, remote: str, busybox_layout: Path, tmp_path: Path
) -> None:
    push(helped_skopeo, busybox_layout, remote)

    options = ("--preserve-digests", "--src-tls-verify=true")
    pulled = f"oci:{tmp_path}/pulled:x"
    helped_skopeo.output("copy", *options, f"docker://{remote}:pushed", pulled)

    assert read_blobs(tmp_path / "pulled") == read_blobs(busybox_layout)


def test_docker_pushes_and_pulls_with_the_helper(
    helped_docker: Program, remote: str, root_layers: list[Path]
) -> None:
    image = f"{remote}:imported"
    helped_docker.output("import", str(root_layers[-1]), image)
    helped_docker.output("push", "--quiet", image)
    helped_docker.output("image", "rm", image)

    helped_docker.output("pull", "--quiet", image)

    layers = helped_docker.output("image", "inspect", "--format={{json .RootFS.Layers}}", image)
    assert json.loads(layers) == [digest_of(root_layers[-1].read_bytes())]


def test_docker_does_not_trust_a_certificate_of_another_name(helped_docker: Program) -> None:
    done = helped_docker.run("pull", f"{OTHER_NAME}/any:latest")

    assert done.returncode != 0
    assert "x509: certificate is valid for" in done.stderr


def test_docker_without_the_helper_is_refused(
    helped_docker: Program, remote: str, tmp_path: Path
) -> None:
    stranger = Program(
        helped_docker.command, tmp_path, {**helped_docker.env, "DOCKER_CONFIG": str(tmp_path)}
    )

    done = stranger.run("pull", f"{remote}:pushed")

    assert done.returncode != 0
    assert "no basic auth credentials" in done.stderr


def test_skopeo_without_the_authority_trusts_nobody(
    helped_skopeo: Program, remote: str, tmp_path: Path
) -> None:
    env = {**helped_skopeo.env, "SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": str(tmp_path)}
    distrustful = Program(helped_skopeo.command, helped_skopeo.home, env)

    done = distrustful.run("list-tags", f"docker://{remote}")

    assert done.returncode != 0
    assert "certificate signed by unknown authority" in done.stderr
