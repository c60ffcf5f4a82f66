"""`ecrate completion`: a script that lets a shell complete commands, options and values.

The script holds all words, so that completing starts no program.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from ecrate.cli.options import Parser
from ecrate.cli.words import Level, common_options, levels

SUMMARY = "print a script for completion in bash, zsh or fish"
_BASH: Final = """\
_ecrate() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} at=ecrate word found=
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
%(steps)s
  done
%(cases)s
  COMPREPLY=($(compgen -W "$found" -- "$current"))
}
complete -o default -F _ecrate ecrate
"""
_ZSH: Final = """\
#compdef ecrate
_ecrate() {
  local current=$words[CURRENT] before=$words[CURRENT-1] at=ecrate word found=
  for word in "${(@)words[2,CURRENT-1]}"; do
%(steps)s
  done
%(cases)s
  if [[ -n $found ]]; then compadd -- ${=found}; else _files; fi
}
compdef _ecrate ecrate
"""
_FISH: Final = """\
function __ecrate_words
  set -l before (commandline -opc)
  set -l current (commandline -ct)
  set -l at ecrate
  set -l found
  for word in $before[2..-1]
%(steps)s
  end
%(cases)s
  string split -n ' ' -- $found
end
complete -c ecrate -f -n 'count (__ecrate_words) >/dev/null' -a '(__ecrate_words)'
"""
_COMMON: Final = "common"


def _parser() -> Parser:
    parser = Parser(
        "ecrate completion bash|zsh|fish",
        add_help=True,
        description="Print a script for completion. In bash and zsh: "
        'eval "$(ecrate completion bash)"; in fish: ecrate completion fish | source.',
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def run(arguments: list[str]) -> int:
    """Print the script; raises `CommandError`."""
    given: argparse.Namespace = _parser().parse_args(arguments)
    from ecrate.cli import COMMANDS

    known = levels(COMMANDS)
    shells: dict[str, tuple[str, _Posix | _Fish]] = {
        "bash": (_BASH, _Posix()),
        "zsh": (_ZSH, _Posix()),
        "fish": (_FISH, _Fish()),
    }
    frame, syntax = shells[given.shell]
    sys.stdout.write(f"# {given.shell} completion, made by `ecrate completion {given.shell}`\n")
    sys.stdout.write(frame % {"steps": syntax.steps(known), "cases": syntax.cases(known)})
    return 0


def _values(known: dict[str, Level]) -> Iterator[tuple[str, str]]:
    """Give a path and an option behind it, and the values that the option takes.

    For an option common to all calls, the path is a star.
    """
    common = common_options()
    for option, values in common.items():
        if values:
            yield f"* {option}", " ".join(values)
    for path, level in known.items():
        for option, values in level.options.items():
            if values and option not in common:
                yield f"{path} {option}", " ".join(values)


def _options(known: dict[str, Level]) -> Iterator[tuple[str, str]]:
    """Give each path and its options, those common to all calls as one word for them."""
    common = common_options()
    for path, level in known.items():
        options = list(level.options)
        if common.keys() <= level.options.keys():
            options = [*(option for option in options if option not in common), f"${_COMMON}"]
        yield path, " ".join(options)


def _words(known: dict[str, Level]) -> Iterator[tuple[str, str]]:
    for path, level in known.items():
        if level.words:
            yield path, " ".join(level.words)


class _Posix:
    """The tables in the syntax of bash and zsh."""

    def steps(self, known: dict[str, Level]) -> str:
        """Give the statement that goes from a command to its subcommand."""
        paths = "|".join(f"'{path}'" for path in known)
        return f'    case "$at $word" in {paths}) at="$at $word" ;; esac'

    def cases(self, known: dict[str, Level]) -> str:
        """Give the statements that find the words."""
        values = ((path.replace(" ", "\\ "), words) for path, words in _values(known))
        return "\n".join(
            [
                f"  local {_COMMON}='{' '.join(common_options())}'",
                '  case "$at $before" in',
                *(f"    {path}) found='{words}' ;;" for path, words in values),
                "    *) if [[ $current == -* ]]; then",
                "      case $at in",
                *(f"""        '{path}') found="{words}" ;;""" for path, words in _options(known)),
                "      esac",
                "    else",
                "      case $at in",
                *(f"        '{path}') found='{words}' ;;" for path, words in _words(known)),
                "      esac",
                "    fi ;;",
                "  esac",
            ]
        )


class _Fish:
    """The tables in fish's syntax."""

    def steps(self, known: dict[str, Level]) -> str:
        """Give the statement that goes from a command to its subcommand."""
        paths = " ".join(f"'{path}'" for path in known)
        return f'    switch "$at $word"\n      case {paths}\n        set at "$at $word"\n    end'

    def cases(self, known: dict[str, Level]) -> str:
        """Give the statements that find the words."""
        return "\n".join(
            [
                f"  set -l {_COMMON} '{' '.join(common_options())}'",
                '  switch "$at $before[-1]"',
                *(f"    case '{path}'; set found '{words}'" for path, words in _values(known)),
                "    case '*'",
                "      if string match -q -- '-*' $current",
                "        switch $at",
                *(
                    f"""          case '{path}'; set found "{words}\""""
                    for path, words in _options(known)
                ),
                "        end",
                "      else",
                "        switch $at",
                *(f"          case '{path}'; set found '{words}'" for path, words in _words(known)),
                "        end",
                "      end",
                "  end",
            ]
        )
