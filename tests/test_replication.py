"""Replication between two servers: over sockets, through outages, crashes and hostile answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tests.support.images import MadeImage, make_image
from tests.support.pushing import make_index, push_image
from tests.support.server import ACCOUNT, Server, running_server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

WEST = "us-west-2"
PATIENCE = 30.0
SETTINGS = {"ECRATE_EVENTS_EVERY": "0.1"}


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def destinations(path: Path, port: int, key: tuple[str, str], **more: object) -> dict[str, str]:
    """Write the file of destinations; give the settings of a server that replicates to there."""
    members = {
        "endpoint": f"http://127.0.0.1:{port}",
        "access_key_id": key[0],
        "secret_access_key": key[1],
        **more,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in members.items()]
    path.write_text("\n".join([f'["{ACCOUNT}/{WEST}"]', *lines]))
    return {**SETTINGS, "ECRATE_REPLICATION_DESTINATIONS": str(path)}


def put_rule(ecr: ECRClient, *, deletes: bool = False) -> None:
    # types-boto3-ecr is of an older model, without deletions.
    rule: Any = {
        "destinations": [{"region": WEST, "registryId": ACCOUNT}],
        "deleteReplication": {"enabled": deletes},
    }
    ecr.put_replication_configuration(replicationConfiguration={"rules": [rule]})


def tags_of(server: Server, name: str) -> list[str]:
    ecr = server.ecr(region=WEST)
    try:
        return sorted(
            each["imageTag"]
            for each in ecr.list_images(repositoryName=name, filter={"tagStatus": "TAGGED"})[
                "imageIds"
            ]
        )
    except ecr.exceptions.RepositoryNotFoundException:
        return []


def status_of(ecr: ECRClient, name: str, tag: str) -> list[tuple[Any, ...]]:
    found = ecr.describe_image_replication_status(repositoryName=name, imageId={"imageTag": tag})
    return [(one["status"], one.get("failureCode")) for one in found["replicationStatuses"]]


def whole(server: Server, name: str, image: MadeImage) -> bool:
    """Tell whether all bytes of an image can be had there."""
    with server.http() as http:
        host = {"Host": f"{ACCOUNT}.dkr.ecr.{WEST}.localhost"}
        return all(
            http.get(f"/v2/{name}/blobs/{blob.digest}", headers=host).content == blob.content
            for blob in image.blobs
        )


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("there") / "data", "--workers", "1") as running:
        yield running


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, there: Server) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("here")
    settings = destinations(folder / "to.toml", there.port, (there.key_id, there.secret))
    with running_server(folder / "data", "--workers", "2", env=settings) as running:
        put_rule(running.ecr(), deletes=True)
        yield running


def test_image_goes_to_the_other_server(here: Server, there: Server) -> None:
    ecr = here.ecr()
    ecr.create_repository(repositoryName="team/app")
    image = make_image(6 * 1024 * 1024, 100)

    push_image(ecr, "team/app", image, "v1")

    eventually(lambda: status_of(ecr, "team/app", "v1") == [("COMPLETE", None)])
    assert tags_of(there, "team/app") == ["v1"]
    assert whole(there, "team/app", image)


def test_index_and_deletion_go_to_the_other_server(here: Server, there: Server) -> None:
    ecr = here.ecr()
    ecr.create_repository(repositoryName="index")
    image = make_image(10)
    push_image(ecr, "index", image)
    ecr.put_image(repositoryName="index", imageManifest=make_index(image), imageTag="all")
    eventually(lambda: tags_of(there, "index") == ["all"])
    child = there.ecr(region=WEST).batch_get_image(
        repositoryName="index", imageIds=[{"imageDigest": image.digest}]
    )

    ecr.batch_delete_image(repositoryName="index", imageIds=[{"imageTag": "all"}])

    eventually(lambda: tags_of(there, "index") == [])
    assert child["images"][0]["imageManifest"] == image.manifest


def test_repository_is_made_by_the_template_there(here: Server, there: Server) -> None:
    there.ecr(region=WEST).create_repository_creation_template(
        prefix="made", appliedFor=["REPLICATION"], imageTagMutability="IMMUTABLE"
    )
    ecr = here.ecr()
    ecr.create_repository(repositoryName="made/it")
    first = make_image(10)
    push_image(ecr, "made/it", first, "v1")
    eventually(lambda: tags_of(there, "made/it") == ["v1"])

    push_image(ecr, "made/it", make_image(20), "v1")

    eventually(lambda: status_of(ecr, "made/it", "v1") == [("COMPLETE", None)])
    far = there.ecr(region=WEST)
    (made,) = far.describe_repositories(repositoryNames=["made/it"])["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    ids = far.list_images(repositoryName="made/it")["imageIds"]
    assert [one.get("imageTag") for one in ids] == ["v1", None]
    assert ids[0]["imageDigest"] == first.digest


def test_backfill_takes_what_was_there(here: Server, there: Server) -> None:
    ecr = here.ecr()
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})
    ecr.create_repository(repositoryName="before")
    for size in (10, 20, 30):
        push_image(ecr, "before", make_image(size), f"v{size}")
    push_image(ecr, "before", make_image(40), "last")
    time.sleep(0.5)
    put_rule(ecr, deletes=True)

    begun = ecr.start_replication_backfill(destination={"region": WEST, "registryId": ACCOUNT})

    def ended() -> bool:
        (one,) = [
            each
            for each in ecr.list_replication_backfills()["backfills"]
            if each["replicationBackfillId"] == begun["replicationBackfillId"]
        ]
        return one["status"] == "COMPLETE"

    eventually(ended)
    found = ecr.describe_replication_backfill_results(
        replicationBackfillId=begun["replicationBackfillId"]
    )
    assert begun["status"] == "PREPARING"
    assert found["progress"]["failedReplicationCount"] == 0
    assert found["progress"]["completedReplicationCount"] == len(found["results"])
    assert tags_of(there, "before") == ["last", "v10", "v20", "v30"]


def test_crash_and_outage_lose_nothing(tmp_path: Path) -> None:
    image = make_image(3 * 1024 * 1024, 100)
    data, one, two = tmp_path / "to.toml", tmp_path / "one", tmp_path / "two"
    with running_server(two, "--workers", "1") as far:
        key, port = (far.key_id, far.secret), far.port
    # So slowly that the server is killed while it sends.
    settings = destinations(data, port, key, bytes_per_second=1_000_000)
    again = ("--workers", "1", "--port", str(port))
    with running_server(one, "--workers", "1", env=settings) as near:
        ecr = near.ecr()
        put_rule(ecr)
        ecr.create_repository(repositoryName="app")
        push_image(ecr, "app", image, "v1")
        eventually(lambda: status_of(ecr, "app", "v1") == [("IN_PROGRESS", None)])
        with running_server(two, *again, key=key) as far:
            eventually(lambda: "app" in names_at(far))
            near.kill()
            half = tags_of(far, "app")
            far.kill()
    with (
        running_server(two, *again, key=key) as far,
        running_server(one, "--workers", "1", env=settings, key=(near.key_id, near.secret)) as near,
    ):
        ecr = near.ecr()
        eventually(lambda: status_of(ecr, "app", "v1") == [("COMPLETE", None)])
        assert half == []
        assert tags_of(far, "app") == ["v1"]
        assert whole(far, "app", image)


def names_at(server: Server) -> list[str]:
    found = server.ecr(region=WEST).describe_repositories()["repositories"]
    return [each["repositoryName"] for each in found]


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """A destination that answers what `answer` says, and the settings that lead there."""
    state: dict[str, Any] = {"status": 200, "body": b"", "headers": {}, "asked": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            state["asked"].append(self.headers["x-amz-target"].rpartition(".")[2])
            self.send_response(state["status"])
            for name, value in state["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(state["body"])

        @override
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = server.server_address[1]
    yield state, destinations(tmp_path / "to.toml", port, ("AKIDEXAMPLE", "secret"))
    server.shutdown()
    thread.join()
    server.server_close()


def failure_of(ecr: ECRClient, tag: str) -> str:
    """Wait until the replication of an image of `app` has failed, and give the code."""
    eventually(lambda: [one for one, _ in status_of(ecr, "app", tag)] == ["FAILED"])
    ((_, code),) = status_of(ecr, "app", tag)
    return str(code)


def test_hostile_answers_are_failures_and_nothing_else(
    tmp_path: Path, hostile: tuple[dict[str, Any], dict[str, str]]
) -> None:
    state, settings = hostile
    patience = {"ECRATE_REPLICATION_PATIENCE": "0"}
    with running_server(tmp_path / "data", "--workers", "1", env=settings | patience) as server:
        ecr = server.ecr()
        put_rule(ecr)
        ecr.create_repository(repositoryName="app")
        for number, (status, body, headers) in enumerate(
            [
                (200, b"<html>", {}),
                (200, b"[]", {}),
                (200, b'{"layers": 5}', {}),
                (200, b'{"layers": [], "uploadId": 7}', {}),
                (200, b'{"layers": [], "uploadId": "u", "lastByteReceived": -1}', {}),
                (200, b"{" + b" " * 10_000_000, {}),
                (200, b"[" * 100_000, {}),
                (302, b"", {"Location": "http://169.254.169.254/"}),
                (400, b'{"__type": "AccessDeniedException", "message": "no\\u001b[2J"}', {}),
            ]
        ):
            state.update(status=status, body=body, headers=headers)
            tag = f"v{number}"
            push_image(ecr, "app", make_image(10 + number), tag)
            code = failure_of(ecr, tag)
            assert code in {"DestinationUnreachable", "302", "AccessDenied"}, (body[:20], code)
        tags = len(ecr.list_images(repositoryName="app")["imageIds"])

    assert tags == 9
