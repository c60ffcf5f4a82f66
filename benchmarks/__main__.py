"""`python -m benchmarks`: measure and print."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import ours
from benchmarks.load import warm_memory
from benchmarks.scenarios import SCENARIOS, Scenario, renew_blobs
from benchmarks.servers import ECRATE, REGISTRY, both

EXTRAS = {
    "memory": ours.measure_memory,
    "start": ours.measure_start,
    "parts": ours.measure_parts,
    "writes": ours.measure_writes,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", help="scenarios whose name contains one of these words")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="where the data goes while it is measured")
    parser.add_argument("--json", type=Path, help="write the raw samples here")
    options = parser.parse_args()
    print(_machine())
    warm_memory(8 << 30)
    samples = []
    print(f"\n{'':28s} {'server CPU per GB or request':>46s} {'throughput':>28s}")
    for scenario in SCENARIOS:
        if _wanted(scenario.name, options.only):
            samples += _measure(scenario, options.rounds, options.dir)
    print()
    for name, measure in EXTRAS.items():
        if _wanted(name, options.only):
            with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                for part in ("parts", "cpu", "writes"):
                    (Path(folder) / part).mkdir()
                print(*measure(Path(folder)), sep="\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(samples, indent=1), encoding="utf-8")


def _wanted(name: str, words: list[str]) -> bool:
    return not words or any(word in name for word in words)


def _machine() -> str:
    version = subprocess.run(
        ["docker-registry", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    today = dt.datetime.now(dt.UTC).date()
    return (
        f"{today}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"docker-registry {version[2] if len(version) > 2 else version}"
    )


def _measure(scenario: Scenario, rounds: int, folder: Path | None) -> list[dict[str, object]]:
    samples: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(dir=folder) as one, both(Path(one)) as servers:
        prepared = [scenario.prepare(server) for server in servers]
        for number in range(rounds + 1):
            for server, ready in zip(servers, prepared, strict=True):
                renew_blobs()
                cpu, began = server.cpu(), time.perf_counter()
                work = scenario.run(server, ready)
                wall, spent = time.perf_counter() - began, server.cpu() - cpu
                if number:  # the first round only warms up
                    samples.append(
                        {
                            "scenario": scenario.name,
                            "server": server.name,
                            "work": work,
                            "wall": wall,
                            "cpu": spent,
                        }
                    )
    _print(scenario, samples)
    return samples


def _print(scenario: Scenario, samples: list[dict[str, object]]) -> None:
    per, unit, speed_unit = (1e9, "s/GB", "GB/s") if scenario.unit == "GB" else (1.0, "us", "/s")
    factor = 1.0 if scenario.unit == "GB" else 1e6

    def median(server: str, figure: str) -> float:
        values = []
        for sample in samples:
            if sample["server"] == server:
                work = float(str(sample["work"])) / per
                spent = float(str(sample[figure]))
                values.append(spent / work * factor if figure == "cpu" else work / spent)
        return statistics.median(values)

    mine, theirs = median(ECRATE, "cpu"), median(REGISTRY, "cpu")
    fast, slow = median(ECRATE, "wall"), median(REGISTRY, "wall")
    ratio = theirs / mine if mine else float("inf")
    verdict = ""
    if scenario.target:
        verdict = f"  target {scenario.target:g}: {'ok' if ratio >= scenario.target else 'SHORT'}"
    print(
        f"{scenario.name:28s} {mine:8.2f} : {theirs:8.2f} {unit:5s} = {ratio:5.1f} times less"
        f"   {fast:9.2f} : {slow:8.2f} {speed_unit:5s} = {fast / slow:4.1f} times{verdict}",
        flush=True,
    )


if __name__ == "__main__":
    main()
