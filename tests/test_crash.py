"""kill -9 at any moment: what was acknowledged is there, and nothing else is half there.

`ECRATE_CRASH_KILLS` sets how often the server is killed, `ECRATE_CRASH_SEED` repeats a run's
sizes and moments, as far as the machine lets it.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.support.audit import audit_data
from tests.support.drill import kill_start_at, run_drill
from tests.support.server import running_server

KILLS = int(os.environ.get("ECRATE_CRASH_KILLS", "30"))
SEED = int(os.environ.get("ECRATE_CRASH_SEED") or random.SystemRandom().randrange(10**6))


@pytest.mark.timeout(900)
def test_kill_loses_nothing_acknowledged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_drill(tmp_path / "data", kills=KILLS, seed=SEED)

    with capsys.disabled():
        sys.stdout.write(f"\n{outcome}\n")
    assert outcome.problems == [], str(outcome)
    assert outcome.kills >= KILLS
    # Otherwise there was nothing to lose.
    assert outcome.images > 0
    assert outcome.counts["GET upload"] > 0


@pytest.mark.parametrize(
    "file", ["lock", "ecrate.db", "ecrate.db-journal", "secret", "ecrate.db-wal", "credentials"]
)
def test_start_after_a_first_one_that_was_killed(tmp_path: Path, file: str) -> None:
    data = tmp_path / "data"
    kill_start_at(data, file)

    with running_server(data) as server:
        server.ecr().create_repository(repositoryName="first")
        found = server.ecr().describe_repositories()["repositories"]

    assert [one["repositoryName"] for one in found] == ["first"]
    assert list(audit_data(data)) == []
