"""A server that is killed and started again on the same data while clients push to it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from tests.support.audit import audit_data, audit_doors
from tests.support.images import make_image
from tests.support.pushers import MIB, ApiPusher, Churner, Place, Pusher, RegistryPusher
from tests.support.server import Server, kill_group, plain_environment, start_server

# The collector works all the time; nothing waits for it in quarantine, and little in the trash.
SETTINGS = {
    "ECRATE_COLLECT_EVERY": "0.1",
    "ECRATE_QUARANTINE": "0",
    "ECRATE_TRASH_KEPT": "0.5",
}
_SHORTEST, _LONGEST = 0.05, 2.0
_STARTS_KILLED = 0.2
_START_SECONDS = 1.0
_PUSHERS: dict[str, Callable[..., Pusher]] = {
    "drill/registry-1": RegistryPusher,
    "drill/registry-2": RegistryPusher,
    "drill/api-1": ApiPusher,
    "drill/api-2": ApiPusher,
    "drill/churner": Churner,
}


@dataclass(frozen=True)
class Outcome:
    """What a drill came to; `counts` are of answers, and of calls that a kill left without."""

    seed: int
    kills: int
    images: int
    layers: int
    counts: Counter[str]
    problems: list[str]

    @override
    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return (
            f"seed {self.seed}: {self.kills} kills; {self.images} images and {self.layers} layers "
            f"acknowledged and there; {counts}"
        )


def run_drill(data: Path, *, kills: int, seed: int) -> Outcome:
    """Kill a server `kills` times under load, then look whether it kept its promises."""
    chance = random.Random(seed)  # noqa: S311 - no secrets here
    server = start_server(data, env=SETTINGS)
    place = Place(server)
    pushers = _pushers(server, place, seed)
    killed = 0
    try:
        for pusher in pushers:
            pusher.start()
        while killed < kills and all(pusher.is_alive() for pusher in pushers):
            time.sleep(chance.uniform(_SHORTEST, _LONGEST))
            server.kill()
            killed += 1
            if killed < kills and chance.random() < _STARTS_KILLED:
                kill_start(data, chance.uniform(0, _START_SECONDS))
                killed += 1
            _let_lease_expire(data)
            server = start_server(data, env=SETTINGS)
            place.move(server)
        place.end()
        for pusher in pushers:
            pusher.join()
        server.kill()
        server = start_server(data, env=SETTINGS)
        ledgers = [pusher.ledger for pusher in pushers]
        problems = [line for ledger in ledgers for line in ledger.violations]
        problems += audit_doors(server, ledgers)
    finally:
        # Whoever still waits for a server goes home.
        place.end()
        place.move(None)
        server.kill()
    problems += audit_data(data)
    return Outcome(
        seed,
        killed + 1,
        sum(len(ledger.images) for ledger in ledgers),
        sum(len(ledger.layers) for ledger in ledgers),
        sum((ledger.counts for ledger in ledgers), Counter()),
        problems,
    )


def _pushers(server: Server, place: Place, seed: int) -> list[Pusher]:
    shared = make_image(MIB, 2 * MIB, 3 * MIB).layers
    ecr = server.ecr()
    for name in _PUSHERS:
        ecr.create_repository(repositoryName=name)
    ecr.close()
    return [kind(place, name, seed, shared) for name, kind in _PUSHERS.items()]


def kill_start(data: Path, seconds: float) -> None:
    """Start a server and kill it before it may have begun to serve."""
    process = _launch(data)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    kill_group(process)


def kill_start_at(data: Path, file: str) -> None:
    """Start a server and kill it as soon as there is this file in its data directory."""
    process = _launch(data)
    # The credentials come last; a file that was there too shortly to be seen is let go.
    while not ((data / file).exists() or (data / "credentials").exists()):
        assert process.poll() is None, f"the server ended without {file}"
    kill_group(process)


def _launch(data: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ecrate", "serve", "--port", "0", "--data", str(data)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**plain_environment(), **SETTINGS},
    )


def _let_lease_expire(data: Path) -> None:
    """Let as much time pass as a killed collector's successor waits for."""
    with contextlib.closing(sqlite3.connect(data / "ecrate.db")) as database, database:
        database.execute("DELETE FROM leases")
