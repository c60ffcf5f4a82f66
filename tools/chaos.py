"""Break things at random while clients work: `python -m tools.chaos --seconds 600`.

Each drill has a seed of its own and ends with a reckoning, printed as a line of figures. The faults
are those of tests/support/chaos/faults.py; `--seed` repeats the first drill's choices, as far as
the machine lets it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.chaos import faults
from tests.support.chaos.drill import Outcome, run_drill
from tests.support.chaos.faults import Fault
from tests.support.chaos.site import Site, embedded_site, shared_site
from tests.support.postgres import running_postgres
from tests.support.seaweed import find_weed, running_seaweed

DRILL = 30.0
LONGEST = 12.0


@contextlib.contextmanager
def _shared() -> Iterator[Site]:
    program = find_weed()
    if program is None:
        raise SystemExit("weed of SeaweedFS is not installed")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as postgres,
        running_seaweed(program, Path(folder)) as store,
        shared_site(postgres, store) as site,
    ):
        yield site


BACKENDS = {"sqlite": embedded_site, "postgres-s3": _shared}


def main(arguments: Sequence[str]) -> int:
    """Give 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description=__doc__)
    names = {kind.__name__: kind for kinds in faults.KINDS.values() for kind in kinds}
    parser.add_argument("--seconds", type=float, default=600, help="for each backend (600)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of the first")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="both")
    parser.add_argument("--longest", type=float, default=LONGEST, help="seconds of a fault (12)")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(names)}")
    options = parser.parse_args(arguments)
    if unknown := set(options.faults) - set(names):
        parser.error(f"no fault is called {', '.join(sorted(unknown))}")
    # What a node says of its faults would drown what is found.
    logging.disable(logging.CRITICAL)
    outcomes: list[Outcome] = []
    for backend in options.backend or BACKENDS:
        kinds = [
            kind
            for kind in faults.KINDS[backend]
            if not options.faults or kind.__name__ in options.faults
        ]
        if kinds:
            with BACKENDS[backend]() as site:
                outcomes += _run(backend, site, kinds, options)
    return _tell(outcomes)


def _run(
    backend: str, site: Site, kinds: Sequence[type[Fault]], options: argparse.Namespace
) -> Iterator[Outcome]:
    end, seed = time.monotonic() + options.seconds, options.seed
    # With a clock that is not to be trusted, less can be checked.
    trusting = [kind for kind in kinds if kind.trusts_clock] or kinds
    while (left := end - time.monotonic()) > 0:
        chosen = kinds if seed % 2 else trusting
        outcome = run_drill(
            site, chosen, seed=seed, rounds=1, seconds=min(DRILL, left), longest=options.longest
        )
        print(f"{backend}, {outcome}", flush=True)
        for line in outcome.violations:
            print(f"  {line}", flush=True)
        yield outcome
        if outcome.violations:
            return
        seed += 1


def _tell(outcomes: Sequence[Outcome]) -> int:
    struck = sum((outcome.struck for outcome in outcomes), Counter[str]())
    violations = sum(len(outcome.violations) for outcome in outcomes)
    print(
        f"in all: {struck.total():,} faults ({', '.join(f'{n} {k}' for k, n in struck.items())}), "
        f"{sum(outcome.kills for outcome in outcomes):,} kills survived, "
        f"{sum(outcome.checked for outcome in outcomes):,} operations checked, "
        f"{violations} violations"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
