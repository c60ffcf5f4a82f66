"""The program through which a person reads what does not fit on the screen."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def paged(command: str) -> Iterator[IO[str]]:
    """Give the stream to print to: a pager's input on a terminal, otherwise standard output.

    Without a command, and where its program is missing, the terminal itself.
    """
    words = shlex.split(command)
    if not words or not is_terminal() or shutil.which(words[0]) is None:
        yield sys.stdout
        sys.stdout.flush()
        return
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


def is_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout.isatty()


def manual_pager() -> str:
    """Give the pager for help pages: MANPAGER, PAGER or `less`."""
    return os.environ.get("MANPAGER") or os.environ.get("PAGER") or "less"
