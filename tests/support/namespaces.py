"""Commands in namespaces of their own, where they can mount and listen and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.clients import Program, find_program, miss

# Bind-mounts each pair of source and target, then becomes the command behind the "--".
_MOUNT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'

_SET_UP = '"$0" link set lo up; for one; do "$0" address add "$one" dev lo; done; echo ready; cat'


def with_folders(program: Program, folders: Mapping[str, Path]) -> Program:
    """Let each run see folders of ours at the paths given, and keep what else it mounts there."""
    return Program(
        (*_unshare("--mount"), *_mounting(folders), *program.command), program.home, program.env
    )


@contextlib.contextmanager
def network(mounts: Mapping[str, Path], *addresses: str) -> Iterator[tuple[str, ...]]:
    """Make a network without a way out, in which these addresses are this machine.

    Gives what to put before a command to run it there, with the files mounted at the paths given.
    """
    set_up = [find_program("sh"), "-ec", _SET_UP, find_program("ip"), *addresses]
    command = [*_unshare("--mount", "--net"), *_mounting(mounts), *set_up]
    # It ends with its standard input, so also when this process is killed.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "ready\n":
            miss(f"cannot make a network: {holder.stderr.read()}")
        yield (find_program("nsenter"), f"--target={holder.pid}", "--mount", "--net")


def _unshare(*options: str) -> tuple[str, ...]:
    if os.geteuid() != 0:
        miss("namespaces need root")
    return (find_program("unshare"), *options)


def _mounting(mounts: Mapping[str, Path]) -> tuple[str, ...]:
    pairs = [path for target, source in mounts.items() for path in (str(source), target)]
    return (find_program("sh"), "-ec", _MOUNT, "sh", *pairs, "--")
