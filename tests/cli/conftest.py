"""The command line in this process, and a proxy that breaks connections."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecrate.cli import main
from tests.cli.strict_service import StrictService
from tests.support.aws_cli import Ran
from tests.support.docker_registry import (
    PASSWORD,
    USER,
    DockerRegistry,
    running_docker_registry,
)
from tests.support.server import Server

Run = Callable[..., Ran]
LogIn = Callable[..., None]


@pytest.fixture
def plain_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command without any configuration in the environment."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_DEFAULT_OUTPUT",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_ECR",
        "AWS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("DOCKER_CONFIG", "/nowhere/docker")

    def run(*words: str) -> Ran:
        code = main(list(words))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def run(plain_run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with the server's variables."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return plain_run


class CuttingProxy:
    """Passes connections on to a server and cuts some of them in the middle.

    `up` and `down` say after how many bytes to and from the server the next connection is cut;
    used up, connections live.
    """

    def __init__(self, target: tuple[str, int], *, up: list[int], down: list[int]) -> None:
        self._target = target
        self._up = up
        self._down = down
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def endpoint(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def close(self) -> None:
        # A close alone does not wake up the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            done = threading.Barrier(2)
            self._start(self._pass, client, server, self._up, done)
            self._start(self._pass, server, client, self._down, done)

    def _pass(
        self,
        source: socket.socket,
        sink: socket.socket,
        budgets: list[int],
        done: threading.Barrier,
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if budgets and passed > budgets[0]:
                    budgets.pop(0)
                    self.cuts += 1
                    break
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        done.wait(30)
        source.close()


@pytest.fixture
def make_proxy(server: Server) -> Iterator[Callable[..., CuttingProxy]]:
    """Put a proxy before the server, or before another one on this machine."""
    with contextlib.ExitStack() as stack:

        def make(
            *, up: list[int] | None = None, down: list[int] | None = None, port: int = server.port
        ) -> CuttingProxy:
            proxy = CuttingProxy(("127.0.0.1", port), up=up or [], down=down or [])
            stack.callback(proxy.close)
            return proxy

        yield make


@pytest.fixture(scope="session")
def docker_registry() -> Iterator[DockerRegistry]:
    """A registry that is not ours."""
    with (
        tempfile.TemporaryDirectory(prefix="ecrate-registry-") as folder,
        running_docker_registry(Path(folder)) as running,
    ):
        yield running


@pytest.fixture
def foreign(docker_registry: DockerRegistry, log_in: LogIn, repository: str) -> str:
    """A repository at the registry that is not ours, where docker is logged in."""
    log_in({docker_registry.host: (USER, PASSWORD)})
    return f"{docker_registry.host}/{repository}"


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LogIn:
    """Write docker's configuration: user and password by host."""

    def write(logins: dict[str, tuple[str, str]], **others: object) -> None:
        folder = tmp_path / "docker"
        folder.mkdir(exist_ok=True)
        auths = {
            host: {"auth": base64.b64encode(":".join(login).encode()).decode()}
            for host, login in logins.items()
        }
        (folder / "config.json").write_text(json.dumps({"auths": auths, **others}))
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))

    return write


@pytest.fixture
def service() -> Iterator[StrictService]:
    """Run a service that is stricter than ours."""
    with StrictService() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def run_strict(plain_run: Run, service: StrictService, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with the variables that lead to the strict service."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{service.server_port}")
    return plain_run
