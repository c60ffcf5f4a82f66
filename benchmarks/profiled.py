"""`python -m benchmarks.profiled FOLDER serve ...`: ecrate whose workers tell what they spend.

Each worker writes FOLDER/PID at SIGUSR1: CPU seconds by what they were spent in. The profiler's own
work makes small functions look larger than they are; what dominates it shows all the same.
"""

from __future__ import annotations

import cProfile
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from ecrate.cli import main

# What is named by the first of these that a file, or a built-in's name, has in it.
_PARTS = {
    "psycopg_binary": "psycopg and libpq",
    "/psycopg/": "psycopg and libpq",
    "ecrate/store/": "store (SQL)",
    "ecrate/blobs/": "blobs",
    "botocore": "botocore",
    "urllib3": "botocore",
    "sha256": "hashes",
    "hashlib": "hashes",
    "crc32": "hashes",
    "hashing": "hashes",
    "aiohttp": "aiohttp",
    "ecrate/operations/": "operations and domain",
    "ecrate/domain/": "operations and domain",
    "ecrate/aws/": "aws front",
    "ecrate/oci/": "oci front",
    "ecrate/web/": "web",
    "concurrent/futures": "threads and locks",
    "threading": "threads and locks",
    "queue": "threads and locks",
    "_thread": "threads and locks",
    "asyncio": "asyncio",
    "selectors": "asyncio",
    "select.": "asyncio",
    "_contextvars": "asyncio",
    "socket": "sockets",
    "json": "JSON",
    "msgspec": "JSON",
    "logging": "logging",
}
_PROFILES: list[cProfile.Profile] = []


def _begin() -> None:
    """Profile this worker: what its main thread does, and every thread that it starts."""
    threading.setprofile(_enable)
    _enable(None, "", None)
    signal.signal(signal.SIGUSR1, _write)


def _enable(_: FrameType | None, __: str, ___: object) -> None:
    # It takes the place of what `threading.setprofile` has set for the thread.
    profile = cProfile.Profile(time.thread_time)
    _PROFILES.append(profile)
    profile.enable()


def _write(_: int, __: FrameType | None) -> None:
    spent: Counter[str] = Counter()
    for profile in _PROFILES:
        for entry in profile.getstats():
            if getattr(entry.code, "co_filename", "") != __file__:
                spent[_part(entry.code)] += entry.inlinetime
    path = Path(sys.argv[1]) / str(os.getpid())
    path.with_suffix(".new").write_text(json.dumps(spent), encoding="utf-8")
    path.with_suffix(".new").rename(path)


def _part(code: CodeType | str) -> str:
    name = f"{code.co_filename} {code.co_name}" if isinstance(code, CodeType) else code
    return next((part for word, part in _PARTS.items() if word in name), "the rest")


if __name__ == "__main__":
    os.register_at_fork(after_in_child=_begin)
    sys.exit(main(sys.argv[2:]))
