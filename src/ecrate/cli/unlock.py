"""`ecrate unlock`: let a repository be deleted again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecrate.cli.data_directory import add_region, make_parser, run_action

if TYPE_CHECKING:
    from ecrate.operations.core import Core

SUMMARY = "let a locked repository be deleted again"


def run(arguments: list[str]) -> int:
    """Unlock the repository."""
    return run_action(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("ecrate unlock", "Let a repository that was locked be deleted again.")
    add_region(parser)
    parser.add_argument("repository", metavar="REPOSITORY")
    parser.set_defaults(action=_unlock, event="UnlockRepository")
    return parser


def _unlock(core: Core, options: argparse.Namespace) -> object:
    from ecrate.domain.names import RepositoryRef
    from ecrate.operations import repositories

    ref = RepositoryRef.parse(options.registry, options.repository)
    repositories.lock_repository(core, ref, is_locked=False)
    return None
