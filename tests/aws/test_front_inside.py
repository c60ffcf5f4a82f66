"""The AWS door on cores that no `ecrate serve` has: tables with holes, a database far away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from ecrate.aws.call import render_image_id
from ecrate.aws.errors import CODES
from ecrate.aws.front import AwsFront
from ecrate.aws.images import _FAILURES as FAILURES
from ecrate.aws.model import data_file, service_model
from ecrate.domain.errors import ImageNotFound, RepositoryNotFound
from ecrate.domain.names import ImageId
from ecrate.store.database import Database
from ecrate.web.body import Bodies
from ecrate.web.hosts import Hosts
from ecrate.web.threads import Threads
from tests.support.core import Bench, InterruptedDatabase
from tests.support.serving import serving
from tests.support.signing import TARGET

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=123456789012/20240101/us-east-1/ecr/aws4_request, "
    f"SignedHeaders=host, Signature={'0' * 64}"
)

Call = Callable[[str, dict[str, Any]], httpx.Response]


class RemoteDatabase(InterruptedDatabase):
    """A database that has to be waited for, so that it is asked in threads."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner)
        self.is_local = False


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[type[InterruptedDatabase]], Call]]:
    """Serve the door in development mode; give what calls it."""
    with ExitStack() as opened:

        def start(kind: type[InterruptedDatabase]) -> Call:
            bench = Bench(tmp_path, options={"is_open": True}, engine=kind)
            opened.callback(bench.close)
            threads = Threads(reads_here=bench.database.is_local)
            opened.callback(threads.stop)
            bodies = Bodies(threads, buffers=1, size=1024)
            front = AwsFront(bench.core, service_model(), Hosts(), bodies, threads)
            port = opened.enter_context(serving(front))

            def call(operation: str, parameters: dict[str, Any]) -> httpx.Response:
                headers = {
                    "Authorization": AUTHORIZATION,
                    "X-Amz-Date": "20240101T000000Z",
                    "X-Amz-Target": f"{TARGET}.{operation}",
                }
                return httpx.post(f"http://127.0.0.1:{port}/", headers=headers, json=parameters)

            return call

        yield start


@pytest.mark.parametrize("kind", [InterruptedDatabase, RemoteDatabase], ids=["near", "far"])
def test_door_works_wherever_the_database_is(
    serve: Callable[[type[InterruptedDatabase]], Call], kind: type[InterruptedDatabase]
) -> None:
    call = serve(kind)
    created = call("CreateRepository", {"repositoryName": "one"})

    described = call("DescribeRepositories", {})

    assert created.status_code == 200
    assert described.json() == {"repositories": [created.json()["repository"]]}


def test_error_without_a_code_is_the_servers_fault(
    serve: Callable[[type[InterruptedDatabase]], Call],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = serve(InterruptedDatabase)
    monkeypatch.delitem(CODES, RepositoryNotFound)

    with caplog.at_level(logging.ERROR):
        answer = call("ListImages", {"repositoryName": "one"})

    assert answer.status_code == 500
    assert answer.json()["__type"] == "ServerException"
    assert f"{answer.headers['x-amzn-RequestId']}: no code for RepositoryNotFound" in caplog.text


def test_error_that_is_no_failure_of_an_entry_fails_the_batch(
    serve: Callable[[type[InterruptedDatabase]], Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = serve(InterruptedDatabase)
    call("CreateRepository", {"repositoryName": "one"})
    monkeypatch.delitem(FAILURES, ImageNotFound)
    parameters = {"repositoryName": "one", "imageIds": [{"imageTag": "none"}]}

    answers = [call(name, parameters) for name in ("BatchGetImage", "BatchDeleteImage")]

    assert {answer.json()["__type"] for answer in answers} == {"ImageNotFoundException"}


def test_image_id_is_rendered_with_what_it_has() -> None:
    assert render_image_id(ImageId(tag="v1")) == {"imageTag": "v1"}


def test_model_without_botocore_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(ModuleNotFoundError, match="botocore, which has ECR's service model"):
        data_file("service-2.json.gz")
