from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.postgres import Postgres
from tests.support.server import Server, running_server


def test_ready_server_says_so(server: Server) -> None:
    answer = httpx.get(f"{server.endpoint}/readyz")

    assert (answer.status_code, answer.text) == (200, "database: ok\nblobs: ok\n")


@pytest.mark.postgres
def test_server_tells_which_dependency_is_down(tmp_path: Path, postgres: Postgres) -> None:
    with (
        postgres.empty() as url,
        running_server(tmp_path / "data", "--database", url, "--workers", "1") as server,
    ):
        before = httpx.get(f"{server.endpoint}/readyz")
        postgres.stop()
        try:
            answer = httpx.get(f"{server.endpoint}/readyz", timeout=60)
            health = httpx.get(f"{server.endpoint}/healthz")
        finally:
            postgres.start()

    assert before.status_code == 200
    assert answer.status_code == 503
    database, blobs = answer.text.splitlines()
    assert database.startswith("database: The server cannot reach its storage")
    assert blobs == "blobs: ok"
    assert health.status_code == 200
