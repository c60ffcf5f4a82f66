"""How the command line proves to a registry who it is, and to whom it does not."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ecrate.upstream.challenges import Challenge, is_bound, read_challenges
from ecrate.upstream.endpoints import Endpoint
from tests.cli.challenging_registry import ChallengingRegistry, challenging_registry
from tests.cli.conftest import LogIn, Run
from tests.support.images import make_image
from tests.support.policies import open_to_all
from tests.support.registry import push_image
from tests.support.server import running_server

_BASIC = "Basic " + base64.b64encode(b"me:pass").decode()


@pytest.fixture
def registry() -> Iterator[ChallengingRegistry]:
    """A registry that wants a token."""
    with challenging_registry() as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(
            ['Bearer realm="https://a.example/t?x=1",service="a, \\"b\\"",scope="s:r:pull,push"'],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a.example/t?x=1",
                        "service": 'a, "b"',
                        "scope": "s:r:pull,push",
                    },
                )
            ],
            id="bearer",
        ),
        pytest.param(
            ["Negotiate, Basic Realm=bare , charset=UTF-8"],
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": "bare", "charset": "UTF-8"}),
            ],
            id="two in a header",
        ),
        pytest.param(["", "=,=", "Basic"], [Challenge("basic", {})], id="odd ones"),
    ],
)
def test_challenges_are_read(headers: list[str], expected: list[Challenge]) -> None:
    assert read_challenges(headers) == expected


@pytest.mark.parametrize(
    ("registry", "realm", "expected"),
    [
        pytest.param("https://a.example", "https://a.example", True, id="itself"),
        pytest.param("https://a.example", "https://a.example:8443", True, id="another port"),
        pytest.param("https://a.example", "https://auth.a.example", True, id="below"),
        pytest.param("https://registry.a.example", "https://a.example", True, id="above"),
        pytest.param("https://registry-1.docker.io", "https://auth.docker.io", True, id="hub"),
        pytest.param("https://mine.example", "https://trusted.test", True, id="trusted"),
        pytest.param("http://127.0.0.1:5", "http://127.0.0.1:6", True, id="this machine"),
        pytest.param("https://a.example", "http://a.example", False, id="without TLS"),
        pytest.param("https://a.example", "https://b.example", False, id="sibling"),
        pytest.param("https://a.example", "https://nota.example", False, id="suffix only"),
        pytest.param("https://a.example", "https://a.example.evil", False, id="prefix only"),
        pytest.param("https://a.example", "https://example", False, id="top level"),
        pytest.param("http://127.0.0.1", "http://0.0.1", False, id="part of an address"),
        pytest.param("https://evil.docker.io", "https://auth.docker.io", False, id="like the hub"),
    ],
)
def test_realm_is_bound_to_its_registry(registry: str, realm: str, *, expected: bool) -> None:
    ours, theirs = (_endpoint(url) for url in (registry, realm))

    assert is_bound(theirs, ours, ["trusted.test"]) is expected


def _endpoint(url: str) -> Endpoint:
    parts = urlsplit(url)
    return Endpoint(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port or 1,
        connect_timeout=None,
        read_timeout=None,
        tls=None,
    )


def test_token_is_fetched_with_the_credentials(
    plain_run: Run, registry: ChallengingRegistry, log_in: LogIn
) -> None:
    log_in({registry.host: ("me", "pass")})

    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.out == "one\n", ran.err
    ((asked, authorization, _),) = registry.asked
    assert parse_qs(urlsplit(asked).query) == {
        "service": ["here"],
        "scope": ["repository:app:pull"],
    }
    assert authorization == _BASIC


def test_token_is_fetched_without_credentials(
    plain_run: Run, registry: ChallengingRegistry
) -> None:
    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.code == 0, ran.err
    assert [authorization for _, authorization, _ in registry.asked] == [None]


def test_identity_token_goes_into_a_form(
    plain_run: Run, registry: ChallengingRegistry, log_in: LogIn
) -> None:
    log_in({}, auths={registry.host: {"auth": "", "identitytoken": "refresh-me"}})

    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.code == 0, ran.err
    ((asked, authorization, body),) = registry.asked
    assert (asked, authorization) == ("/token", None)
    assert parse_qs(body)["refresh_token"] == ["refresh-me"]
    assert parse_qs(body)["grant_type"] == ["refresh_token"]


def test_credentials_do_not_go_to_a_foreign_realm(
    plain_run: Run, registry: ChallengingRegistry, log_in: LogIn
) -> None:
    log_in({registry.host: ("me", "pass")})
    registry.realm = f"http://thief.localhost:{registry.server_port}/token"

    refused = plain_run("ls", "--tags", f"{registry.host}/app")
    trusted = plain_run("ls", "--tags", f"{registry.host}/app", "--trust-realm", "thief.localhost")

    assert refused.code == 253
    assert "add --trust-realm thief.localhost" in refused.err
    assert trusted.code == 0, trusted.err
    assert len(registry.asked) == 1


def test_foreign_realm_may_be_asked_without_credentials(
    plain_run: Run, registry: ChallengingRegistry
) -> None:
    registry.realm = f"http://other.localhost:{registry.server_port}/token"

    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.code == 0, ran.err


def test_helper_of_docker_is_asked(
    plain_run: Run,
    registry: ChallengingRegistry,
    log_in: LogIn,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _install_helper(tmp_path, 'print(\'{"Username": "me", "Secret": "pass"}\')')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    log_in({}, credHelpers={registry.host: "test"}, credsStore="missing")

    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.code == 0, ran.err
    assert [authorization for _, authorization, _ in registry.asked] == [_BASIC]
    assert (tmp_path / "asked").read_text() == f"get {registry.host}"


def test_helper_without_credentials_leaves_the_request_without(
    plain_run: Run,
    registry: ChallengingRegistry,
    log_in: LogIn,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _install_helper(tmp_path, "sys.exit('credentials not found in native keychain')")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    log_in({}, credsStore="test")

    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.code == 0, ran.err
    assert [authorization for _, authorization, _ in registry.asked] == [None]


def test_missing_helper_is_told(
    plain_run: Run, registry: ChallengingRegistry, log_in: LogIn
) -> None:
    log_in({}, credsStore="no-such")

    ran = plain_run("ls", "--tags", f"{registry.host}/app")

    assert ran.code == 255
    assert "docker-credential-no-such, which is not installed" in ran.err


def _install_helper(folder: Path, action: str) -> None:
    program = folder / "docker-credential-test"
    asked = f"open({str(folder / 'asked')!r}, 'w').write(f'{{sys.argv[1]}} {{sys.stdin.read()}}')"
    program.write_text(f"#!{sys.executable}\nimport sys\n{asked}\n{action}\n")
    program.chmod(0o755)


def test_ecrate_with_anonymous_pulls_is_asked_for_a_token(
    plain_run: Run, log_in: LogIn, tmp_path: Path
) -> None:
    image = make_image(1000)
    env = {"ECRATE_ANONYMOUS_PULL": "true"}
    with running_server(tmp_path / "data", "--workers", "1", env=env) as server:
        server.ecr().create_repository(repositoryName="app")
        open_to_all(server.ecr(), "app")
        with server.http() as http:
            push_image(http, "app", image, "v1")
        name = f"{server.host}/app:v1"

        nameless = plain_run("pull", name, str(tmp_path / "one"))
        forbidden = plain_run("copy", name, f"{server.host}/app:v2")
        log_in({server.host: (server.key_id, server.secret)})
        allowed = plain_run("copy", name, f"{server.host}/app:v2")

    assert image.digest in nameless.out, nameless.err
    assert forbidden.code == 254
    assert (allowed.code, allowed.err.count("already there")) == (0, 2), allowed.err
