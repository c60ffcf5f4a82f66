"""docker with `docker-credential-ecrate`: no login, and no token that runs out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.clients import Program
from tests.support.images import digest_of
from tests.support.server import Server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


def test_doctor_finds_docker_in_order(dockerd: Program, server: Server, tmp_path: Path) -> None:
    host = dockerd.command[dockerd.command.index("--host") + 1]
    env = {**server.env, "DOCKER_HOST": host, "DOCKER_CONFIG": str(tmp_path)}
    ecrate = Program((sys.executable, "-m", "ecrate"), tmp_path, env)
    ecrate.output("login")

    told = ecrate.output("doctor", "--json")

    findings = {each["told"]: each["status"] for each in json.loads(told)["findings"]}
    assert findings[f"talks to {server.host} without TLS"] == "ok"
    place = tmp_path / "config.json"
    assert findings[f"the credentials for {server.host} of {place} are good"] == "ok"


def test_docker_pushes_and_pulls_without_a_login(
    dockerd: Program,
    server: Server,
    root_layers: list[Path],
    tmp_path: Path,
    *,
    make_repository: Callable[[], str],
) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**dockerd.env, **server.env, "DOCKER_CONFIG": str(tmp_path), "PATH": path}
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "ecrate"}))
    docker = replace(dockerd, env=env)
    image = f"{server.host}/{make_repository()}:v1"
    docker.output("import", str(root_layers[-1]), image)
    docker.output("push", "--quiet", image)
    docker.output("image", "rm", image)

    docker.output("pull", "--quiet", image)

    layers = docker.output("image", "inspect", "--format={{json .RootFS.Layers}}", image)
    docker.output("image", "rm", image)
    assert json.loads(layers) == [digest_of(root_layers[-1].read_bytes())]
