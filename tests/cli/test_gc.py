"""`ecrate gc` beside a running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ecrate.operations.collection import collect, take_collector_lease
from tests.cli.conftest import Run
from tests.support.aws_cli import Ran
from tests.support.core import DAY, HOUR, REGISTRY, Bench
from tests.support.images import digest_of, make_image
from tests.support.pushing import push_image
from tests.support.server import ACCOUNT, REGION, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

Command = Callable[..., Ran]


@pytest.fixture
def gc(plain_run: Run, server: Server) -> Command:
    """Run a command on the server's data."""

    def run(*words: str) -> Ran:
        return plain_run("gc", "--data", str(server.data), *words)

    return run


def answer(ran: Ran) -> Any:
    """Give what a command printed that did what it should."""
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_status_tells_each_step(gc: Command, ecr: ECRClient, repository: str) -> None:
    push_image(ecr, repository, make_image(10))
    ecr.delete_repository(repositoryName=repository, force=True)

    told = answer(gc("status"))

    waiting = told["waiting"]
    assert list(waiting) == ["trash", "links", "uploads", "unlinked_blobs", "quarantine"]
    assert waiting["trash"]["repositories"] >= 1
    assert waiting["trash"]["bytes"] > 10
    assert waiting["trash"]["last_end"].endswith("+00:00")


def test_status_ends_quietly_when_nobody_reads_it(server: Server) -> None:
    command = [sys.executable, "-m", "ecrate", "gc", "--data", str(server.data), "status"]
    reader, writer = os.pipe()
    os.close(reader)

    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)

    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_explain_tells_who_needs_a_blob(gc: Command, ecr: ECRClient, repository: str) -> None:
    image = make_image(10)
    push_image(ecr, repository, image)

    told = answer(gc("explain", image.layers[0].digest))

    assert (told["state"], told["why"]) == ("NEEDED", "stays: images need it")
    (link,) = told["links"]
    assert link.pop("touched_at").endswith("+00:00")
    assert link == {
        "repository": repository,
        "account": ACCOUNT,
        "region": REGION,
        "images": [image.digest],
        "image_count": 1,
    }


def test_explain_tells_what_the_trash_keeps(gc: Command, ecr: ECRClient, repository: str) -> None:
    image = make_image(10)
    push_image(ecr, repository, image)
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": image.digest}])

    told = answer(gc("explain", image.layers[0].digest))

    assert told["state"] == "TRASHED"
    (keeper,) = told["trash"]
    assert (keeper["repository"], keeper["image"]) == (repository, image.digest)


def test_explain_of_what_is_not_there(gc: Command) -> None:
    told = answer(gc("explain", digest_of(b"nobody has pushed this")))

    assert told["state"] == "UNKNOWN"


@pytest.mark.parametrize("command", ["explain", "restore"])
def test_digest_that_is_none(gc: Command, command: str) -> None:
    words = ["--repository", "any"] if command == "restore" else []

    ran = gc(command, "sha256:0", *words)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("ecrate: Invalid parameter at 'digest'")


def test_blob_comes_back_from_quarantine(plain_run: Run, tmp_path: Path) -> None:
    content, config = b"the layer", tmp_path / "ecrate.toml"
    config.write_text(f'account_id = "{REGISTRY.id}"\nquarantine = 86400\n')
    data = tmp_path / "data"
    data.mkdir()
    _quarantine_yesterday(data, content)
    options = ("--config", str(config), "--data", str(data))

    status = answer(plain_run("gc", *options, "status"))
    explained = answer(plain_run("gc", *options, "explain", digest_of(content)))
    restored = answer(
        plain_run("gc", *options, "restore", digest_of(content), "--repository", "one")
    )

    assert status["collector"].items() >= {"holder": "a worker", "links": 1, "files": 0}.items()
    assert status["waiting"]["quarantine"].items() >= {"files": 1, "bytes": 9, "due": 0}.items()
    assert (explained["state"], len(explained["quarantine"])) == ("QUARANTINED", 1)
    assert restored["repository"] == "one"
    with (
        running_server(data, "--workers", "1", "--config", str(config)) as server,
        server.http() as http,
    ):
        assert http.get(f"/v2/one/blobs/{digest_of(content)}").content == content


def _quarantine_yesterday(data: Path, content: bytes) -> None:
    (data / "secret").write_text("0" * 64)
    bench = Bench(data)
    bench.clock.now = time.time() - 2 * DAY
    take_collector_lease(bench.core, "a worker")
    bench.store(bench.create("one"), content)
    bench.clock.advance(DAY + HOUR)
    collect(bench.core)
    bench.close()
