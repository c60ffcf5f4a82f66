"""`ecrate events` against a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import make_image
from tests.support.pushing import push_image
from tests.support.server import Server, plain_environment, running_server

SETTINGS = {"ECRATE_EVENTS_EVERY": "0.1"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "data", "--workers", "1", env=SETTINGS) as running:
        yield running


def events(server: Server, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ecrate", "events", *words],
        env={**plain_environment(), **server.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_events_are_followed_over_a_restart(server: Server, tmp_path: Path) -> None:
    ecr = server.ecr()
    ecr.create_repository(repositoryName="one")
    following = events(server, "--follow", "--after", "0", "--output", "json")
    assert following.stdout is not None
    push_image(ecr, "one", make_image(10), "v1")
    first = json.loads(following.stdout.readline())
    server.kill()
    key = (server.key_id, server.secret)
    again = ("--workers", "1", "--port", str(server.port))
    with running_server(tmp_path / "data", *again, env=SETTINGS, key=key) as restarted:
        push_image(restarted.ecr(), "one", make_image(10), "v2")
        second = json.loads(following.stdout.readline())
        whole, _ = events(restarted).communicate(timeout=30)
        rest, _ = events(restarted, "--after", str(first["position"])).communicate(timeout=30)
    following.kill()
    following.communicate()

    assert [each["detail"]["image-tag"] for each in (first, second)] == ["v1", "v2"]
    assert first["position"] < second["position"]
    lines = whole.splitlines()
    assert len(lines) == 2
    assert "ECR Image Action PUSH one:v1@sha256:" in lines[0]
    assert rest.splitlines() == lines[1:]


def test_refusal_is_told(server: Server) -> None:
    ran = events(server, "--repository", "UPPER")

    out, err = ran.communicate(timeout=30)

    assert (ran.returncode, out) == (254, "")
    assert "InvalidParameterException" in err
