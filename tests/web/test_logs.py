from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import plain_environment, read_key


def lines_of(tmp_path: Path, *deeds: str, **settings: str) -> list[str]:
    """Run a server, get each of these paths with the root key, and give its log."""
    env = {f"ECRATE_{name.upper()}": text for name, text in settings.items()}
    command = [sys.executable, "-m", "ecrate", "serve", "--port", "0", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**plain_environment(), **env},
    )
    assert process.stdout is not None
    endpoint = process.stdout.readline().partition(" listens on ")[2].strip()
    for path in deeds:
        httpx.get(f"{endpoint}{path}", auth=read_key(tmp_path / "data"))
    process.terminate()
    _, log = process.communicate(timeout=30)
    return log.splitlines()


def test_request_is_a_line_of_json(tmp_path: Path) -> None:
    path = "/v2/none/manifests/v1?secret=1"

    (line,) = lines_of(tmp_path, path, log_format="json", log_requests="true")

    told: dict[str, Any] = json.loads(line)
    request_id = told.pop("request_id")
    assert told.pop("time").endswith("Z")
    assert told.pop("process") > 0
    assert 0 < told.pop("seconds") < 10
    assert request_id in told.pop("message")
    assert told == {
        "level": "INFO",
        "logger": "ecrate.requests",
        "method": "GET",
        "path": "/v2/none/manifests/v1",
        "operation": "BatchGetImage",
        "status": 404,
        "remote": "127.0.0.1",
    }


def test_request_is_a_line_for_people(tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path, "/v2/", log_requests="true")

    assert " INFO GET /v2/ none 200 " in line


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_is_in_a_line(tmp_path: Path, form: str) -> None:
    log = lines_of(tmp_path, "/layers/a-seal", log_format=form, log_requests="true")

    assert "a-seal" not in "".join(log)
    assert read_key(tmp_path / "data")[1] not in "".join(log)


def test_requests_are_no_lines_unless_asked_for(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "/v2/") == []
