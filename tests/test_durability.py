"""In which order a server asks the kernel for what makes an upload durable, and tells of it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import find_program, miss
from tests.support.images import make_image
from tests.support.registry import (
    finish_upload,
    push_blobs,
    put_manifest,
    some_bytes,
    start_upload,
    workers_of,
)
from tests.support.server import Server, running_server

CALLS = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto"
KIB = 1024


@contextlib.contextmanager
def traced(server: Server, log: Path) -> Iterator[None]:
    """Write down the calls of all workers for a block."""
    processes = [word for one in workers_of(server) for word in ("-p", str(one.pid))]
    command = [find_program("strace"), "-f", "-y", "-s", "16", "-e", CALLS, "-o", str(log)]
    with subprocess.Popen([*command, *processes], stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        if "attached" not in (said := tracer.stderr.readline()):
            miss(f"processes cannot be traced: {said}")
        yield
        tracer.terminate()
        tracer.communicate()


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Server]:
    with running_server(
        tmp_path / "data", "--workers", "1", env={"ECRATE_COLLECT_EVERY": "3600"}
    ) as server:
        server.ecr().create_repository(repositoryName="one")
        yield server


def test_file_and_folder_are_durable_before_the_answer(lone: Server, tmp_path: Path) -> None:
    content, log = some_bytes(300 * KIB, "durable"), tmp_path / "log"
    image = make_image(10)
    with lone.http() as http:
        push_blobs(http, "one", image)
        location = start_upload(http, "one")
        key = location.rpartition("/")[2]
        with traced(lone, log):
            sent = http.patch(location, content=content)
            done = finish_upload(http, location, content)
            put = put_manifest(http, "one", "v1", image.manifest)
    assert (sent.status_code, done.status_code, put.status_code) == (202, 201, 201)
    assert steps_of(log.read_text(), key) == [
        *("sync uploads/KEY", "sync uploads", "sync database", "answer 202"),
        *("rename uploads/KEY blobs/KEY", "sync blobs", "sync database", "answer 201"),
        *("sync database", "answer 201"),
    ]


def steps_of(log: str, key: str) -> list[str]:
    """Give what is told in a log of calls of an upload's file, folders, rows and answers."""
    steps = []
    for line in log.splitlines():
        if found := re.search(r"rename\w*\(.*/data/(\S+)\".*/data/(\S+)\"", line):
            steps.append(f"rename {found[1]} {found[2]}")
        elif found := re.search(r"sync\(\d+<.*/data/(\S+)>\) = 0", line):
            steps.append(f"sync {found[1]}")
        elif found := re.search(r'"HTTP/1.1 (\d+)', line):
            steps.append(f"answer {found[1]}")
    names = {f"blobs/{key[:2]}": "blobs", "ecrate.db-wal": "database"}
    told = [step.replace(key, "KEY") for step in steps]
    for name, short in names.items():
        told = [step.replace(name, short) for step in told]
    return told
