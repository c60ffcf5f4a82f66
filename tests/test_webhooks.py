"""Webhooks of a running server: signed, in order, again and again until taken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import make_image
from tests.support.pushing import push_image
from tests.support.receiver import Receiver, is_signed, receiving
from tests.support.server import Server, plain_environment, running_server

SETTINGS = {
    "ECRATE_EVENTS_EVERY": "0.1",
    "ECRATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "ECRATE_WEBHOOK_ATTEMPTS": "2",
}
PUSH = "ECR Image Action"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("webhooks") / "data"
    with running_server(folder, "--workers", "2", env=SETTINGS) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def webhook(server: Server, *words: str) -> Any:
    """Run `ecrate webhook` on the server's data; give what it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "ecrate", "webhook", "--data", str(server.data), *words],
        env={**plain_environment(), **server.settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(ran.stdout) if ran.stdout else None


def push(server: Server, repository: str, *tags: str) -> None:
    ecr = server.ecr()
    if not ecr.describe_repositories()["repositories"] or repository not in {
        each["repositoryName"] for each in ecr.describe_repositories()["repositories"]
    }:
        ecr.create_repository(repositoryName=repository)
    for tag in tags:
        push_image(ecr, repository, make_image(10), tag)


def tags(events: list[dict[str, Any]]) -> list[str]:
    return [event["detail"]["image-tag"] for event in events]


def test_push_is_delivered_signed(server: Server, receiver: Receiver) -> None:
    added = webhook(server, "add", receiver.url, "--repository", "signed", "--kind", PUSH)
    push(server, "signed", "v1")
    push(server, "another", "v1")

    events = receiver.wait(1)

    (event,) = events
    assert event["detail-type"] == PUSH
    assert event["detail"]["repository-name"] == "signed"
    ((headers, body),) = receiver.sent
    assert is_signed(added["secret"], headers, body)
    assert not is_signed(added["secret"], headers, body + " ")
    assert headers["webhook-id"] == event["id"]
    assert headers["content-type"] == "application/json"
    webhook(server, "remove", added["id"])


def test_events_of_a_repository_come_in_order_after_failures(
    server: Server, receiver: Receiver
) -> None:
    added = webhook(server, "add", receiver.url, "--repository", "ordered")
    receiver.status = 500
    push(server, "ordered", "v1", "v2", "v3")
    receiver.wait(1, refused=True)
    receiver.status = 200

    events = receiver.wait(3)

    assert tags(events) == ["v1", "v2", "v3"]
    assert set(tags(receiver.refused)) == {"v1"}
    webhook(server, "remove", added["id"])


def test_what_is_refused_is_dead_until_it_is_retried(server: Server, receiver: Receiver) -> None:
    added = webhook(server, "add", receiver.url, "--repository", "dead")
    receiver.status = 410
    push(server, "dead", "v1")
    receiver.wait(2, refused=True)
    push(server, "dead", "v2")
    receiver.wait(4, refused=True)
    dead = webhook(server, "dead", added["id"])
    while len(dead) < 2:
        dead = webhook(server, "dead", added["id"])
    listed = {each["id"]: each for each in webhook(server, "list")}[added["id"]]

    receiver.status = 200
    retried = webhook(server, "retry", added["id"])

    assert [(each["attempts"], each["failure"]) for each in dead] == [(2, "it answers 410")] * 2
    assert tags([each["event"] for each in dead]) == ["v1", "v2"]
    assert (listed["dead"], listed["waiting"]) == (2, 0)
    assert retried == {"dead": 2, "waiting_repositories": 0}
    assert tags(receiver.wait(2)) == ["v1", "v2"]
    webhook(server, "remove", added["id"])


def test_test_tells_what_the_server_answers(server: Server, receiver: Receiver) -> None:
    added = webhook(server, "add", receiver.url, "--repository", "none")

    good = webhook(server, "test", added["id"])
    receiver.status = 302
    receiver.headers = {"Location": "http://169.254.169.254/"}
    bad = webhook(server, "test", added["id"])

    assert good == {"delivered": True, "failure": None}
    assert bad == {"delivered": False, "failure": "it answers 302"}
    assert receiver.taken[0]["detail-type"] == "ecrate Webhook Test"
    webhook(server, "remove", added["id"])


def test_private_address_is_refused_unless_a_setting_allows_it(
    tmp_path: Path, receiver: Receiver
) -> None:
    with running_server(tmp_path / "data", "--workers", "1") as server:
        added = webhook(server, "add", receiver.url)
        answer = webhook(server, "test", added["id"])

    assert not answer["delivered"]
    assert "127.0.0.1" in answer["failure"]
    assert "webhook_networks" in answer["failure"]
    assert receiver.sent == []


def test_delivery_goes_on_after_a_crash(tmp_path: Path, receiver: Receiver) -> None:
    receiver.status = 503
    with running_server(tmp_path / "data", "--workers", "1", env=SETTINGS) as server:
        webhook(server, "add", receiver.url)
        push(server, "crash", "v1")
        receiver.wait(1, refused=True)
        server.kill()
    receiver.status = 200

    with running_server(
        tmp_path / "data", "--workers", "1", env={**SETTINGS, "ECRATE_WEBHOOK_ATTEMPTS": "9"}
    ):
        events = receiver.wait(1)

    assert tags(events[:1]) == ["v1"]
