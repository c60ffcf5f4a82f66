"""Clients at work while faults strike, and the reckoning afterwards."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from tests.support.chaos.clients import Client
from tests.support.chaos.faults import Fault
from tests.support.chaos.model import World
from tests.support.chaos.reckoning import reckon
from tests.support.chaos.site import GRACE, Site
from tests.support.images import Blob

CLIENTS: Final = 3
_SHARED: Final = (1, 5_000, 70_000, 300_000, 1_200_000)
_JOIN: Final = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a drill came to."""

    seed: int
    struck: Counter[str]
    kills: int
    images: int
    checked: int
    counts: Counter[str]
    violations: Sequence[str]

    @override
    def __str__(self) -> str:
        struck = ", ".join(f"{count} {name}" for name, count in sorted(self.struck.items()))
        counts = "".join(f", {count} {name}" for name, count in sorted(self.counts.items()))
        return (
            f"seed {self.seed}: {struck}; {self.kills} kills survived; {self.checked:,} operations "
            f"checked{counts}; {self.images} images left; {len(self.violations)} violations"
        )


def run_drill(
    site: Site,
    kinds: Sequence[type[Fault]],
    *,
    seed: int,
    rounds: int = 0,
    seconds: float = 0,
    longest: float = 1.5,
) -> Outcome:
    """Let faults of these kinds strike so many times, and for so long, while clients are at work;
    then compare all there is with all that may be. The first violation ends it.
    """
    chance = random.Random(seed)  # noqa: S311 - no secrets here
    site.runs += 1
    names = [f"chaos/{site.runs}-{which}" for which in ("one", "two")]
    world = World(names, [Blob(chance.randbytes(size)) for size in _SHARED], GRACE / 2)
    faults = [kind(site, world, chance, longest) for kind in kinds]
    world.trusts_clock = all(kind.trusts_clock for kind in kinds)
    for name in names:
        site.sound.doors.ecr.create_repository(repositoryName=name)
    struck: Counter[str] = Counter()
    with _clients_at_work(site, world, seed):
        end = time.monotonic() + seconds
        while (struck.total() < rounds or time.monotonic() < end) and not world.violations:
            time.sleep(chance.uniform(0.1, 0.6))
            fault = chance.choice(faults)
            fault.strike()
            lost = site.wait_ready()
            world.check("nodes are ready", is_true=lost is None, told=f"{lost} after {fault}")
            struck[type(fault).__name__] += 1
    world.trusts_clock = True
    images = 0 if world.violations else reckon(site, world)
    kills = sum(struck[kind.__name__] for kind in kinds if kind.kills)
    return Outcome(seed, struck, kills, images, world.checked, world.counts, world.violations)


@contextlib.contextmanager
def _clients_at_work(site: Site, world: World, seed: int) -> Iterator[None]:
    over = threading.Event()
    doors = [node.doors for node in site.nodes]
    clients = [Client(number, world, doors, f"{seed}", over) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        over.set()
        for client in clients:
            client.join(_JOIN)
            world.check(f"{client.name} waits for ever", is_true=not client.is_alive())
