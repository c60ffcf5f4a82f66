"""A program, not a module of the tests: runs commands of `ecrate`, each in a process of its own.

It has imported what they need, which takes a command that starts by itself half a second. A
message on standard input, a socket, brings words, variables, and three descriptors: standard output
and error of the command, and one on which a line with its process id is written when it starts, and
one with its exit code when it has ended.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys

from ecrate.cli import main

_LARGEST = 1024 * 1024
# What `serve` and `iam` import late.
_LATE = ("ecrate.app", "ecrate.cli.iam", "ecrate.cli.serve", "ecrate.store.sqlite")


def _run(words: list[str], env: dict[str, str], folder: str, out: int, err: int) -> int:
    """Be a new process that was told to run this."""
    os.setsid()
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, err)):
        os.dup2(descriptor, number)
    os.closerange(3, max(nothing, out, err) + 1)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["ecrate", *words]
    return main(words)


def _watch(pid: int, status: int) -> None:
    """Tell of a process's start and end."""
    with open(status, "w", encoding="ascii") as told:
        told.write(f"{pid}\n")
        told.flush()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        told.write(f"{code}\n")


def _reap() -> None:
    """Let those go who have nothing more to tell."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def serve() -> None:
    """Start commands until nobody is left who wants any."""
    channel = socket.socket(fileno=0)
    for name in _LATE:
        importlib.import_module(name)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _LARGEST, 3)
        _reap()
        if not message:
            return
        out, err, status = descriptors
        given = json.loads(message)
        if os.fork() == 0:
            channel.detach()
            pid = os.fork()
            if pid == 0:
                os.close(status)
                sys.exit(_run(given["words"], given["env"], given["folder"], out, err))
            os.close(out)
            os.close(err)
            os.closerange(0, 3)
            _watch(pid, status)
            os._exit(0)
        for one in descriptors:
            os.close(one)


if __name__ == "__main__":
    serve()
