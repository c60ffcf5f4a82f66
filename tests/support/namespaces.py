"""Commands in namespaces of their own, where they can mount and listen and leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.clients import Program, find_program, miss

# Bind-mounts each pair of source and target, then becomes the command behind the "--".
_MOUNT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'

_SET_UP = '"$0" link set lo up; for one; do "$0" address add "$one" dev lo; done; echo ready; cat'

_CLONE_NEWNET: Final = 0x40000000
_OWN_NETWORK: Final = Path("/proc/thread-self/ns/net")


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


@dataclass(frozen=True)
class Host:
    """One machine of a made-up network."""

    address: str
    pid: int

    @property
    def command(self) -> tuple[str, ...]:
        """What to put before a command to run it there."""
        return (find_program("nsenter"), f"--target={self.pid}", "--net")

    def run(self, *words: str) -> None:
        subprocess.run([*self.command, find_program("ip"), *words], check=True)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be there for a block, with this thread and those that it starts. Sockets stay where they
        were made.
        """
        with Path(f"/proc/{self.pid}/ns/net").open("rb") as there, _OWN_NETWORK.open("rb") as here:
            _set_network(there.fileno())
            try:
                yield
            finally:
                _set_network(here.fileno())


@contextlib.contextmanager
def hosts(count: int) -> Iterator[tuple[Host, ...]]:
    """Make machines on one network without a way out; the first one is what connects them."""
    with contextlib.ExitStack() as opened:
        first, *others = (
            Host(f"10.77.0.{number}", opened.enter_context(_holder()))
            for number in range(1, count + 1)
        )
        first.run("link", "add", "bridge", "type", "bridge")
        first.run("address", "add", f"{first.address}/24", "dev", "bridge")
        first.run("link", "set", "bridge", "up")
        first.run("link", "set", "lo", "up")
        for number, host in enumerate(others, 2):
            peer = ("peer", "name", "eth0", "netns", str(host.pid))
            first.run("link", "add", f"port{number}", "type", "veth", *peer)
            first.run("link", "set", f"port{number}", "master", "bridge", "up")
            host.run("address", "add", f"{host.address}/24", "dev", "eth0")
            host.run("link", "set", "eth0", "up")
            host.run("link", "set", "lo", "up")
        yield (first, *others)


@contextlib.contextmanager
def _holder() -> Iterator[int]:
    """Keep a network of its own for a block, and give the process that does."""
    command = [*_unshare("--net"), find_program("sh"), "-ec", "echo ready; cat"]
    # It ends with its standard input, so also when this process is killed.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "ready\n":
            miss(f"cannot make a network: {holder.stderr.read()}")
        yield holder.pid


def _set_network(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _unshare(*options: str) -> tuple[str, ...]:
    if os.geteuid() != 0:
        miss("namespaces need root")
    return (find_program("unshare"), *options)


def _mounting(mounts: Mapping[str, Path]) -> tuple[str, ...]:
    pairs = [path for target, source in mounts.items() for path in (str(source), target)]
    return (find_program("sh"), "-ec", _MOUNT, "sh", *pairs, "--")
