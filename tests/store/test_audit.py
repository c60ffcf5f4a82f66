"""The audit log's file: whole lines, shared, set aside, and owed while it cannot be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecrate.store.audit import AuditLog

# Appends lines `{"by": NAME, "number": N}` and prints each number once its line is written.
WRITER = """
import json, sys
from pathlib import Path
from ecrate.store.audit import AuditLog
folder, name, count, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
log = AuditLog(folder / "audit.log", folder / "lock", max_size=size, kept=1000)
for number in range(count):
    log.append(json.dumps({"by": name, "number": number, "filler": "x" * 100}).encode())
    print(number, flush=True)
"""


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[..., AuditLog]:
    """Give logs on one and the same file, each as another process would have it."""

    def make(max_size: int | None = 100, kept: int = 2) -> AuditLog:
        return AuditLog(tmp_path / "audit.log", tmp_path / "lock", max_size=max_size, kept=kept)

    return make


def start_writer(folder: Path, name: str, count: int, size: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count), str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def texts(folder: Path) -> dict[str, str]:
    """Give what stands in the log's files."""
    return {path.name: path.read_text() for path in sorted(folder.glob("audit.log*"))}


def lines_of(folder: Path) -> list[tuple[str, int]]:
    """Give writer and number of all lines in all files."""
    events = [json.loads(line) for text in texts(folder).values() for line in text.splitlines()]
    return [(event["by"], event["number"]) for event in events]


def test_append_writes_whole_lines_in_order(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    one, other = make_log(), make_log()

    one.append(b"first")
    other.append(b"second")
    one.append(b"third")

    assert texts(tmp_path) == {"audit.log": "first\nsecond\nthird\n"}
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_full_file_is_set_aside_and_the_oldest_goes(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    log = make_log(max_size=20, kept=2)

    for number in range(8):
        log.append(b"a line %d" % number)

    assert texts(tmp_path) == {
        "audit.log": "a line 6\na line 7\n",
        "audit.log.1": "a line 4\na line 5\n",
        "audit.log.2": "a line 2\na line 3\n",
    }


def test_line_that_is_longer_than_a_file_has_one_of_its_own(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    log = make_log(max_size=10)

    for line in (b"short", b"x" * 50, b"short"):
        log.append(line)

    assert texts(tmp_path) == {
        "audit.log": "short\n",
        "audit.log.1": "x" * 50 + "\n",
        "audit.log.2": "short\n",
    }


def test_without_a_size_nothing_is_set_aside(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    log = make_log(max_size=None)

    for _ in range(50):
        log.append(b"x" * 50)

    assert list(texts(tmp_path)) == ["audit.log"]


def test_file_that_was_moved_away_is_made_anew(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    log = make_log()
    log.append(b"first")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log-20260101")

    log.append(b"second")

    assert texts(tmp_path) == {"audit.log": "second\n", "audit.log-20260101": "first\n"}


def test_half_a_line_of_whoever_was_killed_ends_before_the_next(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    (tmp_path / "audit.log").write_text('{"half": ')

    make_log().append(b"whole")

    assert texts(tmp_path) == {"audit.log": '{"half": \nwhole\n'}


def test_processes_at_once_lose_no_line(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, name, 150, 1500) for name in "abcd"]
    for writer in writers:
        writer.communicate(timeout=60)

    lines = lines_of(tmp_path)

    assert sorted(lines) == [(name, number) for name in "abcd" for number in range(150)]
    assert len(texts(tmp_path)) > 40
    assert max(map(len, texts(tmp_path).values())) <= 1500
    for name in "abcd":
        # Oldest file first, and each in order.
        files = [path.splitlines() for path in _by_age(tmp_path)]
        numbers = [
            json.loads(line)["number"] for file in files for line in file if f'"{name}"' in line
        ]
        assert numbers == list(range(150))


def _by_age(folder: Path) -> list[str]:
    """Give the files' texts, oldest first."""
    found = texts(folder)
    count = len(found) - 1
    return [found[f"audit.log.{number}"] for number in range(count, 0, -1)] + [found["audit.log"]]


def test_threads_at_once_lose_no_line(tmp_path: Path, make_log: Callable[..., AuditLog]) -> None:
    log = make_log(max_size=300, kept=1000)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: log.append(b"line %03d" % number), range(200)))

    lines = [line for text in texts(tmp_path).values() for line in text.splitlines()]
    assert sorted(lines) == [f"line {number:03}" for number in range(200)]


def test_line_that_was_written_survives_the_end_of_its_writer(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, "a", 100_000, 100_000)
    assert writer.stdout is not None
    for _ in range(200):
        writer.stdout.readline()

    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate(timeout=60)

    told = 200 + rest.count("\n")
    assert [number for _, number in sorted(lines_of(tmp_path))][:told] == list(range(told))


def break_disk(folder: Path) -> None:
    """Let the log lie on a disk that is always full."""
    (folder / "audit.log").symlink_to("/dev/full")


def test_line_is_owed_while_the_disk_is_full(
    tmp_path: Path, make_log: Callable[..., AuditLog]
) -> None:
    break_disk(tmp_path)
    log = make_log()
    for line in (b"first", b"second"):
        with pytest.raises(OSError, match="No space left"):
            log.append(line)
    with pytest.raises(OSError, match="No space left"):
        log.settle()
    behind = [log.is_behind]

    (tmp_path / "audit.log").unlink()
    log.settle()

    assert [*behind, log.is_behind] == [True, False]
    assert texts(tmp_path) == {"audit.log": "first\nsecond\n"}


def test_owed_lines_come_before_new_ones(tmp_path: Path, make_log: Callable[..., AuditLog]) -> None:
    break_disk(tmp_path)
    log = make_log()
    with pytest.raises(OSError, match="No space left"):
        log.append(b"first")

    (tmp_path / "audit.log").unlink()
    log.append(b"second")

    assert texts(tmp_path) == {"audit.log": "first\nsecond\n"}


def test_line_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from ecrate.store.audit import AuditLog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "folder = Path(sys.argv[1])\n"
        "log = AuditLog(folder / 'audit.log', folder / 'lock', max_size=None, kept=1)\n"
        "log.append(b'fits')\n"
        "try: log.append(b'x' * 2000)\n"
        "except OSError as error: print(error.strerror)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "File too large\n"
    assert texts(tmp_path) == {"audit.log": "fits\n"}


def test_stream_gets_the_lines(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = AuditLog(writing, tmp_path / "lock", max_size=10, kept=1)

    log.check()
    log.append(b"x" * 20)
    log.append(b"second")

    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"x" * 20 + b"\nsecond\n"


def test_check_makes_the_file(tmp_path: Path, make_log: Callable[..., AuditLog]) -> None:
    make_log().check()

    assert texts(tmp_path) == {"audit.log": ""}


def test_check_tells_what_is_not_there(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "no" / "audit.log", tmp_path / "lock", max_size=10, kept=1)

    with pytest.raises(FileNotFoundError):
        log.check()
