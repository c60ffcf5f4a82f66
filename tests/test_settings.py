"""Settings: where they come from, what counts more, and the one line for each bad one."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ecrate.settings import SettingError, Settings, load_settings
from tests.support.server import plain_environment
from tests.support.sqlite import lay_database

NAMES = [field.name for field in dataclasses.fields(Settings)]
DOCUMENT = Path(__file__).parents[1] / "docs/reference/settings.md"

# For each setting values that are good, one in each form it may have, and values that are bad.
GOOD: dict[str, list[tuple[object, object]]] = {
    "host": [("0.0.0.0", "0.0.0.0"), ("::1", "::1")],  # noqa: S104 - nothing is bound
    "port": [("0", 0), (65535, 65535)],
    "data": [("/srv/x", Path("/srv/x")), ("~/x", Path.home() / "x")],
    "workers": [("0", 0), (256, 256)],
    "database": [
        ("", ""),
        ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
        ("postgresql://me@a:1,b:2/x?sslmode=require", "postgresql://me@a:1,b:2/x?sslmode=require"),
    ],
    "database_connections": [("1", 1), (100, 100)],
    "blobs": [("", ""), ("file:///srv/x", "file:///srv/x"), ("s3://layers", "s3://layers")],
    "blob_redirects": [("false", False), (True, True)],
    "s3_access_key_id": [("AKIDEXAMPLE", "AKIDEXAMPLE")],
    "s3_secret_access_key": [("wJalr/x+y", "wJalr/x+y")],
    "dev": [("true", True), ("No", False), (True, True)],
    "seed": [("", "")],
    "dev_anywhere": [("1", True), ("0", False)],
    "account_id": [("123456789012", "123456789012")],
    "region": [("eu-west-1", "eu-west-1")],
    "registry_host": [("{account}.{region}.example:80", "{account}.{region}.example:80")],
    "public_url": [("", ""), ("https://x.example:8443/", "https://x.example:8443/")],
    "trusted_proxies": [("", ""), ("10.0.0.0/8, ::1", "10.0.0.0/8, ::1")],
    "secret_file": [("/srv/secret", "/srv/secret")],
    "signing_profiles": [("/srv/signing", "/srv/signing")],
    "new_secret": [("true", True)],
    "parity": [("", ""), ("ecr", "ecr")],
    "sparse_manifests": [("yes", True), (False, False)],
    "anonymous_pull": [("TRUE", True)],
    "console": [("no", False)],
    "console_session": [("60", 60.0)],
    "repositories_per_registry": [("1", 1), (1_000_000_000, 1_000_000_000)],
    "images_per_repository": [("250000", 250_000)],
    "rate_limits": [
        ("", ""),
        ("off", "off"),
        ("ecr", "ecr"),
        ("PutImage=50, BatchGetImage=1", "PutImage=50, BatchGetImage=1"),
    ],
    "audit_log": [("-", "-"), ("/var/log/ecrate/audit.log", "/var/log/ecrate/audit.log")],
    "audit_log_size": [("1000", 1000), (10**12, 10**12)],
    "audit_log_kept": [("1", 1), (1000, 1000)],
    "log_format": [("json", "json")],
    "log_requests": [("true", True)],
    "traces": [("", ""), ("http://127.0.0.1:4318", "http://127.0.0.1:4318")],
    "metrics": [("off", "off"), ("anyone", "anyone")],
    "metrics_repositories": [("true", True)],
    "tls_certificate": [("/srv/x.pem", "/srv/x.pem")],
    "tls_key": [("/srv/x.key", "/srv/x.key")],
    "shutdown_grace": [("0", 0.0), (2.5, 2.5)],
    "upload_idle": [("1", 1.0), (3600, 3600.0)],
    "layer_grace": [("1e3", 1000.0)],
    "quarantine": [("0", 0.0)],
    "trash_kept": [("0", 0.0), (1209600, 1209600.0)],
    "activation_seconds": [("0", 0.0)],
    "collect_every": [("0.1", 0.1)],
    "lifecycle_every": [("1000000000", 1e9)],
    "upstream_hosts": [
        ("*", "*"),
        ("a.example:5000, http://[::1]:1", "a.example:5000, http://[::1]:1"),
    ],
    "upstream_networks": [("10.0.0.0/8,::1", "10.0.0.0/8,::1")],
    "upstream_realms": [("a.example:1=b.example", "a.example:1=b.example")],
    "upstream_secrets": [("env:MY_", "env:MY_"), ("file:///a", "file:///a")],
    "upstream_ca_bundle": [("ca.pem", "ca.pem")],
    "upstream_recheck": [("0", 0.0)],
    "upstream_timeout": [("0.1", 0.1)],
    "upstream_imports_all": [("no", False)],
    "scan_every": [("0.1", 0.1)],
    "scan_size": [("1", 1), ("100000000000000", 10**14)],
    "scan_sboms": [("false", False)],
    "scan_command": [("", ""), ("trivy '{layout}'", "trivy '{layout}'")],
    "events_every": [("0.1", 0.1)],
    "events_kept": [("1", 1.0)],
    "event_streams": [("0", 0), (100_000, 100_000)],
    "webhook_attempts": [("1", 1), (100, 100)],
    "webhook_timeout": [("0.1", 0.1)],
    "webhook_networks": [("", ""), ("10.0.0.0/8, ::1/128", "10.0.0.0/8, ::1/128")],
    "webhook_ca_bundle": [("/srv/ca.pem", "/srv/ca.pem")],
    "replication_destinations": [("/srv/to.toml", "/srv/to.toml")],
    "replication_timeout": [("0.1", 0.1)],
    "replication_patience": [("0", 0.0)],
    "replication_ca_bundle": [("/srv/ca.pem", "/srv/ca.pem")],
}
SECONDS = ["-1", "nan", "inf", "1e10", "soon", True, [1]]
BAD: dict[str, list[object]] = {
    "host": [5, True],
    "port": ["-1", "65536", "http", "80.5", 80.5, True, ""],
    "data": [5, "~nobody-has-this-name/x"],
    "workers": ["-1", "257", 1.5, "many"],
    "database": ["/srv/x.db", "mysql://x", "sqlite://x.db", "sqlite:///", "postgresql://", 5],
    "database_connections": ["0", "101", "few"],
    "blobs": ["/srv/x", "s4://x", "file:///", "s3://"],
    "blob_redirects": ["sometimes"],
    "s3_access_key_id": [5],
    "s3_secret_access_key": [True],
    "dev": ["maybe", "", 2, []],
    "seed": [5],
    "dev_anywhere": ["perhaps"],
    "account_id": ["12345678901", "1234567890123", "x" * 12, "\N{ARABIC-INDIC DIGIT ONE}" * 12, 5],
    "region": ["", "r", "Upper", "a b", "r" * 26],
    "registry_host": [
        "{other}",
        "{",
        "a/b",
        "{account.x}",
        "{account.__class__}",
        "{0}",
        "h\u00f6st",
    ],
    "public_url": ["x.example", "ftp://x", "https://x/path", "https://"],
    "trusted_proxies": ["10.0.0.1/8", "proxy.example", 5],
    "secret_file": [5],
    "signing_profiles": [5],
    "new_secret": ["new"],
    "parity": ["oci", "ECR"],
    "sparse_manifests": ["on and off"],
    "anonymous_pull": [3],
    "console": ["perhaps"],
    "console_session": [*SECONDS, "59"],
    "repositories_per_registry": ["0", -1, "many", 1e5, "1000000001"],
    "images_per_repository": ["0", ""],
    "rate_limits": ["on", "PutImage", "PutImage=0", "PutImage=x", "putimage=1", "PutImage=1,", 5],
    "audit_log": [5, True],
    "audit_log_size": ["999", 10**12 + 1, "10MB"],
    "audit_log_kept": ["0", 1001],
    "log_format": ["text", 5],
    "log_requests": ["some"],
    "traces": ["localhost:4318", "grpc://x"],
    "metrics": ["on", "", True],
    "metrics_repositories": ["all"],
    "tls_certificate": [5],
    "tls_key": [False],
    "shutdown_grace": SECONDS,
    "upload_idle": [*SECONDS, "0.9"],
    "layer_grace": [*SECONDS, "0"],
    "quarantine": SECONDS,
    "trash_kept": SECONDS,
    "activation_seconds": SECONDS,
    "collect_every": [*SECONDS, "0.09"],
    "lifecycle_every": [*SECONDS, "0"],
    "upstream_hosts": ["ftp://a.example", "a.example/path", "a b"],
    "upstream_networks": ["10.0.0.1/8", "example.com"],
    "upstream_realms": ["a.example", "a.example=http://b.example"],
    "upstream_secrets": ["env:", "env:small", "secrets"],
    "upstream_ca_bundle": [],
    "upstream_recheck": [*SECONDS],
    "upstream_timeout": [*SECONDS, "0"],
    "upstream_imports_all": ["perhaps"],
    "scan_every": [*SECONDS, "0"],
    "scan_size": ["0", "100000000000001", "large"],
    "scan_sboms": ["maybe"],
    "scan_command": ["trivy", "trivy '{layout}"],
    "events_every": [*SECONDS, "0"],
    "events_kept": [*SECONDS, "0"],
    "event_streams": ["-1", "100001", "few"],
    "webhook_attempts": ["0", "101", "few"],
    "webhook_timeout": [*SECONDS, "0"],
    "webhook_networks": ["10.0.0.0/33", "everywhere", 5],
    "webhook_ca_bundle": [5],
    "replication_destinations": [5],
    "replication_timeout": [*SECONDS, "0"],
    "replication_patience": SECONDS,
    "replication_ca_bundle": [5],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    """Give a case for each value."""
    return [
        pytest.param(name, value, id=f"{name}-{number}")
        for name, values in table.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize("table", [GOOD, BAD], ids=["good", "bad"])
def test_tables_have_all_settings(table: dict[str, object]) -> None:
    assert sorted(table) == sorted(NAMES)


@pytest.mark.parametrize(("name", "case"), cases(GOOD))
def test_good_value_is_taken(name: str, case: tuple[object, object]) -> None:
    given, expected = case

    settings = load_settings({name: given}, {}, None)

    assert getattr(settings, name) == expected


@pytest.mark.parametrize(("name", "value"), cases(BAD))
def test_bad_value_is_told_in_one_line(name: str, value: object) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings({name: value}, {}, None)

    message = str(caught.value)
    option = name.replace("_", "-")
    assert message.startswith(f"setting '{name}' is '")
    assert re.search(rf"' in the command line \(--{option}\); accepted: .{{3,}}", message)
    assert "\n" not in message


def test_defaults_are_good() -> None:
    assert load_settings({}, {}, None) == Settings()


def test_command_line_counts_more_than_the_environment_and_that_more_than_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ecrate.toml"
    file.write_text('region = "of-the-file"\nport = 1\nworkers = 1\n')
    environment = {"ECRATE_PORT": "2", "ECRATE_WORKERS": "2", "ECRATE_CONFIG": "x", "HOME": "/"}

    settings = load_settings({"workers": "3", "host": None}, environment, file)

    assert (settings.region, settings.port, settings.workers) == ("of-the-file", 2, 3)
    assert settings.host == Settings().host


@pytest.mark.parametrize(
    ("command_line", "environment", "text", "source"),
    [
        pytest.param({"port": "x"}, {}, "", "the command line (--port)", id="command-line"),
        pytest.param({}, {"ECRATE_PORT": "x"}, "", "the environment (ECRATE_PORT)", id="variable"),
        pytest.param({}, {}, 'port = "x"', "ecrate.toml", id="file"),
    ],
)
def test_bad_value_is_told_with_its_source(
    tmp_path: Path,
    command_line: dict[str, str],
    environment: dict[str, str],
    text: str,
    source: str,
) -> None:
    file = tmp_path / "ecrate.toml"
    file.write_text(text)

    with pytest.raises(SettingError) as caught:
        load_settings(command_line, environment, file)

    assert f"{source}; accepted: a whole number" in str(caught.value)


def test_password_in_a_bad_value_is_not_told() -> None:
    with pytest.raises(SettingError) as caught:
        load_settings({"database": "mysql://me:secret@host/x"}, {}, None)

    assert "mysql://me:***@host/x" in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "text", "source"),
    [
        pytest.param({"ECRATE_PROT": "1"}, "", "the environment (ECRATE_PROT)", id="variable"),
        pytest.param({}, "prot = 1", "ecrate.toml", id="file"),
        pytest.param({}, "[prot]\nport = 1", "ecrate.toml", id="table"),
    ],
)
def test_unknown_setting_is_told_with_those_that_are_known(
    tmp_path: Path, environment: dict[str, str], text: str, source: str
) -> None:
    file = tmp_path / "ecrate.toml"
    file.write_text(text)

    with pytest.raises(SettingError) as caught:
        load_settings({}, environment, file)

    message = str(caught.value)
    assert message.startswith("unknown setting 'prot' in ")
    assert message.endswith(f"{source}; known are {', '.join(sorted(NAMES))}")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"port = ", "is not TOML: ", id="syntax"),
        pytest.param(b'region = "\xff"', "is not TOML: ", id="encoding"),
    ],
)
def test_file_that_is_no_toml_is_told(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "ecrate.toml"
    file.write_bytes(content)

    with pytest.raises(SettingError) as caught:
        load_settings({}, {}, file)

    assert str(caught.value).startswith(f"{file} {complaint}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("missing.toml", "No such file or directory", id="missing"),
        pytest.param("", "Is a directory", id="folder"),
    ],
)
def test_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, reason: str) -> None:
    file = tmp_path / name

    with pytest.raises(SettingError) as caught:
        load_settings({}, {}, file)

    assert str(caught.value) == f"cannot read {file}: {reason}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_development_mode_listens_on_loopback(host: str) -> None:
    assert load_settings({"dev": True, "host": host}, {}, None).dev


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", ""])  # noqa: S104
def test_development_mode_beyond_loopback_has_to_be_said_twice(host: str) -> None:
    with pytest.raises(SettingError, match="needs 'dev_anywhere' as well"):
        load_settings({"dev": True, "host": host}, {}, None)

    assert load_settings({"dev": True, "dev_anywhere": True, "host": host}, {}, None).dev


@pytest.mark.parametrize("name", NAMES)
def test_setting_is_documented(name: str) -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]

    assert [row for row in rows if f"`{name}`" in row.split("|")[1]] != []


def test_documented_settings_exist() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert sorted(documented) == sorted(NAMES)


def refusal(tmp_path: Path, **variables: str) -> tuple[int, str]:
    """Start a server that cannot start; give its exit code and what it says."""
    answer = subprocess.run(
        [sys.executable, "-m", "ecrate", "serve"],
        cwd=tmp_path,
        env={**plain_environment(), "ECRATE_PORT": "0", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.stdout == ""
    return answer.returncode, answer.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param(
            {"ECRATE_DATABASE": "sqlite:///proc/none/x.db"},
            "cannot use 'database' /proc/none/x.db: unable to open database file",
            id="no-folder",
        ),
        pytest.param(
            {"ECRATE_DATABASE": "sqlite://{0}/junk"},
            "cannot use 'database' {0}/junk: file is not a database",
            id="no-database",
        ),
        pytest.param(
            {"ECRATE_BLOBS": "file:///proc/none"},
            "cannot use 'blobs' /proc/none: No such file or directory",
            id="no-blobs",
        ),
        pytest.param(
            {"ECRATE_SECRET_FILE": "{0}/junk"},
            "cannot use 'secret_file' {0}/junk: it must hold 64 hex digits",
            id="no-secret",
        ),
        pytest.param(
            {"ECRATE_SECRET_FILE": "{0}/short"},
            "cannot use 'secret_file' {0}/short: it must hold 64 hex digits",
            id="short-secret",
        ),
        pytest.param(
            {"ECRATE_SECRET_FILE": "/proc/none/secret"},
            "cannot use 'secret_file' /proc/none/secret: No such file or directory",
            id="secret-nowhere",
        ),
        pytest.param(
            {"ECRATE_UPSTREAM_CA_BUNDLE": "/proc/none/ca.pem"},
            "cannot use 'upstream_ca_bundle' /proc/none/ca.pem: No such file or directory",
            id="no-bundle",
        ),
        pytest.param(
            {"ECRATE_AUDIT_LOG": "/proc/none/audit.log"},
            "cannot use 'audit_log' /proc/none/audit.log: No such file or directory",
            id="no-audit-log",
        ),
        pytest.param(
            {"ECRATE_DATA": "{0}/junk"},
            "cannot use 'data' {0}/junk: File exists",
            id="no-data",
        ),
        pytest.param(
            {"ECRATE_HOST": "256.0.0.1", "ECRATE_PORT": "0"},
            "cannot listen on 'host' 256.0.0.1, 'port' 0: name or service not known",
            id="no-host",
        ),
        pytest.param(
            {"ECRATE_HOST": "127.0.0.1", "ECRATE_PORT": "{1}"},
            "cannot listen on 'host' 127.0.0.1, 'port' {1}: address already in use",
            id="port-in-use",
        ),
        pytest.param(
            {"ECRATE_DATABASE": "sqlite://{0}/newer.db"},
            "the data in 'database' {0}/newer.db was written by a newer ecrate (schema 999); run "
            "that version or restore a backup",
            id="newer-data",
        ),
        pytest.param(
            {"ECRATE_WEBHOOK_CA_BUNDLE": "/proc/none/ca.pem"},
            "cannot use 'webhook_ca_bundle' /proc/none/ca.pem: No such file or directory",
            id="no-bundle-for-webhooks",
        ),
        pytest.param(
            {"ECRATE_REPLICATION_CA_BUNDLE": "/proc/none/ca.pem"},
            "cannot use 'replication_ca_bundle' /proc/none/ca.pem: No such file or directory",
            id="no-bundle-for-replication",
        ),
        pytest.param(
            {"ECRATE_REPLICATION_DESTINATIONS": "/proc/none/to.toml"},
            "cannot use 'replication_destinations' /proc/none/to.toml: No such file or directory",
            id="no-destinations",
        ),
        pytest.param(
            {"ECRATE_SCAN_COMMAND": "no-such-scanner {{layout}}"},
            "cannot use 'scan_command' no-such-scanner {{layout}}: there is no program "
            "no-such-scanner",
            id="no-scanner",
        ),
        pytest.param(
            {"ECRATE_TLS_CERTIFICATE": "{0}/junk"},
            "settings 'tls_certificate' and 'tls_key' go together",
            id="half-of-tls",
        ),
        pytest.param(
            {"ECRATE_S3_ACCESS_KEY_ID": "AKIDEXAMPLE", "ECRATE_BLOBS": "s3://layers"},
            "settings 's3_access_key_id' and 's3_secret_access_key' go together",
            id="half-of-a-key",
        ),
        pytest.param(
            {"ECRATE_DEV": "true", "ECRATE_SEED": "/proc/none/seed.toml"},
            "cannot read 'seed' /proc/none/seed.toml: No such file or directory",
            id="no-seed",
        ),
        pytest.param(
            {"ECRATE_CONFIG": "/proc/none/ecrate.toml"},
            "cannot read /proc/none/ecrate.toml: No such file or directory",
            id="no-file",
        ),
        pytest.param(
            {"ECRATE_UPLOAD_IDLE": "24h"},
            "setting 'upload_idle' is '24h' in the environment (ECRATE_UPLOAD_IDLE); accepted: a "
            "number of seconds",
            id="unit",
        ),
        pytest.param(
            {"ECRATE_SCAN_SIZE": "32GiB"},
            "setting 'scan_size' is '32GiB' in the environment (ECRATE_SCAN_SIZE); accepted: a "
            "whole number",
            id="unit-of-bytes",
        ),
        pytest.param(
            {"ECRATE_PORT": "x"},
            "setting 'port' is 'x' in the environment (ECRATE_PORT); accepted: a whole number",
            id="no-port",
        ),
    ],
)
def test_setting_that_cannot_be_used_stops_the_start_with_one_line(
    tmp_path: Path, variables: dict[str, str], message: str
) -> None:
    (tmp_path / "junk").write_text("nothing of use, but long enough for a header\n" * 9)
    (tmp_path / "short").write_text("00\n")
    lay_database(tmp_path / "newer.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "newer.db")) as newer, newer:
        newer.execute("UPDATE schema_version SET version = 999, oldest_code = 999")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = (tmp_path, taken.getsockname()[1])
        filled = {name: value.format(*values) for name, value in variables.items()}

        code, said = refusal(tmp_path, **filled)

    expected = message.format(*values)
    for variable in variables:
        name = variable.removeprefix("ECRATE_").lower()
        if f"'{name}'" in expected and variable not in expected:
            expected += f"; '{name}' is set in the environment ({variable})"
    assert (code, said) == (2, f"ecrate: {expected}\n")


def test_seed_is_for_development_only() -> None:
    with pytest.raises(SettingError, match=r"setting 'seed' is 'seed.toml' in .*'dev' is needed"):
        load_settings({"seed": "seed.toml"}, {}, None)
