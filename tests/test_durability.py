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
from tests.support.registry import put_manifest, push_blobs, some_bytes, start_upload, workers_of
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
            done = http.put(location, params={"digest": "sha256:" + "0" * 64})
            done = http.put(
                location, params={"digest": __import__("hashlib").sha256(content).hexdigest()}
            )
            put = put_manifest(http, "one", "v1", image.manifest)
    assert (sent.status_code, done.status_code, put.status_code) == (202, 201, 201)
    print(log.read_text())
    assert re.search("x", key)
