"""`python -m benchmarks`: measure and print."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from benchmarks.bench import Bench
from benchmarks.commands import measure_commands
from benchmarks.layers import Pool
from benchmarks.ours import measure_images, measure_memory, measure_start
from benchmarks.parts import measure_parts
from benchmarks.report import Line, filesystem, header, load, machine
from benchmarks.scenarios import SCENARIOS

MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    **{scenario.name: scenario.measure for scenario in SCENARIOS},
    "memory": measure_memory,
    "start": measure_start,
    "commands": measure_commands,
    "UploadLayerPart": measure_parts,
    "PutImage": measure_images,
}
_ROUNDS, _QUICK_ROUNDS = 5, 2


def main() -> int:
    """Run what was asked for; 1 if something of it failed."""
    options = _parser().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    words = [*options.words, *options.only]
    names = [name for name in MEASUREMENTS if _is_wanted(name, words)]
    if not names:
        print(f"nothing is named so; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="ecrate-bench-", dir=_disk(options.dir)) as folder:
        print(f"{machine(Path(folder))}, medians of {rounds} rounds\n\n{header()}", flush=True)
        bench = Bench(Path(folder), rounds, options.quick, Pool(Path(folder)))
        try:
            failed = [name for name in names if not _run(bench, name)]
        finally:
            if options.json:
                options.json.write_text(json.dumps(bench.samples, indent=1), encoding="utf-8")
    print(f"\nload at the end {load()}")
    _tell(bench.told, failed)
    return 1 if failed else 0


def _end(number: int, _: FrameType | None) -> None:
    """End in good order; a second signal must not keep the servers from being stopped."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    print("interrupted", file=sys.stderr)
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure ecrate beside docker-registry. CPU is the servers'; GB is 1e9 bytes; "
        "a ratio above 1 is in ecrate's favour.",
    )
    parser.add_argument("words", nargs="*", help="scenarios whose name contains one of these words")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="the same")
    parser.add_argument("--rounds", type=int, help=f"samples of each ({_ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{_QUICK_ROUNDS} rounds, fewer requests, small layers"
    )
    parser.add_argument("--dir", type=Path, help="where data goes meanwhile, up to 15 GB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw samples here")
    return parser


def _is_wanted(name: str, words: Sequence[str]) -> bool:
    return not words or any(word.lower() in name.lower() for word in words)


def _disk(folder: Path | None) -> Path:
    """Give a folder on a real disk: memory would flatter whoever writes more."""
    if folder is not None:
        return folder
    default = Path(tempfile.gettempdir())
    return Path("/var/tmp") if filesystem(default) == "tmpfs" else default  # noqa: S108


def _run(bench: Bench, name: str) -> bool:
    try:
        for line in MEASUREMENTS[name](bench):
            print(line, flush=True)
    except Exception:  # noqa: BLE001 - the other scenarios are still worth their time
        print(f"{name}: failed", flush=True)
        traceback.print_exc()
        return False
    return True


def _tell(told: Sequence[str], failed: Sequence[str]) -> None:
    if told:
        print(f"\n{len(told)} lines of trouble in the servers' logs, the first:")
        print(*told[:10], sep="\n")
    if failed:
        print(f"\nfailed: {', '.join(failed)}")


if __name__ == "__main__":
    sys.exit(main())
