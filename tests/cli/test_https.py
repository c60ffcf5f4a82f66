from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.certificates import Pair, issue, make_authority
from tests.support.server import Server, running_server

_CALL = ("ecr", "describe-registry", "--query", "registryId")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Who signed the server's certificate."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Pair) -> Iterator[Server]:
    """A server that speaks TLS only."""
    pair = issue(authority, "server")
    env = {"ECRATE_TLS_CERTIFICATE": str(pair.certificate), "ECRATE_TLS_KEY": str(pair.key)}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--workers", "1", env=env) as running,
    ):
        yield running


@pytest.fixture
def run_secure(
    plain_run: Run,
    secure: Server,
    authority: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run the command with the server's variables; a profile trusts its authority."""
    config = tmp_path / "config"
    config.write_text(f"[profile trusting]\nca_bundle = {authority.certificate}\n")
    for name, value in {**secure.env, "AWS_CONFIG_FILE": str(config)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{secure.host}")
    return plain_run


@pytest.mark.parametrize(
    ("words", "variables", "code", "text"),
    [
        pytest.param([], {}, 255, "certificate", id="unknown authority"),
        pytest.param(["--ca-bundle", "{bundle}"], {}, 0, "", id="option"),
        pytest.param([], {"AWS_CA_BUNDLE": "{bundle}"}, 0, "", id="variable"),
        pytest.param([], {"AWS_PROFILE": "trusting"}, 0, "", id="configuration"),
        pytest.param(["--no-verify-ssl"], {}, 0, "", id="not verified"),
        pytest.param(["--ca-bundle", "/no/such"], {}, 255, "/no/such", id="no file"),
    ],
)
def test_certificates_are_checked_as_the_options_say(
    run_secure: Run,
    authority: Pair,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: list[str],
    variables: dict[str, str],
    code: int,
    text: str,
) -> None:
    bundle = str(authority.certificate)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(bundle=bundle))

    ran = run_secure(*_CALL, *(word.format(bundle=bundle) for word in words))

    assert (ran.code, ran.out) == (code, "" if code else '"000000000000"\n')
    assert text in ran.err


def test_an_answer_that_does_not_come_is_not_waited_for(run_strict: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"

        ran = run_strict(*_CALL, "--endpoint-url", endpoint, "--cli-read-timeout", "1")

    assert ran.code == 255
    assert "timed out" in ran.err
