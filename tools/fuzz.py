"""Fuzz the parsers for a while: `python -m tools.fuzz --seconds 600`.

Each target gets its share of CPU time, in rounds with a seed of their own, so that no run repeats
another. A finding is printed as its smallest example; add it to test_findings.py of tests/oci or
tests/aws.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from typing_extensions import override

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

_ROUND = settings(
    max_examples=500,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Tally:
    """What became of one target."""

    executions: int = 0
    seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)

    @override
    def __str__(self) -> str:
        return f"{self.executions:12,} {self.seconds:8.1f} {len(self.findings):9}"


def fuzz(target: Target[Any], seconds: float, random_seed: int) -> Tally:
    """Run rounds until the CPU time is used up; findings are told apart by where they arise."""
    tally, seeds = Tally(), random.Random(random_seed)  # noqa: S311 - nothing secret
    began = time.process_time()

    def counted(value: Any) -> None:
        tally.executions += 1
        target.check(value)

    while (spent := time.process_time() - began) < seconds:
        tally.seconds = spent
        run = _ROUND(seed(seeds.getrandbits(64))(given(target.values)(counted)))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                run()
        except Exception as error:  # noqa: BLE001 - any of them is a finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} in {place.filename}:{place.lineno}"
            if key not in tally.findings:
                tally.findings[key] = "".join(traceback.format_exception(error))
                print(f"\n{target.name}: {key}\n{tally.findings[key]}", file=sys.stderr)
    tally.seconds = time.process_time() - began
    return tally


def main(arguments: Sequence[str]) -> int:
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="CPU time in all (600)")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="of the first round")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}")
    given_ones = parser.parse_args(arguments)
    chosen = [one for one in TARGETS if not given_ones.targets or one.name in given_ones.targets]
    if not chosen:
        parser.error(f"targets are {', '.join(names)}")
    print(f"seed {given_ones.seed}\n{'target':16} {'executions':>12} {'CPU s':>8} {'findings':>9}")
    tallies = []
    for target in chosen:
        tallies.append(fuzz(target, given_ones.seconds / len(chosen), given_ones.seed))
        print(f"{target.name:16} {tallies[-1]}", flush=True)
    total = Tally(sum(one.executions for one in tallies), sum(one.seconds for one in tallies))
    for number, one in enumerate(tallies):
        total.findings |= {f"{number} {key}": text for key, text in one.findings.items()}
    print(f"{'all':16} {total}")
    return 1 if total.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
