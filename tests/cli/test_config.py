"""`ecrate config`: every setting, its source, and no secret."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from ecrate.settings import Settings
from tests.cli.conftest import Run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "ecrate.toml"
    path.write_text('region = "eu-west-1"\nport = 1\nlayer_grace = 60\n')
    return path


def test_show_prints_toml_that_means_the_same(run: Run, file: Path) -> None:
    ran = run("config", "show", "--config", str(file), "--port", "2", "--dev")

    shown = tomllib.loads(ran.out)
    assert list(shown) == [field.name for field in dataclasses.fields(Settings)]
    assert (shown["region"], shown["port"], shown["dev"]) == ("eu-west-1", 2, True)
    assert shown["layer_grace"] == 60.0


def test_show_says_where_values_come_from(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECRATE_CONFIG", str(file))
    monkeypatch.setenv("ECRATE_WORKERS", "3")

    told = json.loads(run("config", "show", "--port", "2", "--json").out)["settings"]

    sources = {each["name"]: each["source"] for each in told}
    assert sources["region"] == str(file)
    assert sources["workers"] == "the environment (ECRATE_WORKERS)"
    assert sources["port"] == "the command line (--port)"
    assert sources["host"] == "default"


def test_check_says_that_all_is_good(run: Run, file: Path) -> None:
    ran = run("config", "check", "--config", str(file))

    assert (ran.code, ran.out) == (0, "ok; set are: region, port, layer_grace\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        pytest.param(["check", "--port", "x"], 253, "setting 'port' is 'x'", id="bad value"),
        pytest.param(["show", "--config", "/no/file"], 253, "cannot read /no/file", id="no file"),
        pytest.param(["check"], 253, "cannot use 'tls_certificate' /no/cert", id="no certificate"),
        pytest.param(["change"], 252, "neither show nor check", id="no such action"),
    ],
)
def test_what_is_wrong_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, *, words: list[str], code: int, text: str
) -> None:
    monkeypatch.setenv("ECRATE_TLS_CERTIFICATE", "/no/cert")
    monkeypatch.setenv("ECRATE_TLS_KEY", "/no/key")

    ran = run("config", *words)

    assert (ran.code, ran.out) == (code, "")
    assert text in ran.err


@pytest.mark.parametrize("url", ["postgresql://me:hidden@host/x", "s3://b?secret_key=hidden&x=1"])
def test_secrets_are_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ECRATE_DATABASE", url)
    monkeypatch.setenv("ECRATE_SECRET_FILE", "/a/path")

    ran = run("config", "show")

    assert "hidden" not in ran.out + ran.err
    assert "***" in ran.out + ran.err
