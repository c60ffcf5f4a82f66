"""The audit log on a disk that is full, and on streams instead of a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.images import make_image
from tests.support.registry import push_image
from tests.support.server import plain_environment, running_server
from tests.support.watched import Watched


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Watched]:
    """A server of one worker whose audit log's disk is about to become full."""
    path = tmp_path / "audit.log"
    data = tmp_path / "data"
    with running_server(data, "--workers", "1", env={"ECRATE_AUDIT_LOG": str(path)}) as running:
        running.ecr().create_repository(repositoryName="app")
        yield Watched(running, path)


def break_disk(path: Path) -> None:
    path.rename(path.with_suffix(".before"))
    path.symlink_to("/dev/full")


def test_nothing_is_acknowledged_or_begun_without_a_line(failing: Watched) -> None:
    ecr, image = failing.server.ecr(), make_image()
    with failing.server.http() as http:
        push_image(http, "app", image, "v1")
        break_disk(failing.path)

        refusals = []
        for name in ("done", "not-begun"):
            with pytest.raises(ClientError) as caught:
                ecr.create_repository(repositoryName=name)
            refusals.append(caught.value.response)
        pushed = http.post("/v2/app/blobs/uploads/")
        pulled = http.get("/v2/app/manifests/v1")
        failing.path.unlink()
        names = [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]]
        ecr.create_repository(repositoryName="later")

    assert names == ["app", "done"]
    assert {answer["Error"]["Code"] for answer in refusals} == {"ServerException"}
    assert {answer["Error"]["Message"] for answer in refusals} == {
        "The audit log cannot be written, so that nothing may be changed."
    }
    assert (pushed.status_code, pushed.json()["errors"][0]["code"]) == (503, "UNKNOWN")
    assert pulled.text == image.manifest
    events = failing.events()
    assert [event["requestParameters"]["repositoryName"] for event in events] == ["done", "later"]
    assert events[0]["responseElements"]["repository"]["repositoryName"] == "done"


def test_owed_lines_are_written_when_the_server_stops(failing: Watched) -> None:
    break_disk(failing.path)
    with pytest.raises(ClientError):
        failing.server.ecr().create_repository(repositoryName="done")
    failing.path.unlink()

    failing.server.stop()

    assert [event["eventName"] for event in failing.events()] == ["CreateRepository"]


def test_log_may_be_standard_output(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", env={"ECRATE_AUDIT_LOG": "-"}) as server:
        server.ecr().create_repository(repositoryName="app")
        assert server.process.stdout is not None
        line = next(line for line in server.process.stdout if line.startswith("{"))

    assert json.loads(line)["eventName"] == "CreateRepository"


def test_command_line_beside_standard_output_writes_to_standard_error(failing: Watched) -> None:
    data = failing.server.data
    done = subprocess.run(
        [sys.executable, "-m", "ecrate", "iam", "--data", data, "create-user", "x"],
        env={**plain_environment(), "ECRATE_AUDIT_LOG": "-"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["name"] == "x"
    assert json.loads(done.stderr)["eventName"] == "CreateUser"
