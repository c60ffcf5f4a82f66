"""Checks of this machine and of the data on it."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ecrate.blobs.hashing import new_hasher
from ecrate.cli.doctor.findings import Finding, Situation, ok, skipped
from ecrate.cli.progress import human_size
from ecrate.store import engines
from ecrate.store.database import SCHEMA_VERSION, UnusableError
from ecrate.store.schema import Schema

_GIB: Final = 1024**3
_LITTLE_SPACE: Final = 5 * _GIB
_NO_SPACE: Final = _GIB // 4
_FEW_FILES: Final = 1024
_FEW_INODES: Final = 10_000
_NETWORK_FILESYSTEMS: Final = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
)
_CLOCK_UNSYNCHRONIZED: Final = 5  # TIME_ERROR of ntp_adjtime(3)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_data(situation: Situation) -> Iterator[Finding]:
    """Look at the data directory: there, ours, private, on a disk that locks."""
    layout, what = situation.layout, "data directory"
    data = layout.data
    if not data.exists():
        if situation.has_data:
            yield Finding(
                "broken",
                what,
                f"there is no {data}",
                f"start the server once: ecrate serve --data {data}; or name another with --data",
            )
        else:
            yield skipped(what, f"there is no {data}; the server's may be on another machine")
        return
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        owner = data.stat().st_uid
        yield Finding(
            "broken",
            what,
            f"{data} belongs to user {owner}, and this user may not write there",
            f"run ecrate as that user, or: chown -R {os.geteuid()} {data}",
        )
        return
    yield ok(what, f"{data} is there and can be written")
    kind = filesystem_of(data, Path("/proc/self/mounts"))
    if kind in _NETWORK_FILESYSTEMS and not situation.settings.database:
        yield Finding(
            "broken",
            what,
            f"{data} is on {kind}, where the locks of SQLite do not hold",
            "put the data directory, or with --database only the database, on a local disk",
        )
    yield from _check_modes(situation)
    yield from _check_database(situation)


def _check_modes(situation: Situation) -> Iterator[Finding]:
    for path in (situation.layout.credentials, situation.layout.secret):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & _OTHERS:
            yield Finding(
                "broken",
                "secrets",
                f"others may read {path} (mode {mode:04o})",
                f"chmod 600 {path}, and make new keys if somebody did: ecrate iam rotate",
            )
        else:
            yield ok("secrets", f"{path} is for its owner only")


def _check_database(situation: Situation) -> Iterator[Finding]:
    url, what = situation.layout.database, "database"
    if not url.startswith("sqlite:"):
        yield _check_server(url)
        return
    path = Path(url.removeprefix("sqlite://"))
    if not path.exists():
        yield skipped(what, f"there is no {path} yet")
        return
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            row = connection.execute("SELECT version, oldest_code FROM schema_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        yield Finding("broken", what, f"{path}: {error}", "restore a backup of the data directory")
        return
    yield _check_schema(str(path), (row[0], row[1]))


def _check_server(url: str) -> Finding:
    told = engines.shown(url)
    try:
        schema = engines.find_schema(url)
    except UnusableError as error:
        mend = "start the database's server, or correct the setting 'database'"
        return Finding("broken", "database", f"{told}: {error}", mend)
    if schema is None:
        return skipped("database", f"nothing has been kept in {told} yet")
    return _check_schema(told, schema)


def _check_schema(told: str, schema: Schema) -> Finding:
    version, oldest_code = schema
    if oldest_code > SCHEMA_VERSION:
        return Finding(
            "broken",
            "database",
            f"{told} was written by a newer ecrate (schema {version})",
            "run that version, or restore a backup",
        )
    return ok("database", f"{told} has schema {version}")


def check_space(situation: Situation) -> Iterator[Finding]:
    """Look how much room the blobs have."""
    if situation.settings.blobs.startswith("s3:"):
        yield skipped("disk space", "blobs are in S3")
        return
    path = situation.layout.blobs
    while not path.exists():
        path = path.parent
    usage, inodes = shutil.disk_usage(path), os.statvfs(path)
    told = f"{human_size(usage.free)} of {human_size(usage.total)} are free at {path}"
    mend = (
        "delete images (ecrate du tells what that frees), wait for the collector, or move the "
        "blobs with --blobs"
    )
    if usage.free < _NO_SPACE:
        yield Finding("broken", "disk space", told, mend)
    elif usage.free < _LITTLE_SPACE:
        yield Finding("note", "disk space", told, mend)
    elif inodes.f_files and inodes.f_favail < _FEW_INODES:
        few = f"only {inodes.f_favail} more files fit at {path}"
        yield Finding("note", "disk space", few, mend)
    else:
        yield ok("disk space", told)


def check_clock(_: Situation) -> Iterator[Finding]:
    """Ask the kernel whether something keeps the clock right."""
    try:
        state = ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        yield skipped("clock", "the system does not tell whether it is synchronized")
        return
    if state == _CLOCK_UNSYNCHRONIZED:
        yield Finding(
            "note",
            "clock",
            "nothing keeps this machine's clock right",
            "run chrony or systemd-timesyncd: signatures are refused when clocks are 5 minutes "
            "apart",
        )
    elif state < 0:
        yield skipped("clock", "the system does not tell whether it is synchronized")
    else:
        yield ok("clock", "is kept synchronized")


def check_hash(_: Situation) -> Iterator[Finding]:
    """Look whether digests can be taken up again where an upload was left."""
    if new_hasher("sha256").state():
        yield ok("digests", "can be resumed (libcrypto)")
    else:
        yield Finding(
            "note",
            "digests",
            "libcrypto is not the one known here: completing an upload reads it once more",
            "run a Python that is linked to OpenSSL 1.1 or 3",
        )


def check_limits(_: Situation) -> Iterator[Finding]:
    """Look how many files a process may have open."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= most < _FEW_FILES:
        yield Finding(
            "note",
            "open files",
            f"a process may have {most} only, and each connection is one",
            "raise it before the start: ulimit -n 65536, or LimitNOFILE= in a systemd unit",
        )
    else:
        yield ok("open files", f"a process may have {'any number' if most < 0 else most}")


def filesystem_of(path: Path, mounts: Path) -> str:
    """Give the kind of filesystem a path is on, as the kernel's table of mounts calls it."""
    try:
        rows = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    resolved = path.resolve()
    fitting = [
        (len(row[1]), row[2])
        for row in rows
        if resolved.is_relative_to(row[1].replace("\\040", " "))
    ]
    return max(fitting, default=(0, ""))[1]
