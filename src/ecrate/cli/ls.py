"""`ecrate ls`: repositories, or the images of some: tags, platforms, referrers, sizes, times."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any, Final

from ecrate.cli.ecr_repository import EcrRepository, repository_names
from ecrate.cli.failures import SERVICE_ERROR, CommandError
from ecrate.cli.inventory import (
    Image,
    Inventory,
    read_image_tree,
    read_platforms,
    time_json,
    time_text,
)
from ecrate.cli.options import Parser
from ecrate.cli.plain_text import Node, table_lines, tree_lines
from ecrate.cli.progress import human_size
from ecrate.cli.reference import Reference, parse_reference
from ecrate.cli.registries import Registries, add_registry_options, open_registries
from ecrate.cli.repository import Repository
from ecrate.cli.transfer import add_jobs_option, print_json, run_parallel

SUMMARY = "list repositories, tags, platforms and referrers"
_USAGE: Final = "ecrate ls [[HOST/]REPOSITORY[:TAG|@DIGEST] ...] [options]"
_SHORT: Final = 19  # of a digest: sha256: and 12 digits


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Without a name, list the repositories of the configured registry; with one, "
        "the images of a repository as a tree: tags, platforms, what refers to them, sizes, and "
        "when they were pushed and last pulled. Other registries tell no times.",
        example="ecrate ls app:1.0",
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", "-a", action="store_true", help="the images of all repositories")
    parser.add_argument("--tags", action="store_true", help="print the tags only, one a line")
    parser.add_argument("--digests", action="store_true", help="print digests in full")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_jobs_option(parser)
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print what there is; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    references = [parse_reference(name) for name in given.names]
    with open_registries(given, is_inspection=True) as registries:
        if not references and not given.all:
            _print_repositories(registries, given)
            return 0
        if given.all:
            names = repository_names(registries.client())
            references += [parse_reference(name) for name in names]
        if given.tags:
            _print_tags(registries, references, is_json=given.json)
        else:
            _print_images(registries, references, given)
    return 0


def _print_repositories(registries: Registries, given: argparse.Namespace) -> None:
    names = repository_names(registries.client())

    def describe(name: str) -> list[dict[str, Any]] | CommandError:
        try:
            return registries.open_ecr(parse_reference(name)).details()
        except CommandError as error:
            return error  # one that may not be read, or has just gone, hides no other

    tasks = [partial(describe, name) for name in names]
    details = run_parallel(tasks, jobs=given.jobs, connections=registries.connections)
    summaries = [_summary(name, found) for name, found in zip(names, details, strict=True)]
    if given.json:
        times = ("lastPushedAt", "lastPulledAt")
        told = [each | {name: time_json(each[name]) for name in times} for each in summaries]
        print_json({"repositories": told})
        return
    rows = [("REPOSITORY", "IMAGES", "TAGS", "LAST PUSHED", "LAST PULLED")]
    for each in summaries:
        times_text = (time_text(each["lastPushedAt"]), time_text(each["lastPulledAt"]))
        counts = ("-" if each[one] is None else str(each[one]) for one in ("images", "tags"))
        rows.append((each["name"], *counts, *times_text))
    print("\n".join(table_lines(rows)))
    for each in summaries:
        if "error" in each:
            print(f"not read: {each['name']}: {each['error']}", file=sys.stderr)


def _summary(name: str, details: list[dict[str, Any]] | CommandError) -> dict[str, Any]:
    if isinstance(details, CommandError):
        nothing = dict.fromkeys(("images", "tags", "lastPushedAt", "lastPulledAt"))
        return {"name": name, **nothing, "error": str(details)}

    def last(member: str) -> float | None:
        return max((each[member] for each in details if each.get(member)), default=None)

    return {
        "name": name,
        "images": len(details),
        "tags": sum(len(each.get("imageTags", ())) for each in details),
        "lastPushedAt": last("imagePushedAt"),
        "lastPulledAt": last("lastRecordedPullTime"),
    }


def _print_tags(registries: Registries, references: list[Reference], *, is_json: bool) -> None:
    repositories = [registries.open(each) for each in references]
    found = [{"name": each.text, "tags": each.tags()} for each in repositories]
    if is_json:
        print_json({"repositories": found})
        return
    for each in found:
        for tag in each["tags"]:
            print(tag if len(found) == 1 else f"{each['name']}:{tag}")


def _print_images(
    registries: Registries, references: list[Reference], given: argparse.Namespace
) -> None:
    found = []
    for reference in references:
        repository = registries.open(reference)
        found.append((repository, _images(repository, reference, given.jobs)))
    if given.json:
        print_json(
            {
                "repositories": [
                    {"name": repository.text, "images": [image_json(each) for each in images]}
                    for repository, images in found
                ]
            }
        )
        return
    for repository, images in found:
        nodes = [_node(each, given.digests) for each in images]
        print("\n".join(tree_lines(Node(repository.text, below=nodes))))


def _images(repository: Repository, reference: Reference, jobs: int) -> list[Image]:
    """Give what a name means: the images of a repository, or one."""
    if isinstance(repository, EcrRepository):
        inventory = Inventory(repository, jobs=jobs)
        images = inventory.roots()
        if reference.tag:
            images = [each for each in inventory.images.values() if reference.tag in each.tags]
        if reference.digest:
            images = [each for each in inventory.images.values() if each.digest == reference.digest]
        if not images and (reference.tag or reference.digest):
            raise CommandError(
                f"{repository.text} has no image {reference.digest or reference.tag}. "
                f"`ecrate ls {repository.text}` tells what is there.",
                SERVICE_ERROR,
            )
    else:
        images = _foreign_images(repository, reference, jobs)
    parts = [part for image in images for part in image.below()]
    read_platforms(repository, parts, jobs)
    return images


def _foreign_images(repository: Repository, reference: Reference, jobs: int) -> list[Image]:
    if reference.digest:
        return [read_image_tree(repository, repository.find(reference.digest), [])]
    tags = [reference.tag] if reference.tag else repository.tags()
    tasks = [partial(repository.find, tag) for tag in tags]
    documents = run_parallel(tasks, jobs=jobs, connections=repository.connections)
    by_digest: dict[str, list[str]] = {}
    for tag, document in zip(tags, documents, strict=True):
        by_digest.setdefault(document.digest, []).append(tag)
    unique = {each.digest: each for each in documents}
    trees = [
        partial(read_image_tree, repository, unique[digest], found)
        for digest, found in by_digest.items()
    ]
    return run_parallel(trees, jobs=jobs, connections=repository.connections)


def _node(image: Image, is_full: bool, *, is_part: bool = False) -> Node:  # noqa: FBT001 - handed down
    if image.tags:
        label = ", ".join(image.tags)
    elif image.subject:
        label = image.artifact_type or "referrer"
    else:
        label = "" if is_part and image.platform else "(untagged)"
    label = f"{label} {image.platform}".strip()
    if not image.is_readable:
        label += f" ({image.status.lower()})"
    columns = [image.digest if is_full else image.digest[:_SHORT]]
    columns.append("-" if image.size is None else human_size(image.size))
    if image.pushed_at is not None:
        columns.append(f"pushed {time_text(image.pushed_at)}")
        pulled = time_text(image.pulled_at)
        columns.append(f"pulled {pulled}" if image.pulled_at else "never pulled")
    parts = [*image.children, *image.referrers]
    return Node(label, tuple(columns), [_node(each, is_full, is_part=True) for each in parts])


def image_json(image: Image) -> dict[str, Any]:
    """Give an image as JSON has it, with what is below."""
    told = {
        "digest": image.digest,
        "tags": image.tags,
        "mediaType": image.media_type,
        "artifactType": image.artifact_type,
        "platform": image.platform or None,
        "size": image.size,
        "status": image.status or None,
        "pushedAt": time_json(image.pushed_at),
        "lastPulledAt": time_json(image.pulled_at),
    }
    return told | {
        "children": [image_json(each) for each in image.children],
        "referrers": [image_json(each) for each in image.referrers],
    }
