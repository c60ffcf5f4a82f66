"""The systemd unit and the compose file: hardened, and of settings that ecrate has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ecrate.settings import load_settings
from tests.support.clients import find_program

PACKAGING = Path(__file__).parents[2] / "packaging"
UNIT = PACKAGING / "systemd/ecrate.service"
COMPOSE = PACKAGING / "compose/compose.yaml"
_WORST = 1.5  # of 10; what is left is what a server on the network needs


@pytest.mark.clients
def test_unit_is_hardened_and_without_mistakes(tmp_path: Path) -> None:
    analyze = find_program("systemd-analyze")
    unit = tmp_path / "ecrate.service"
    unit.write_text(UNIT.read_text().replace("/opt/ecrate/bin/ecrate", sys.executable))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [analyze, *words, str(unit)], capture_output=True, text=True, check=False
        )

    verified = run("verify", "--man=no")
    exposure = run("security", "--offline=true", "--no-pager")

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    level = re.search(r"exposure level for ecrate\.service: ([0-9.]+)", exposure.stdout)
    assert level is not None, exposure.stderr
    assert float(level[1]) <= _WORST


def test_unit_waits_longer_than_the_server_does() -> None:
    text = UNIT.read_text()
    environment = dict(re.findall(r"(ECRATE_\w+)=(\S+)", text.partition("Environment=")[2]))

    seconds = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert seconds is not None
    assert int(seconds[1]) > load_settings({}, environment, None).shutdown_grace
    # Workers end with their server, which alone is told; a bad setting is not tried again.
    assert {"KillMode=mixed", "RestartPreventExitStatus=2"} <= set(text.splitlines())


def _compose() -> dict[str, Any]:
    """Read the compose file, with its variables as the example has them."""
    example = (COMPOSE.parent / "example.env").read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))

    def fill(match: re.Match[str]) -> str:
        name, is_needed, default = match[1], match[2] == ":?", match[3]
        assert not is_needed or name in values, f"{name} is not in example.env"
        return str(values.get(name, default))

    filled = re.sub(r"\$\{(\w+)(:[?-])([^}]*)\}", fill, COMPOSE.read_text())
    assert "$" not in filled
    document: dict[str, Any] = YAML(typ="safe").load(filled)
    return document


def test_compose_file_has_ecrate_a_database_and_a_store_that_know_each_other() -> None:
    services = _compose()["services"]
    ecrate, postgres, s3 = services["ecrate"], services["postgres"], services["s3"]

    settings = load_settings({}, ecrate["environment"], None)

    user, password, name = (postgres["environment"][f"POSTGRES_{what}"] for what in _DATABASE)
    assert settings.database == f"postgresql://{user}:{password}@postgres:5432/{name}"
    assert settings.blobs.startswith("s3://layers/")
    assert "-bucket=layers" in s3["command"]
    assert settings.s3_access_key_id == s3["environment"]["AWS_ACCESS_KEY_ID"]
    assert settings.s3_secret_access_key == s3["environment"]["AWS_SECRET_ACCESS_KEY"]
    assert not settings.blob_redirects


_DATABASE = ("USER", "PASSWORD", "DB")


def test_compose_file_waits_for_what_is_healthy_and_lets_nothing_in() -> None:
    document = _compose()
    ecrate = document["services"]["ecrate"]

    for name in ecrate["depends_on"]:
        assert ecrate["depends_on"][name] == {"condition": "service_healthy"}
        assert document["services"][name]["healthcheck"]["test"][0] == "CMD"
    assert ecrate["ports"] == ["127.0.0.1:5100:5100"]
    assert ecrate["read_only"] is True
    assert ecrate["cap_drop"] == ["ALL"]
    volumes = {
        one.partition(":")[0] for it in document["services"].values() for one in it["volumes"]
    }
    assert volumes == set(document["volumes"])
