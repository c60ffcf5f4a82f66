"""The program through which a person reads what does not fit on the screen."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def paged(command: str) -> Iterator[IO[str]]:
    """Give the stream to print to: a pager's input on a terminal, otherwise standard output.

    Without a command, and where its program is missing, the terminal itself.
    """
    words = _program(command) if is_terminal() else []
    if not words:
        yield sys.stdout
        sys.stdout.flush()
        return
    import signal
    import subprocess

    # As `aws` asks of `less`: no paging of what fits, colours as they are, nothing cleared.
    environment = {"LESS": "FRX", **os.environ}
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True, env=environment) as process:
        if process.stdin is None:
            raise AssertionError  # asked for just now
        try:
            # Whoever quits the pager early has seen enough.
            with contextlib.suppress(BrokenPipeError), process.stdin as stream:
                yield stream
        finally:
            # Ctrl-C is the pager's as long as it has the terminal.
            previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
            process.wait()
            signal.signal(signal.SIGINT, previous)


def _program(command: str) -> list[str]:
    """Give the command's words; none where its program is missing."""
    import shlex
    import shutil

    words = shlex.split(command)
    return words if words and shutil.which(words[0]) else []


def is_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout.isatty()


def manual_pager() -> str:
    """Give the pager for help pages: MANPAGER, PAGER or `less`."""
    return os.environ.get("MANPAGER") or os.environ.get("PAGER") or "less"
