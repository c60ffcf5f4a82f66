"""What a command costs: CPU of its whole process, beside the AWS command line.

All programs make the same call in turns, and have to print the same. The second column of figures
is the other program's, whose name stands with the scenario.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.report import Line
from benchmarks.servers import ECRATE, Server
from benchmarks.signing import call

_DESCRIBE = ("ecr", "describe-repositories", "--query", "repositories[].repositoryName")
_ALONE = (("--version",), ("ecr", "help"), ("ecr", "put-image", "help"))
_INSTANT = 0.3
_TARGET = 2.0
_BESIDE = Path(sys.executable).parent


@dataclass(frozen=True)
class Program:
    """A command line tool; `name` is what the report calls it."""

    name: str
    path: Path

    def run(self, words: tuple[str, ...], env: dict[str, str]) -> tuple[float, str]:
        """Give user plus system seconds of the process, and what it printed."""
        with subprocess.Popen([self.path, *words], env=env, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            printed = process.stdout.read().decode()
            # Of this process alone, and to the microsecond; times of all children add up.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{self.path} {' '.join(words)} ended with {process.returncode}")
        return usage.ru_utime + usage.ru_stime, printed


def measure_commands(bench: Bench) -> Iterator[Line]:
    """CPU seconds of a command: of `ecrate` alone, and of one call by each program."""
    ecrate = Program(ECRATE, _BESIDE / "ecrate")
    others = [each for each in _others() if each.path.exists()]
    with bench.running(ECRATE) as (server,):
        for name in ("one", "two"):
            call(server.port, server.key, "CreateRepository", {"repositoryName": name})
        env = _environment(server)
        for number in range(bench.rounds + 1):
            for words in _ALONE:
                cpu, _ = ecrate.run(words, env)
                if number:
                    bench.add(_title(words), ECRATE, cpu=cpu)
            printed = set()
            for program in (ecrate, *others):
                address = ("--endpoint-url", f"http://127.0.0.1:{server.port}")
                cpu, text = program.run((*_DESCRIBE, *address), env)
                printed.add(text)
                if number:
                    bench.add(_title(_DESCRIBE), program.name, cpu=cpu)
            if len(printed) > 1:
                raise RuntimeError(f"the programs print different things: {printed}")
    for words in _ALONE:
        mine = bench.median(_title(words), ECRATE, "cpu")
        yield Line(_title(words), "CPU s", mine, target=f"< {_INSTANT}", is_good=mine < _INSTANT)
    for program in others:
        yield _against(bench, program)


def _others() -> list[Program]:
    return [
        Program("aws of PyPI", _BESIDE / "aws"),
        Program("aws of Debian", Path("/usr/bin/aws")),
    ]


def _environment(server: Server) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    # As where people have it installed, nothing is compiled again; the first round does that.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {
        "PYTHONPYCACHEPREFIX": str(server.data.parent / "compiled"),
        "AWS_ACCESS_KEY_ID": server.key.id,
        "AWS_SECRET_ACCESS_KEY": server.key.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _title(words: tuple[str, ...]) -> str:
    return f"ecrate {' '.join(words[:3] if words[-1] == 'help' else words[:2])}"


def _against(bench: Bench, program: Program) -> Line:
    title = _title(_DESCRIBE)
    mine, theirs = (
        [float(str(one["cpu"])) for one in bench.samples if _is_of(one, title, name)]
        for name in (ECRATE, program.name)
    )
    ratios = [other / own for own, other in zip(mine, theirs, strict=True)]
    ratio = statistics.median(theirs) / statistics.median(mine)
    return Line(
        f"describe-repositories, {program.name}",
        "CPU s",
        statistics.median(mine),
        statistics.median(theirs),
        ratio,
        f">= {_TARGET:g}",
        ratio >= _TARGET,
        (min(ratios), max(ratios)),
    )


def _is_of(sample: dict[str, object], scenario: str, server: str) -> bool:
    return (sample["scenario"], sample["server"]) == (scenario, server)
