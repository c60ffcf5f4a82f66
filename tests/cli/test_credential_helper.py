"""`docker-credential-ecrate` and `ecrate login`: how docker comes by a token."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecrate.cli.credential_helper import main
from tests.cli.challenging_registry import ChallengingRegistry, challenging_registry
from tests.cli.conftest import LogIn, Run
from tests.support.aws_cli import Ran
from tests.support.docker_registry import DockerRegistry
from tests.support.server import ACCOUNT, REGION, Server

_NOT_FOUND = "credentials not found in native keychain\n"


@pytest.fixture
def helper(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the helper with the server's variables."""
    _ = run  # for its variables

    def ask(action: str, given: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        code = main([action])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return ask


@pytest.fixture
def registry() -> Iterator[ChallengingRegistry]:
    """A registry that is no ecrate."""
    with challenging_registry() as running:
        yield running


@pytest.mark.parametrize(
    "url",
    ["{0}", "http://{0}", "https://{0}/v1/", "http://{0}/v2/"],
    ids=["host", "http", "v1", "v2"],
)
def test_helper_gives_a_token_that_is_good(helper: Run, server: Server, url: str) -> None:
    given = url.format(server.host)

    answer = json.loads(helper("get", f"{given}\n").out)

    assert (answer["ServerURL"], answer["Username"]) == (given, "AWS")
    with server.http() as http:
        http.auth = ("AWS", answer["Secret"])
        assert http.get("/v2/").status_code == 200


def test_helper_finds_an_ecrate_by_its_answer(
    helper: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    answer = json.loads(helper("get", server.host).out)

    assert answer["Username"] == "AWS"


def test_helper_knows_registry_hosts(helper: Run, server: Server) -> None:
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{server.port}"

    assert json.loads(helper("get", host).out)["ServerURL"] == host


def test_helper_has_nothing_for_other_registries(
    helper: Run, registry: ChallengingRegistry
) -> None:
    assert helper("get", registry.host) == Ran(1, _NOT_FOUND, "")


@pytest.mark.parametrize("host", ["127.0.0.1:9", "", "https://"])
def test_helper_has_nothing_where_nobody_is(helper: Run, host: str) -> None:
    assert helper("get", host) == Ran(1, _NOT_FOUND, "")


def test_helper_says_what_is_wrong(
    helper: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = helper("get", server.host)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    missing = helper("get", server.host)

    assert (wrong.code, missing.code) == (1, 1)
    assert "InvalidSignatureException" in wrong.out
    assert "Unable to locate credentials" in missing.out


def test_helper_lists_the_configured_registry(helper: Run, server: Server) -> None:
    assert json.loads(helper("list").out) == {server.endpoint: "AWS"}


def test_helper_keeps_no_passwords(helper: Run, server: Server) -> None:
    def store(user: str) -> Ran:
        given = {"ServerURL": server.host, "Username": user, "Secret": "x"}
        return helper("store", json.dumps(given))

    assert store("AWS").code == 0
    assert store("somebody").code == 1
    assert helper("erase", server.host).code == 0
    assert helper("steal").code == 1


def test_helper_is_installed_and_quick(server: Server) -> None:
    program = Path(sys.executable).with_name("docker-credential-ecrate")

    done = subprocess.run(
        [program, "get"],
        input=server.host,
        env={**os.environ, **server.env},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)["Username"] == "AWS"


def _config(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "config.json").read_text())
    return found


def test_login_writes_what_docker_reads(run: Run, server: Server, log_in: LogIn) -> None:
    log_in({"other.example": ("a", "b")}, psFormat="x")
    folder = os.environ["DOCKER_CONFIG"]

    ran = run("login")

    config = _config(folder)
    mode = (Path(folder) / "config.json").stat().st_mode
    assert ran.out.startswith(f"logged in at {server.host} as AWS until ")
    assert stat.S_IMODE(mode) == 0o600
    assert config["psFormat"] == "x"
    assert set(config["auths"]) == {"other.example", server.host}
    assert [path.name for path in Path(folder).iterdir()] == ["config.json"]


def test_login_is_what_copy_takes(
    run: Run, server: Server, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in({})
    run("login")
    for name in server.env:
        monkeypatch.delenv(name, raising=False)

    ran = run("ls", "--tags", f"{server.host}/no/such")

    assert ran.code == 254
    assert "NAME_UNKNOWN" in ran.err


def test_login_uses_the_store_of_docker(
    run: Run, server: Server, log_in: LogIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker-credential-kept"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/$1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    log_in({}, credsStore="kept")

    ran = run("login", "--json")

    stored = json.loads((tmp_path / "store").read_text())
    assert json.loads(ran.out)["place"] == "docker-credential-kept"
    assert (stored["ServerURL"], stored["Username"]) == (server.host, "AWS")
    assert _config(os.environ["DOCKER_CONFIG"])["auths"] == {}


def test_login_can_leave_it_to_the_helper(
    run: Run, server: Server, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in({}, credHelpers={"other.example": "x"})
    missing = run("login", "--helper")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)

    ran = run("login", "--helper")

    assert missing.code == 255
    assert "not in PATH" in missing.err
    assert ran.code == 0, ran.err
    helpers = _config(os.environ["DOCKER_CONFIG"])["credHelpers"]
    assert helpers == {"other.example": "x", server.host: "ecrate"}


def test_login_elsewhere_is_left_to_docker(run: Run, docker_registry: DockerRegistry) -> None:
    ran = run("login", docker_registry.host)

    assert ran.code == 255
    assert f"`docker login {docker_registry.host}`" in ran.err


@pytest.mark.parametrize("content", ["{", "[]"])
def test_login_leaves_a_broken_configuration_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "config.json").write_text(content)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    ran = run("login")

    assert ran.code == 255
    assert (tmp_path / "config.json").read_text() == content
