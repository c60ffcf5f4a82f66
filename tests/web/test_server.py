"""Requests that no door sees: what is no HTTP, or names no host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server import Server, running_server
from tests.support.wire import Wire


@pytest.mark.parametrize("path", ["/v2/", "/", "/healthz"])
@pytest.mark.parametrize(
    "host",
    [
        pytest.param('x", Basic realm="y', id="quotes"),
        pytest.param("x\\y", id="backslash"),
        pytest.param("x y", id="space"),
        pytest.param("user@x", id="user"),
        pytest.param("x/y", id="path"),
        pytest.param("\udcff", id="no-text"),
    ],
)
def test_host_that_is_none_is_refused(server: Server, host: str, path: str) -> None:
    with Wire(server.port) as wire:
        answer = wire.ask("GET", path, {"Host": host})

    assert answer.status == 400
    assert answer.body == b"The Host header is no host name or address.\n"
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize(
    "host", ["", "my_registry:5000", "[::1]:5100", "[fe80::1%25eth0]", "REGISTRY.example."]
)
def test_host_that_is_one_is_answered(server: Server, host: str) -> None:
    with Wire(server) as wire:
        answer = wire.ask("GET", "/v2/", {"Host": host})

    assert answer.status == 200


def test_malformed_requests_are_a_line_each_of_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    malformed = ["Authorization: Basic c2VjcmV0\rX: y", f"Cookie: {'secret' * 3000}", "no header"]
    with running_server(tmp_path / "data", "--workers", "1") as single:
        for line in malformed:
            with Wire(single) as wire:
                wire.send(f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
                assert wire.answer().status == 400

    lines = capfd.readouterr().err.splitlines()
    told = [line.partition(" INFO ")[2] for line in lines if "malformed" in line]
    begin = "refused a malformed request from 127.0.0.1: "
    assert told == [begin + name for name in ("BadHttpMessage", "LineTooLong", "BadHttpMessage")]
    assert not any("secret" in line or "c2VjcmV0" in line for line in lines)
    assert not any("Traceback" in line for line in lines)
