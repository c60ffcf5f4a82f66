"""The server's processes: one server a data directory, workers replaced, an end in good order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.registry import (
    MIB,
    finish_upload,
    forever,
    push_blob,
    some_bytes,
    start_upload,
    wait_until,
    workers_of,
)
from tests.support.server import Server, plain_environment, running_server, start_server
from tests.support.wire import Wire


@pytest.fixture
def lone_server(tmp_path: Path) -> Iterator[Server]:
    """A server of one worker."""
    with running_server(tmp_path / "data", "--workers", "1") as running:
        yield running


def refusal(data: Path, port: int = 0) -> tuple[int, str]:
    """Start a server that cannot start; give its exit code and what it says."""
    command = [sys.executable, "-m", "ecrate", "serve", "--data", str(data), "--port", str(port)]
    answer = subprocess.run(
        command,
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.stdout == ""
    return answer.returncode, answer.stderr


def pids_of(server: Server) -> set[int]:
    return {worker.pid for worker in workers_of(server)}


def is_healthy(server: Server) -> bool:
    """Tell whether a new connection gets an answer."""
    return httpx.get(f"{server.endpoint}/healthz", timeout=60).text == "ok\n"


@contextlib.contextmanager
def half_an_upload(server: Server, content: bytes) -> Iterator[tuple[Wire, str]]:
    """Send the first half of a PATCH that the server has begun to read; give its upload, too."""
    server.ecr().create_repository(repositoryName="half/sent")
    with server.http() as http:
        location = start_upload(http, "half/sent")
    with Wire(server) as wire:
        length = str(len(content))
        wire.head("PATCH", location, {"Content-Length": length, "Expect": "100-continue"})
        assert wire.answer().status == 100
        wire.send(content[: len(content) // 2])
        yield wire, location


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_credentials(server: Server, path: str) -> None:
    answer = httpx.get(server.endpoint + path)

    assert answer.status_code == 200
    assert answer.text.endswith("ok\n")


def test_second_start_on_the_same_data_is_refused(lone_server: Server) -> None:
    answer = refusal(lone_server.data)

    message = f"ecrate: another ecrate is running on 'data' {lone_server.data}"
    assert answer == (2, f"{message}; 'data' is set in the command line (--data)\n")
    assert is_healthy(lone_server)


def test_start_on_a_port_in_use_is_refused(lone_server: Server, tmp_path: Path) -> None:
    answer = refusal(tmp_path / "other", lone_server.port)

    assert answer == (2, _in_use(lone_server.port))
    assert is_healthy(lone_server)


def test_start_on_a_port_that_another_program_uses_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        answer = refusal(tmp_path / "data", port)

    assert answer == (2, _in_use(port))


def _in_use(port: int) -> str:
    return (
        f"ecrate: cannot listen on 'host' 127.0.0.1, 'port' {port}: address already in use; "
        "'port' is set in the command line (--port)\n"
    )


def test_start_on_data_of_a_newer_version_is_refused(lone_server: Server) -> None:
    lone_server.stop()
    with contextlib.closing(sqlite3.connect(lone_server.data / "ecrate.db")) as database:
        database.execute("UPDATE schema_version SET version = 99, oldest_code = 99")
        database.commit()

    answer = refusal(lone_server.data)

    message = (
        f"ecrate: the data in 'database' {lone_server.data}/ecrate.db was written by a newer "
        "ecrate (schema 99); run that version or restore a backup\n"
    )
    assert answer == (2, message)


def test_start_after_a_kill_goes_on(lone_server: Server) -> None:
    lone_server.kill()

    with running_server(lone_server.data, "--workers", "1") as again:
        assert is_healthy(again)
        assert (again.key_id, again.secret) == (lone_server.key_id, lone_server.secret)


def test_root_key_is_like_no_other(server: Server, lone_server: Server) -> None:
    keys = [(one.key_id, one.secret) for one in (server, lone_server)]

    assert keys[0][0] != keys[1][0]
    assert keys[0][1] != keys[1][1]
    assert all(len(secret) >= 40 for _, secret in keys)


def test_data_is_its_owners_only(lone_server: Server) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in lone_server.data.iterdir()}

    assert {modes[name] for name in ("credentials", "secret", "ecrate.db", "lock")} == {0o600}
    assert lone_server.data.stat().st_mode & 0o777 == 0o700


def test_there_are_as_many_workers_as_was_said(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--workers", "3") as running:
        wait_until(lambda: len(pids_of(running)) == 3)

        answers = [is_healthy(running) for _ in range(9)]

    assert all(answers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.parametrize(
    "size", [pytest.param(1000, id="small"), pytest.param(3 * MIB, id="handed-off")]
)
def test_end_finishes_the_request_under_way(
    lone_server: Server, number: signal.Signals, size: int
) -> None:
    content = some_bytes(size)
    with half_an_upload(lone_server, content) as (wire, _), Wire(lone_server) as idle:
        assert idle.ask("GET", "/healthz").status == 200
        lone_server.process.send_signal(number)
        rest = idle.rest()
        wire.send(content[size // 2 :])
        answer = wire.answer()
        code = lone_server.process.wait()

    assert rest == b""
    assert (answer.status, answer.headers["Range"]) == (202, f"0-{size - 1}")
    assert code == 0


def test_end_waits_for_no_one_who_says_nothing(lone_server: Server) -> None:
    with Wire(lone_server) as silent, Wire(lone_server) as half_said:
        half_said.send(b"GET /heal")
        assert is_healthy(lone_server)
        code = lone_server.stop()
        rests = silent.rest(), half_said.rest()

    assert code == 0
    assert rests == (b"", b"")


def test_end_keeps_what_was_acknowledged(lone_server: Server) -> None:
    lone_server.ecr().create_repository(repositoryName="kept")
    with lone_server.http() as http:
        digest = push_blob(http, "kept", b"content")
    lone_server.stop()

    with running_server(lone_server.data) as again, again.http() as http:
        answer = http.get(f"/v2/kept/blobs/{digest}")

    assert answer.content == b"content"


def test_hangup_replaces_the_workers_while_requests_go_on(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--workers", "2") as running:
        wait_until(lambda: len(pids_of(running)) == 2)
        old = pids_of(running)
        answers: list[bool] = []
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                answers.append(is_healthy(running))

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        wait_until(lambda: len(answers) > 3)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not old & pids_of(running))
        count = len(answers)
        wait_until(lambda: len(answers) > count + 3)
        is_over.set()
        for client in clients:
            client.join()
        new = pids_of(running)

    assert len(new) == 2
    assert all(answers)


def test_hangup_lets_the_old_worker_finish_its_request(lone_server: Server) -> None:
    content = some_bytes(2 * MIB)
    (old,) = workers_of(lone_server)
    with half_an_upload(lone_server, content) as (wire, location):
        lone_server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(pids_of(lone_server)) == 2)
        assert is_healthy(lone_server)
        wire.send(content[MIB:])
        answer = wire.answer()
    with lone_server.http() as http:
        finished = finish_upload(http, location, content)
    # A worker that has ended counts until the server has taken note.
    wait_until(lambda: old.pid not in pids_of(lone_server))

    assert answer.status == 202
    assert finished.status_code == 201


def test_killed_worker_is_replaced(lone_server: Server) -> None:
    (old,) = workers_of(lone_server)

    old.kill()

    assert is_healthy(lone_server)
    assert old.pid not in pids_of(lone_server)


def test_workers_that_keep_dying_end_the_server(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = start_server(tmp_path / "data", "--workers", "1")
    try:
        for _ in forever(step=0.005):
            if server.process.poll() is not None:
                break
            kill_workers(server)
        code = server.process.wait()
    finally:
        server.kill()

    assert code == 1
    assert capfd.readouterr().err.splitlines()[-1] == "ecrate: workers keep dying as they start"


def kill_workers(server: Server) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for worker in workers_of(server):
            worker.kill()


def test_workers_end_with_a_supervisor_that_is_killed(lone_server: Server) -> None:
    workers = workers_of(lone_server)

    os.kill(lone_server.process.pid, signal.SIGKILL)

    lone_server.process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert (len(gone), alive) == (1, [])
