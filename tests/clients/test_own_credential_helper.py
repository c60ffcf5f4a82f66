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
