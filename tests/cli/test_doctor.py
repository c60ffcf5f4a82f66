"""`ecrate doctor`: what it finds, and the way it shows to mend it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecrate.cli.doctor.clients import check_containerd, hosts_folder, is_insecure
from ecrate.cli.doctor.findings import Situation
from ecrate.cli.doctor.machine import filesystem_of
from ecrate.cli.doctor.server import compare_clocks, read_certificate
from ecrate.cli.registries import plain_registries
from ecrate.drivers import Layout
from ecrate.settings import Settings
from ecrate.store.database import SCHEMA_VERSION
from ecrate.upstream.endpoints import Endpoint
from tests.cli.conftest import LogIn, Run
from tests.support.aws_cli import Ran
from tests.support.certificates import Pair, issue, make_authority
from tests.support.docker_registry import DockerRegistry
from tests.support.server import Server, running_server

Doctor = Callable[..., tuple[Ran, list[dict[str, str]]]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Who signed the server's certificate."""
    return make_authority(tmp_path_factory.mktemp("authority") / "made")


@pytest.fixture(scope="module")
def pair(authority: Pair) -> Pair:
    """A certificate for two days."""
    return issue(authority, "server")


@pytest.fixture
def doctor(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doctor:
    """Run it where neither docker nor containerd is installed; give its findings too."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def look(*words: str) -> tuple[Ran, list[dict[str, str]]]:
        ran = run("doctor", "--json", *words)
        findings: list[dict[str, str]] = json.loads(ran.out)["findings"]
        return ran, findings

    return look


def _find(findings: list[dict[str, str]], what: str, status: str) -> dict[str, str]:
    """Give the only finding of that kind."""
    (found,) = [each for each in findings if (each["what"], each["status"]) == (what, status)]
    return found


def test_doctor_is_content_with_a_running_server(doctor: Doctor, server: Server) -> None:
    ran, findings = doctor("--data", str(server.data))

    assert ran.code == 0
    assert {each["status"] for each in findings} <= {"ok", "note", "skipped"}
    assert server.key_id in _find(findings, "credentials", "ok")["told"]
    assert _find(findings, "database", "ok")["told"].endswith(f"has schema {SCHEMA_VERSION}")
    assert _find(findings, "docker", "skipped")["told"] == "is not installed"


def test_doctor_tells_people_how_to_mend(doctor: Doctor, run: Run, server: Server) -> None:
    _ = doctor  # for its surroundings

    lines = run("doctor", "--endpoint-url", "http://127.0.0.1:9").out.splitlines()

    (at,) = [
        number for number, line in enumerate(lines) if line.startswith("BROKEN server: nobody")
    ]
    assert lines[at + 1].startswith("       -> start it: ecrate serve")
    assert server.host not in lines[at]


def test_doctor_finds_a_server_by_its_data(
    doctor: Doctor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    _, findings = doctor("--data", str(server.data))

    assert server.endpoint in _find(findings, "server", "ok")["told"]


@pytest.mark.parametrize(
    ("variable", "value", "told", "mend"),
    [
        pytest.param("AWS_SECRET_ACCESS_KEY", "x", "InvalidSignature", "ecrate env", id="secret"),
        pytest.param("AWS_ACCESS_KEY_ID", "AKIANOBODY", "Unrecognized", "iam create", id="key"),
        pytest.param("AWS_ACCESS_KEY_ID", "", "incomplete", "ecrate env", id="half a key"),
    ],
)
def test_doctor_finds_bad_credentials(
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    *,
    variable: str,
    value: str,
    told: str,
    mend: str,
) -> None:
    monkeypatch.setenv(variable, value)

    ran, findings = doctor()

    found = _find(findings, "credentials", "broken")
    assert ran.code == 1
    assert told in found["told"]
    assert mend in found["mend"]


def test_doctor_finds_that_nobody_answers_and_the_port_is_taken(
    doctor: Doctor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECRATE_PORT", str(server.port))

    _, findings = doctor("--endpoint-url", "http://127.0.0.1:9")

    assert "cannot be listened on" in _find(findings, "port", "broken")["told"]
    assert "ss -ltnp" in _find(findings, "port", "broken")["mend"]


def test_doctor_finds_another_server_at_the_port(
    doctor: Doctor, docker_registry: DockerRegistry
) -> None:
    ran, findings = doctor("--endpoint-url", f"http://{docker_registry.host}")

    assert ran.code == 1
    assert "is no ecrate" in _find(findings, "server", "broken")["told"]


@pytest.mark.parametrize(
    ("date", "status"),
    [
        pytest.param("Fri, 02 Jan 2026 00:00:30 GMT", "ok", id="nearly the same"),
        pytest.param("Fri, 02 Jan 2026 00:02:00 GMT", "note", id="ahead"),
        pytest.param("Thu, 01 Jan 2026 23:50:00 GMT", "broken", id="behind"),
        pytest.param("soon", "skipped", id="no date"),
    ],
)
def test_clocks_may_be_five_minutes_apart(date: str, status: str) -> None:
    assert compare_clocks(date, 1767312000.0).status == status


def test_doctor_finds_secrets_that_others_may_read(doctor: Doctor, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "credentials").write_text("")
    (data / "credentials").chmod(0o644)

    ran, findings = doctor("--data", str(data))

    assert ran.code == 1
    assert f"chmod 600 {data}/credentials" in _find(findings, "secrets", "broken")["mend"]


def _no_database(path: Path) -> str:
    path.write_bytes(b"nothing of use, but long enough for a header" * 9)
    return "file is not a database"


def _newer_database(path: Path) -> str:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE schema_version (version, oldest_code)")
    connection.execute("INSERT INTO schema_version VALUES (99, 99)")
    connection.commit()
    connection.close()
    return "written by a newer ecrate (schema 99)"


@pytest.mark.parametrize("damage", [_no_database, _newer_database])
def test_doctor_finds_a_database_of_no_use(
    doctor: Doctor, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    text = damage(data / "ecrate.db")
    before = (data / "ecrate.db").read_bytes()

    _, findings = doctor("--data", str(data))

    assert text in _find(findings, "database", "broken")["told"]
    assert (data / "ecrate.db").read_bytes() == before
    assert [file.name for file in data.iterdir()] == ["ecrate.db"]


def test_doctor_looks_at_certificates(
    authority: Pair, pair: Pair, doctor: Doctor, tmp_path: Path
) -> None:
    env = {"ECRATE_TLS_CERTIFICATE": str(pair.certificate), "ECRATE_TLS_KEY": str(pair.key)}
    with running_server(tmp_path / "data", "--workers", "1", env=env) as running:
        url = f"https://127.0.0.1:{running.port}"
        stranger, unknown = doctor("--endpoint-url", url)
        _, trusted = doctor("--endpoint-url", url, "--ca-bundle", str(authority.certificate))

    assert stranger.code == 1
    assert "--ca-bundle" in _find(unknown, "TLS", "broken")["mend"]
    assert "is good for 2 more days" in _find(trusted, "TLS", "note")["told"]


def test_certificate_of_the_settings_is_read(
    pair: Pair, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECRATE_TLS_CERTIFICATE", str(pair.certificate))
    monkeypatch.setenv("ECRATE_TLS_KEY", str(pair.key))

    _, findings = doctor()

    assert f"tls_certificate {pair.certificate}" in _find(findings, "TLS", "note")["told"]


def test_certificate_with_another_key_is_found(authority: Pair, pair: Pair) -> None:
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
        read_certificate(pair.certificate, authority.key)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/srv/data", "nfs4", id="below a mount"),
        pytest.param("/srvother", "ext4", id="beside it"),
        pytest.param("/srv/with space/x", "xfs", id="name with a space"),
    ],
)
def test_filesystem_is_that_of_the_nearest_mount(tmp_path: Path, path: str, expected: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /srv nfs4 rw 0 0\nc /srv/with\\040space xfs rw 0 0\n")

    assert filesystem_of(Path(path), mounts) == expected


_DOCKER = {
    "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128", "10.1.0.0/16"],
    "IndexConfigs": {"docker.io": {"Secure": True}, "plain.example:80": {"Secure": False}},
}


@pytest.mark.parametrize(
    ("host", "authority", "expected"),
    [
        pytest.param("127.0.0.1", "127.0.0.1:5100", True, id="loopback"),
        pytest.param("x.localhost", "x.localhost:5100", True, id="name of loopback"),
        pytest.param("10.1.2.3", "10.1.2.3:80", True, id="network"),
        pytest.param("10.2.2.3", "10.2.2.3:80", False, id="another network"),
        pytest.param("plain.example", "plain.example:80", True, id="name"),
        pytest.param("plain.example", "plain.example:81", False, id="another port"),
    ],
)
def test_docker_does_without_tls_where_it_is_told(
    host: str, authority: str, *, expected: bool
) -> None:
    assert is_insecure(_DOCKER, host, authority) is expected


_CRI = '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "{0}/certs.d"'


def _install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("info", "told"),
    [
        pytest.param({"ServerErrors": ["Cannot connect"]}, "cannot be reached: Cannot", id="away"),
        pytest.param(
            {"ServerVersion": "1", "RegistryConfig": {"InsecureRegistryCIDRs": []}},
            "without TLS",
            id="wants TLS",
        ),
    ],
)
def test_doctor_finds_a_docker_that_would_not_pull(
    doctor: Doctor, tmp_path: Path, *, info: dict[str, Any], told: str
) -> None:
    _install(tmp_path, "docker", f"/bin/echo '{json.dumps(info)}'")

    ran, findings = doctor()

    assert ran.code == 1
    assert told in _find(findings, "docker", "broken")["told"]


def test_doctor_finds_a_helper_that_is_missing(
    doctor: Doctor, server: Server, log_in: LogIn
) -> None:
    log_in({}, credHelpers={server.host: "no-such"})

    _, findings = doctor()

    found = _find(findings, "docker login", "broken")
    assert "docker-credential-no-such, which is not installed" in found["told"]


def test_doctor_finds_a_login_that_is_refused(
    doctor: Doctor, server: Server, log_in: LogIn
) -> None:
    log_in({server.host: ("AWS", "old")})

    _, findings = doctor()

    assert f"ecrate login {server.host}" in _find(findings, "docker login", "broken")["mend"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="empty"),
        pytest.param(
            '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/a:/b"',
            Path("/a"),
            id="version 2",
        ),
        pytest.param(
            '[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/c"',
            Path("/c"),
            id="version 3",
        ),
    ],
)
def test_containerd_tells_where_its_hosts_are(
    tmp_path: Path, text: str, expected: Path | None
) -> None:
    (tmp_path / "config.toml").write_text(text)

    assert hosts_folder(tmp_path / "config.toml") == expected


@pytest.mark.parametrize(
    ("files", "status", "text"),
    [
        pytest.param({}, "broken", "set config_path", id="no configuration"),
        pytest.param(
            {"config.toml": _CRI}, "broken", 'server = "http://registry.test/"', id="no host"
        ),
        pytest.param(
            {
                "config.toml": _CRI,
                "certs.d/registry.test/hosts.toml": '[host."http://registry.test"]',
            },
            "ok",
            "",
            id="all there",
        ),
    ],
)
def test_containerd_needs_to_be_told_of_hosts_without_tls(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    files: dict[str, str],
    status: str,
    text: str,
) -> None:
    _install(tmp_path, "containerd", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content.format(tmp_path))
    settings = Settings()
    endpoint = Endpoint("http", "registry.test", 80, connect_timeout=1, read_timeout=1, tls=None)
    with plain_registries() as registries:
        situation = Situation(
            settings=settings,
            layout=Layout.of(settings),
            has_data=False,
            endpoint=endpoint,
            registries=registries,
            containerd=tmp_path,
        )

        (found,) = check_containerd(situation)

    assert found.status == status
    assert text in found.mend
