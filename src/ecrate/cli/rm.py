"""`ecrate rm`: delete images, with the platforms and referrers that only they hold."""

from __future__ import annotations

from typing import Any, Final

from ecrate.cli.ecr_repository import EcrRepository
from ecrate.cli.failures import BAD_COMMAND, SERVICE_ERROR, CommandError
from ecrate.cli.inventory import Image, Inventory
from ecrate.cli.options import Parser
from ecrate.cli.reference import Reference, parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.removal import removed_with
from ecrate.cli.repository import Repository
from ecrate.cli.transfer import add_jobs_option, print_json

SUMMARY = "delete images and tags"
_USAGE: Final = "ecrate rm [HOST/]REPOSITORY:TAG|@DIGEST ... [options]"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Delete tags and images. A tag of several is taken away; with its last tag "
        "an image goes, and so do its platforms that no other index has and whatever refers to "
        "it, unless they have tags. At other registries, only what is named is deleted.",
        example="ecrate rm app:1.0 app:1.1 --dry-run",
    )
    parser.add_argument("names", nargs="+", metavar="REPOSITORY:TAG|@DIGEST")
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")
    parser.add_argument("--only", action="store_true", help="leave platforms and referrers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_jobs_option(parser)
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Delete and print what was deleted; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    references = [parse_reference(name) for name in given.names]
    for reference in references:
        if not reference.tag and not reference.digest:
            raise CommandError(
                f"'{reference.text}' names a repository: give a tag or digest, or delete it with "
                f"`ecrate ecr delete-repository --force --repository-name {reference.repository}`",
                BAD_COMMAND,
            )
    told: list[dict[str, Any]] = []
    with open_registries(given, is_inspection=True) as registries:
        for reference in references:
            repository = registries.open(reference)
            if isinstance(repository, EcrRepository):
                done = _remove(
                    repository, reference, given.jobs, is_only=given.only, is_trial=given.dry_run
                )
            else:
                done = _remove_foreign(repository, reference, is_trial=given.dry_run)
            told += done
            if not given.json:
                _print(done, is_trial=given.dry_run)
    if given.json:
        print_json({"deleted": told})
    return 0


def _remove(
    repository: EcrRepository,
    reference: Reference,
    jobs: int,
    *,
    is_only: bool,
    is_trial: bool,
) -> list[dict[str, Any]]:
    inventory = Inventory(repository, jobs=jobs)
    image = _named(inventory, reference)
    if reference.tag and not reference.digest and len(image.tags) > 1:
        if not is_trial:
            repository.untag(reference.tag)
        return [{"name": f"{repository.text}:{reference.tag}", "digest": None}]
    parents = inventory.parents(image.digest)
    if parents:
        names = ", ".join(f"{repository.name}@{each.digest}" for each in parents)
        raise CommandError(
            f"{reference.text} is a platform of an index and goes with it only: {names}",
            SERVICE_ERROR,
        )
    gone = [image] if is_only else removed_with(inventory, image)
    if not is_trial:
        # An index goes before its platforms: what an index names cannot be deleted.
        for each in gone:
            repository.delete([each.digest])
    return [
        {"name": f"{repository.text}{f':{tag}' if tag else ''}", "digest": each.digest}
        for each in gone
        for tag in each.tags or [""]
    ]


def _named(inventory: Inventory, reference: Reference) -> Image:
    for image in inventory.images.values():
        if reference.digest and image.digest != reference.digest:
            continue
        if reference.digest or reference.tag in image.tags:
            return image
    raise CommandError(
        f"{inventory.repository.text} has no image {reference.digest or reference.tag}. "
        f"`ecrate ls {inventory.repository.text}` tells what is there.",
        SERVICE_ERROR,
    )


def _remove_foreign(
    repository: Repository, reference: Reference, *, is_trial: bool
) -> list[dict[str, Any]]:
    if reference.digest:
        if not is_trial:
            repository.delete([reference.digest])
        return [{"name": repository.text, "digest": reference.digest}]
    if not is_trial:
        repository.untag(reference.tag or "")
    return [{"name": f"{repository.text}:{reference.tag}", "digest": None}]


def _print(done: list[dict[str, Any]], *, is_trial: bool) -> None:
    for each in done:
        verb = "deleted" if each["digest"] else "untagged"
        verb = f"would be {verb}" if is_trial else verb
        digest = f"  {each['digest']}" if each["digest"] else ""
        print(f"{verb}: {each['name']}{digest}")
