"""`ecrate-credential-provider`: how a kubelet comes by a token."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest

from ecrate.cli.credential_provider import main
from tests.cli.challenging_registry import challenging_registry
from tests.cli.conftest import Run
from tests.support.aws_cli import Ran
from tests.support.server import ACCOUNT, REGION, Server

VERSION = "credentialprovider.kubelet.k8s.io/v1"


@pytest.fixture
def ask(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Ask for an image's credentials as a kubelet does, with the server's variables."""
    _ = run  # for its variables

    def answer(image: str, kind: str = "CredentialProviderRequest", version: str = VERSION) -> Ran:
        request = {"kind": kind, "apiVersion": version, "image": image}
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
        code = main([])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return answer


@pytest.mark.parametrize("host", ["{0}", f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{{1}}"])
def test_provider_gives_a_token_that_is_good_for_almost_twelve_hours(
    ask: Run, server: Server, host: str
) -> None:
    name = host.format(server.host, server.port)

    answer = json.loads(ask(f"{name}/team/app:v1").out)

    auth = answer.pop("auth")
    seconds = int(re.fullmatch("([0-9]+)s", answer.pop("cacheDuration"))[1])  # type: ignore[index]  # a match
    assert answer == {
        "kind": "CredentialProviderResponse",
        "apiVersion": VERSION,
        "cacheKeyType": "Registry",
    }
    assert 11 * 3600 < seconds < 12 * 3600
    assert list(auth) == [name]
    with server.http() as http:
        http.auth = (auth[name]["username"], auth[name]["password"])
        assert http.get("/v2/").status_code == 200


def test_provider_has_nothing_for_other_registries(ask: Run) -> None:
    with challenging_registry() as other:
        answer = json.loads(ask(f"{other.host}/app").out)

    assert (answer["auth"], answer["cacheDuration"]) == ({}, "0s")


def test_provider_says_what_is_wrong(
    ask: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    answer = ask(f"{server.host}/app")

    assert (answer.code, answer.out) == (1, "")
    assert "InvalidSignatureException" in answer.err


@pytest.mark.parametrize(
    ("kind", "version"),
    [("CredentialProviderRequest", f"{VERSION}beta1"), ("Request", VERSION)],
    ids=["version", "kind"],
)
def test_provider_refuses_what_it_does_not_know(ask: Run, kind: str, version: str) -> None:
    answer = ask("host/app", kind, version)

    assert (answer.code, answer.out) == (1, "")
    assert f"a CredentialProviderRequest of {VERSION}" in answer.err


def test_provider_refuses_what_is_no_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello"))

    assert main([]) == 1
    assert "standard input has to be" in capsys.readouterr().err


def test_provider_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ecrate-credential-provider (ecrate) ")
