"""The stream of what happens: to whom, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.console import Visitor
from tests.support.images import make_image
from tests.support.pushing import push_image
from tests.support.server import Server, running_server

HEARTBEAT = ":"


@contextmanager
def following(visitor: Visitor) -> Iterator[Iterator[str]]:
    with visitor.client.stream("GET", "/console/stream") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield answer.iter_lines()


def read_until(lines: Iterator[str], text: str) -> list[str]:
    seen = []
    for line in lines:
        seen.append(line)
        if text in line:
            return seen
    raise AssertionError(f"the stream ended without {text}")


def test_stream_takes_a_session(server: Server, visit: Callable[[Server], Visitor]) -> None:
    assert visit(server).get("stream").status_code == 303


def test_stream_brings_state_and_events(server: Server, root: Visitor) -> None:
    server.ecr().create_repository(repositoryName="followed")
    with following(root) as lines:
        before = read_until(lines, "event: state")
        push_image(server.ecr(), "followed", make_image(10), "streamed")
        seen = read_until(lines, "streamed")

    assert "event: happened" not in before
    assert "event: happened" in seen


def test_stream_tells_nothing_to_whom_may_not_read_it(
    server: Server, root: Visitor, guest: Visitor
) -> None:
    server.ecr().create_repository(repositoryName="secret")
    with following(root) as shown, following(guest) as hidden:
        read_until(hidden, HEARTBEAT)
        push_image(server.ecr(), "secret", make_image(10), "unseen")
        read_until(shown, "unseen")
        seen = [*read_until(hidden, HEARTBEAT), *read_until(hidden, HEARTBEAT)]

    assert [line for line in seen if line not in {"", HEARTBEAT}] == []


def test_stream_ends_when_its_session_does(root: Visitor) -> None:
    with following(root) as lines:
        read_until(lines, HEARTBEAT)
        root.post("sign-out")
        rest = list(lines)

    assert rest.count(HEARTBEAT) < 10


def test_stream_does_not_keep_a_server_from_stopping(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", "--workers", "1") as server,
        httpx.Client(base_url=server.endpoint, timeout=30) as client,
    ):
        visitor = Visitor(client)
        visitor.sign_in(server.key_id, server.secret)
        with following(visitor) as lines:
            read_until(lines, HEARTBEAT)
            code = server.stop()

    assert code == 0


def test_console_is_not_there_where_it_is_off(tmp_path: Path) -> None:
    env = {"ECRATE_CONSOLE": "false"}
    with running_server(tmp_path / "data", "--workers", "1", env=env) as server:
        answer = httpx.get(f"{server.endpoint}/console/")

    assert answer.status_code == 404


def test_development_mode_takes_any_key(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "data", "--workers", "1", "--dev") as server,
        httpx.Client(base_url=server.endpoint, timeout=30) as client,
    ):
        visitor = Visitor(client)
        visitor.sign_in("123456789012", "anything", "eu-west-1")
        page = visitor.get("registry").text

    assert "Registry 123456789012" in page
    assert "eu-west-1" in page
    assert "Background work" not in page
