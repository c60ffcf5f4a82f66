"""`ecrate trash`: what was deleted, listed, restored, or given up."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecrate.cli.data_directory import Commands, add_region, make_parser, run_action, time_of
from ecrate.cli.failures import BAD_COMMAND, CommandError

if TYPE_CHECKING:
    from ecrate.domain.names import Digest, RepositoryRef
    from ecrate.domain.trash import Origin, TrashedImage, TrashedRepository
    from ecrate.operations.core import Core

SUMMARY = "restore deleted images and repositories"


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    return run_action(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate trash", "List and restore what was deleted, or let it be deleted for good."
    )
    add_region(parser)
    command = Commands(parser).add
    made = command("list", _list, "list what can be restored: everything, or an account's")
    made.add_argument("repository", nargs="?", metavar="REPOSITORY", help="of this name only")
    made = command(
        "restore", _restore, "let a deleted repository or image be there again", "RestoreFromTrash"
    )
    made.add_argument("item", metavar="REPOSITORY[@DIGEST]")
    made.add_argument("--as", dest="name", metavar="NAME", help="give the repository another name")
    made.add_argument(
        "--id", type=int, metavar="ID", help="which of several deleted ones of the name (the last)"
    )
    made = command("empty", _empty, "let what was deleted not be restored any more", "EmptyTrash")
    made.add_argument(
        "item", nargs="?", metavar="REPOSITORY[@DIGEST]", help="without it, all of the --account"
    )
    made.add_argument("--all", action="store_true", help="of all accounts")
    return parser


def _list(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import trash

    ref, _ = _named(options, options.repository)
    origin = _origin(options, ref)

    def entries() -> Iterator[object]:
        yield from map(_record, trash.list_trashed_repositories(core, origin))
        yield from map(_record, trash.list_trashed_images(core, origin))

    return entries()


def _record(one: TrashedRepository | TrashedImage) -> dict[str, object]:
    from ecrate.domain.trash import TrashedImage

    if isinstance(one, TrashedImage):
        what: dict[str, object] = {
            "item": f"{one.ref.name}@{one.digest}",
            "id": one.repository_id,
            "tags": one.tags,
            "bytes": one.size,
        }
    else:
        what = {"item": one.ref.name, "id": one.id, "images": one.image_count}
    return what | {
        "account": one.ref.registry.id,
        "region": one.ref.registry.region,
        "deleted": time_of(one.deleted_at),
        "until": time_of(one.kept_until),
    }


def _restore(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import trash

    ref, digest = _named(options, options.item)
    assert ref is not None  # noqa: S101 - an item was given
    if digest is None:
        restored = trash.restore_repository(core, ref, repository_id=options.id, name=options.name)
        return {
            "repository": restored.ref.name,
            "id": restored.id,
            "images": restored.image_count,
        }
    if options.name or options.id:
        raise CommandError(
            "ecrate: --as and --id go with a repository, not with an image", BAD_COMMAND
        )
    images = trash.restore_image(core, ref, digest)
    return [dataclasses.asdict(one) | {"digest": one.digest.text} for one in images]


def _empty(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import trash

    if options.all == bool(options.item or options.account):
        raise CommandError(
            "ecrate: empty what? Name a REPOSITORY[@DIGEST], or an --account, or say --all",
            BAD_COMMAND,
        )
    ref, digest = _named(options, options.item)
    repositories, images = trash.empty_trash(core, _origin(options, ref), digest)
    return {"repositories": repositories, "images": images}


def _named(
    options: argparse.Namespace, item: str | None
) -> tuple[RepositoryRef | None, Digest | None]:
    """Give repository and digest of an item, each None where it is not named."""
    from ecrate.domain.names import Digest, RepositoryRef

    if item is None:
        return None, None
    name, at, digest = item.partition("@")
    return RepositoryRef.parse(options.registry, name), Digest.parse(digest) if at else None


def _origin(options: argparse.Namespace, ref: RepositoryRef | None) -> Origin:
    from ecrate.domain.trash import Origin

    return Origin(options.account, ref)
