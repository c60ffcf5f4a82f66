"""The `ecrate` command: finds the subcommand and runs it.

Everything else is imported late, since a command is started far more often than any one of its
subcommands is used. A subcommand is a module with `SUMMARY` and `run(arguments) -> exit code`.
"""

from __future__ import annotations

import sys
from typing import Final

# What works on a server's data or settings, and what calls servers.
_LOCAL_COMMANDS: Final = (
    "serve",
    "env",
    "config",
    "iam",
    "trash",
    "lock",
    "unlock",
    "gc",
    "webhook",
    "fsck",
    "backup",
    "restore",
    "migrate",
    "import",
    "advisories",
    "completion",
)
_CALLING_COMMANDS: Final = (
    "ecr",
    "push",
    "pull",
    "copy",
    "ls",
    "inspect",
    "diff",
    "du",
    "tag",
    "rm",
    "events",
    "login",
    "doctor",
)
COMMANDS: Final = (*_LOCAL_COMMANDS, *_CALLING_COMMANDS)
# As `aws` does, the options common to all calls may stand before the command; these take no value.
_FLAGS: Final = (
    "--debug",
    "--no-verify-ssl",
    "--no-paginate",
    "--no-sign-request",
    "--no-cli-pager",
    "--no-cli-auto-prompt",
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and give the exit code; texts for people go to standard error."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. A second failure, at exit, would be printed.
        sys.stdout = None
        return 0
    except OSError as error:
        # A full disk, a directory that may not be written: the system's words say it.
        print(f"ecrate: {error}", file=sys.stderr)
        _close_output()
        return 255
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody is shown a traceback unasked
        return _confess(error, with_details="--debug" in words)
    return code


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        from ecrate import __version__

        print(f"ecrate/{__version__} Python/{sys.version.split()[0]}")
        return 0
    if words[:1] in (["help"], ["--help"], ["-h"]):
        print(_help())
        return 0
    common, rest = _split_common(words)
    if not rest or rest[0] not in COMMANDS:
        return _complain(rest)
    name, arguments = rest[0], rest[1:]
    if common and name in _LOCAL_COMMANDS:
        print(f"ecrate: options of '{name}' stand behind it: {' '.join(common)}", file=sys.stderr)
        return 252
    if arguments == ["help"] and name != "ecr":
        arguments = ["--help"]
    from importlib import import_module

    from ecrate.cli.failures import CommandError

    try:
        return int(import_module(f"ecrate.cli.{name}").run(arguments + common))
    except CommandError as error:
        sys.stdout.flush()
        print(error.text(with_details="--debug" in words), file=sys.stderr)
        return error.exit_code


def _split_common(words: list[str]) -> tuple[list[str], list[str]]:
    """Give the options before the command's name, and the rest from that name on."""
    end = 0
    while end < len(words) and words[end].startswith("--"):
        alone = words[end] in _FLAGS or "=" in words[end]
        end += 1 if alone else 2
    return words[:end], words[end:]


def _complain(rest: list[str]) -> int:
    from ecrate.cli.failures import nearest

    problem = "a command is missing"
    if rest:
        problem = f"'{rest[0]}' is no command{nearest(rest[0], COMMANDS)}"
    print(f"ecrate: {problem}\n`ecrate help` lists the commands.", file=sys.stderr)
    return 252


def _close_output() -> None:
    """Leave no output behind that would fail at exit, with a second message."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None


def _confess(error: Exception, *, with_details: bool) -> int:
    print(f"ecrate: this should not happen: {type(error).__name__}: {error}", file=sys.stderr)
    if with_details:
        import traceback

        traceback.print_exception(error)
    else:
        print("Run it again with --debug for what to report.", file=sys.stderr)
    return 255


def _help() -> str:
    from importlib import import_module

    summaries = [f"  {name:12}{import_module(f'ecrate.cli.{name}').SUMMARY}" for name in COMMANDS]
    lines = [
        "usage: ecrate COMMAND ...",
        "",
        "Amazon ECR on your own machine.",
        "",
        "commands:",
        *summaries,
        "",
        "`ecrate COMMAND help` tells more; `ecrate --version` prints the version.",
    ]
    return "\n".join(lines)
