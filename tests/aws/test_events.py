"""`GET /events`: a stream of server-sent events, for those who may, from where they were."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.images import make_image
from tests.support.policies import allow, policy
from tests.support.pushing import push_image
from tests.support.server import ACCOUNT, REGION, Server, running_server

SETTINGS = {"ECRATE_EVENTS_EVERY": "0.1", "ECRATE_EVENT_STREAMS": "2"}
PATIENCE = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("events") / "data"
    with running_server(folder, "--workers", "1", env=SETTINGS) as running:
        ecr = running.ecr()
        ecr.create_repository(repositoryName="one")
        ecr.create_repository(repositoryName="two")
        yield running


def push(server: Server, repository: str, *tags: str, region: str = REGION) -> None:
    for tag in tags:
        push_image(server.ecr(region=region), repository, make_image(10), tag)


def auth(server: Server) -> tuple[str, str]:
    return server.key_id, server.secret


def parse(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    position = 0
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            position = int(value)
        elif name == "data":
            yield position, json.loads(value)


def read(server: Server, query: str = "after=0", **headers: str) -> list[tuple[int, str]]:
    """Read what there is, until the last push of a test is among it."""
    answer = httpx.get(
        f"{server.endpoint}/events?follow=false&{query}", auth=auth(server), headers=headers
    )
    assert answer.status_code == 200, answer.text
    return [
        (position, event["detail"]["image-tag"])
        for position, event in parse(iter(answer.text.splitlines()))
    ]


def wait(server: Server, tag: str) -> list[tuple[int, str]]:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = read(server)
        if found and found[-1][1] == tag:
            return found
        time.sleep(0.05)
    raise AssertionError(tag)


def test_stream_gives_what_happens(server: Server) -> None:
    url = f"{server.endpoint}/events"
    with httpx.stream("GET", url, auth=auth(server), timeout=PATIENCE) as answer:
        push(server, "one", "s1", "s2")
        events = parse(answer.iter_lines())
        found = [next(events) for _ in range(2)]

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert [event["detail"]["image-tag"] for _, event in found] == ["s1", "s2"]
    assert found[0][0] < found[1][0]
    assert found[0][1]["source"] == "aws.ecr"


def test_stream_goes_on_behind_the_last_event_that_was_seen(server: Server) -> None:
    push(server, "one", "r1", "r2", "r3")
    (position, _), *behind = wait(server, "r3")[-3:]

    by_header = read(server, "", **{"Last-Event-ID": str(position)})
    by_query = read(server, f"after={position}")

    assert by_header == by_query == behind


def test_stream_of_one_repository(server: Server) -> None:
    push(server, "one", "o1")
    push(server, "two", "o2")
    push(server, "one", "o3")
    wait(server, "o3")

    assert [tag for _, tag in read(server, "after=0&repository=two")] == ["o2"]


def test_other_regions_events_are_not_seen(server: Server) -> None:
    server.ecr(region="eu-west-1").create_repository(repositoryName="one")
    push(server, "one", "elsewhere", region="eu-west-1")
    push(server, "one", "here")

    found = wait(server, "here")

    assert "elsewhere" not in {tag for _, tag in found}


def test_signature_and_token_are_credentials_too(server: Server) -> None:
    url = f"{server.endpoint}/events?follow=false&after=0"
    request = AWSRequest("GET", url)
    SigV4Auth(Credentials(server.key_id, server.secret), "ecr", REGION).add_auth(request)
    token = server.ecr().get_authorization_token()["authorizationData"][0]["authorizationToken"]

    signed = httpx.get(url, headers=dict(request.headers))
    tampered = httpx.get(url.replace("after=0", "after=1"), headers=dict(request.headers))
    basic = httpx.get(url, headers={"Authorization": f"Basic {token}"})

    assert (signed.status_code, basic.status_code) == (200, 200)
    assert tampered.headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_whoever_may_not_is_refused(server: Server) -> None:
    name = "events-reader"
    server.iam("create-user", name)
    key = json.loads(server.iam("create-access-key", name).stdout)
    url = f"{server.endpoint}/events?follow=false&after=0"
    login = (key["id"], key["secret"])

    nameless = httpx.get(url)
    wrong = httpx.get(url, auth=(server.key_id, "wrong"))
    denied = httpx.get(url, auth=login)
    document = policy(
        allow("ecr:ReadEvents", Resource=f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/two")
    )
    server.iam("put-user-policy", name, "two", document)
    still_denied = httpx.get(url, auth=login)
    allowed = httpx.get(f"{url}&repository=two", auth=login)

    assert (nameless.status_code, wrong.status_code) == (401, 401)
    assert denied.status_code == still_denied.status_code == 403
    assert "ecr:ReadEvents" in denied.json()["message"]
    assert allowed.status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("after=x", id="position"),
        pytest.param("after=99999999999999999999", id="large"),
        pytest.param("follow=maybe", id="follow"),
        pytest.param("repository=UPPER", id="repository"),
    ],
)
def test_bad_query_is_refused(server: Server, query: str) -> None:
    answer = httpx.get(f"{server.endpoint}/events?{query}", auth=auth(server))

    assert answer.status_code == 400
    assert answer.json()["__type"] == "InvalidParameterException"


def test_streams_are_limited(server: Server) -> None:
    url = f"{server.endpoint}/events"
    with (
        httpx.stream("GET", url, auth=auth(server)) as first,
        httpx.stream("GET", url, auth=auth(server)) as second,
    ):
        third = httpx.get(url, auth=auth(server))

    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 503)
    assert third.headers["Retry-After"] == "5"


def test_server_that_stops_ends_its_streams(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stop") / "data"
    with running_server(folder, "--workers", "1", env=SETTINGS) as server:
        url = f"{server.endpoint}/events"
        with httpx.stream("GET", url, auth=auth(server), timeout=PATIENCE) as answer:
            server.process.terminate()
            text = "".join(answer.iter_text())
        code = server.process.wait(10)

    assert (text, code) == ("", 0)
