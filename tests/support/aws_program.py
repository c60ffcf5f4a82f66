"""A program, not a module of the tests: answers command lines with what the AWS command line says.

It runs under the Python that has `awscli` installed, of version 1 or 2. Starting that takes half a
second, so one process runs all command lines, each with a driver of its own; they share what was
read of the service models. A line of standard input is a JSON list of words, a line of output is
`[exit code, standard output, standard error]`.
"""

from __future__ import annotations

import importlib
import io
import json
import operator
import random
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, Final

# Not importable from the tests: there are two programs of this name.
_DRIVER: Final[Any] = importlib.import_module("awscli.clidriver")
_IS_VERSION_2: Final = hasattr(_DRIVER, "AWSCLIEntryPoint")


def _make_driver(words: list[str]) -> Any:
    return _DRIVER.create_clidriver(words) if _IS_VERSION_2 else _DRIVER.create_clidriver()


def _run(driver: Any, words: list[str]) -> Any:
    try:
        if _IS_VERSION_2:
            return _DRIVER.AWSCLIEntryPoint(driver).main(words)
        return driver.main(words)
    except SystemExit as end:
        return end.code


def main() -> None:
    """Answer until the input ends."""
    # Samples of input have any value of an enum; here the first one.
    setattr(random, "choice", operator.itemgetter(0))  # noqa: B010 - it is typed as generic
    models = _make_driver([]).session.get_component("data_loader")
    for line in sys.stdin:
        words = json.loads(line)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            driver = _make_driver(words)
            driver.session.register_component("data_loader", models)
            code = _run(driver, words)
        sys.stdout.write(f"{json.dumps([code, out.getvalue(), err.getvalue()])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
