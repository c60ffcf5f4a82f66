"""Amazon's credential helper for docker, and clients that know AWS' host names only, over TLS."""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.aws_names import REGISTRY, World, aws_names
from tests.support.clients import Program, find_program
from tests.support.dockerd import running_dockerd
from tests.support.images import MadeImage
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
def helped_docker(world: World, helper: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
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
