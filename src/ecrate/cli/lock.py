"""`ecrate lock`: keep a repository, and all in it, from being deleted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecrate.cli.data_directory import add_region, make_parser, run_action

if TYPE_CHECKING:
    from ecrate.operations.core import Core

SUMMARY = "keep a repository from being deleted"


def run(arguments: list[str]) -> int:
    """Lock the repository, or without one list those that are locked."""
    return run_action(_parser(), arguments, prepare=_name_event)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate lock",
        "Refuse to delete a repository, its images and their tags, and let its lifecycle policy "
        "expire nothing, until `ecrate unlock`. Without a repository, list the locked ones.",
    )
    add_region(parser)
    parser.add_argument("repository", nargs="?", metavar="REPOSITORY")
    parser.set_defaults(action=_lock)
    return parser


def _name_event(options: argparse.Namespace) -> None:
    options.event = None if options.repository is None else "LockRepository"


def _lock(core: Core, options: argparse.Namespace) -> object:
    from ecrate.domain.names import RepositoryRef
    from ecrate.operations import repositories

    if options.repository is None:
        return [
            {"repository": ref.name, "account": ref.registry.id, "region": ref.registry.region}
            for ref in repositories.list_locked_repositories(core)
        ]
    ref = RepositoryRef.parse(options.registry, options.repository)
    repositories.lock_repository(core, ref, is_locked=True)
    return None
