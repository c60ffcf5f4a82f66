"""What only the filesystem driver can be asked: other processes, and the tree it draws."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from ecrate.blobs.filesystem import FilesystemBlobs
from ecrate.blobs.port import BusyError
from tests.support.rows import Uploads

KEY = "0a1b2c3d-0000-4000-8000-000000000000"
HOLD = """
import sys, time
from pathlib import Path
from ecrate.blobs.filesystem import FilesystemBlobs
file = FilesystemBlobs(Path(sys.argv[1])).open_upload(sys.argv[2], None, is_new=True, wait=0)
file.write(b"half")
print("holding", flush=True)
sys.stdin.read()
"""


def test_upload_is_free_when_its_writer_is_killed(tmp_path: Path) -> None:
    uploads = Uploads(FilesystemBlobs(tmp_path))
    command = [sys.executable, "-c", HOLD, str(tmp_path), KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(BusyError):
            uploads.open(KEY)
        holder.kill()

    with contextlib.closing(uploads.open(KEY, is_new=False)) as file:
        file.start(0)
        file.write(b"whole")

    assert (tmp_path / "uploads" / KEY).read_bytes() == b"whole"


def test_tree_is_as_drawn(tmp_path: Path) -> None:
    blobs = FilesystemBlobs(tmp_path)
    Uploads(blobs).write(KEY)
    growing = [path for path in tmp_path.rglob("*") if path.is_file()]
    blobs.commit(KEY, b"")

    whole = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert growing == [tmp_path / "uploads" / KEY]
    assert whole == [tmp_path / "blobs" / "0a" / KEY]


def test_files_are_their_owners(tmp_path: Path) -> None:
    blobs = FilesystemBlobs(tmp_path)
    Uploads(blobs).write(KEY)

    blobs.commit(KEY, b"")

    assert (tmp_path / "blobs" / "0a" / KEY).stat().st_mode & 0o777 == 0o600


def test_store_opens_what_an_earlier_one_left(tmp_path: Path) -> None:
    first = FilesystemBlobs(tmp_path)
    Uploads(first).write(KEY, b"kept")
    first.commit(KEY, b"")

    second = FilesystemBlobs(tmp_path)

    assert second.exists(KEY, 4)
