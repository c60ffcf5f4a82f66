"""`ecrate du`: what repositories take, alone and together, and what deleting a tag would free.

No operation of ECR tells; it is added up from the manifests of all repositories.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Final

from ecrate.cli.ecr_repository import repository_names
from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.inventory import Image, Inventory
from ecrate.cli.options import Parser
from ecrate.cli.plain_text import table_lines
from ecrate.cli.progress import human_size
from ecrate.cli.reference import parse_reference
from ecrate.cli.registries import Registries, add_registry_options, open_registries
from ecrate.cli.removal import removed_with_tag
from ecrate.cli.transfer import add_jobs_option, print_json, run_parallel

SUMMARY = "show what repositories and tags take up"
_USAGE: Final = "ecrate du [REPOSITORY ...] [options]"

Sizes = dict[str, int]  # bytes by digest


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Without a name, show for each repository the bytes of its layers: all of "
        "them, those that are nowhere else (unique), and those that other repositories have as "
        "well (shared). With names, show for each tag of these what it takes, and what deleting "
        "it with `ecrate rm` would free.",
        example="ecrate du app",
    )
    parser.add_argument("names", nargs="*", metavar="REPOSITORY")
    parser.add_argument("--bytes", "-b", action="store_true", help="print sizes in bytes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_jobs_option(parser)
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print the sizes; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    references = [parse_reference(name) for name in given.names]
    for reference in references:
        if reference.tag or reference.digest:
            raise CommandError(
                f"'{reference.text}' names an image; `ecrate du {reference.repository}` tells of "
                "all its tags",
                BAD_COMMAND,
            )
    with open_registries(given, is_inspection=True) as registries:
        named = [registries.open_ecr(each).name for each in references]
        inventories = _read_all(registries, given.jobs)
    missing = [name for name in named if name not in inventories]
    if missing:
        raise CommandError(f"there is no repository {missing[0]}; `ecrate ls` lists them")
    usage = _Usage(inventories)
    if named:
        _print_tags({name: usage.tags(name) for name in named}, given)
    else:
        _print_repositories(usage, given)
    return 0


def _read_all(registries: Registries, jobs: int) -> dict[str, Inventory]:
    names = repository_names(registries.client())

    def read(name: str) -> Inventory:
        repository = registries.open_ecr(parse_reference(name))
        return Inventory(repository, jobs=jobs, with_manifests=True)

    tasks = [partial(read, name) for name in names]
    found = run_parallel(tasks, jobs=jobs, connections=registries.connections)
    return dict(zip(names, found, strict=True))


def _sizes(image: Image) -> Sizes:
    """Give the blobs that one manifest names."""
    document = image.document
    return {each["digest"]: each["size"] for each in document.blobs} if document else {}


class _Usage:
    """Which blobs are needed where."""

    def __init__(self, inventories: dict[str, Inventory]) -> None:
        self._inventories = inventories
        self.blobs: dict[str, Sizes] = {}
        # How many manifests need a blob, of all repositories.
        self._needed: dict[str, int] = {}
        owners: dict[str, set[str]] = {}
        for name, inventory in inventories.items():
            found: Sizes = {}
            for image in inventory.images.values():
                for digest, size in _sizes(image).items():
                    found[digest] = size
                    self._needed[digest] = self._needed.get(digest, 0) + 1
                    owners.setdefault(digest, set()).add(name)
            self.blobs[name] = found
        self._unique = {digest for digest, names in owners.items() if len(names) == 1}

    def repository(self, name: str) -> dict[str, Any]:
        """Give a repository's bytes."""
        found = self.blobs[name]
        unique = sum(size for digest, size in found.items() if digest in self._unique)
        size = sum(found.values())
        images = len(self._inventories[name].images)
        unread = sum(not each.is_readable for each in self._inventories[name].images.values())
        told = {"name": name, "images": images, "size": size}
        return told | {"unique": unique, "shared": size - unique, "unread": unread}

    def total(self) -> int:
        """Give the bytes of all repositories, each blob counted once."""
        together: Sizes = {}
        for found in self.blobs.values():
            together |= found
        return sum(together.values())

    def tags(self, name: str) -> list[dict[str, Any]]:
        """Give what the tags of a repository take and free, those that free most first."""
        inventory = self._inventories[name]
        found = []
        for image in inventory.images.values():
            whole: Sizes = {}
            for part in image.below():
                whole |= _sizes(part)
            size = sum(whole.values())
            for tag in image.tags:
                frees = self._freed(removed_with_tag(inventory, image, tag))
                found.append({"tag": tag, "digest": image.digest, "size": size, "frees": frees})
        return sorted(found, key=lambda each: (-each["frees"], each["tag"]))

    def _freed(self, removed: list[Image]) -> int:
        sizes: Sizes = {}
        times: dict[str, int] = {}
        for image in removed:
            for digest, size in _sizes(image).items():
                sizes[digest] = size
                times[digest] = times.get(digest, 0) + 1
        return sum(size for digest, size in sizes.items() if times[digest] == self._needed[digest])


def _print_repositories(usage: _Usage, given: argparse.Namespace) -> None:
    told = [usage.repository(name) for name in usage.blobs]
    told.sort(key=lambda each: (-each["size"], each["name"]))
    if given.json:
        print_json({"repositories": told, "total": usage.total()})
        return
    rows = [("REPOSITORY", "IMAGES", "SIZE", "UNIQUE", "SHARED")]
    for each in told:
        sizes = (_size(each[name], given) for name in ("size", "unique", "shared"))
        rows.append((each["name"], str(each["images"]), *sizes))
    rows.append(("together", "", _size(usage.total(), given), "", ""))
    print("\n".join(table_lines(rows)))
    unread = sum(each["unread"] for each in told)
    if unread:
        print(f"not counted: {unread} archived images, whose manifests cannot be read")


def _print_tags(told: dict[str, list[dict[str, Any]]], given: argparse.Namespace) -> None:
    if given.json:
        print_json({"repositories": [{"name": name, "tags": tags} for name, tags in told.items()]})
        return
    rows = [("TAG", "SIZE", "FREES", "DIGEST")]
    for name, tags in told.items():
        prefix = f"{name}:" if len(told) > 1 else ""
        for each in tags:
            sizes = (_size(each["size"], given), _size(each["frees"], given))
            rows.append((f"{prefix}{each['tag']}", *sizes, each["digest"]))
    print("\n".join(table_lines(rows)))


def _size(count: int, given: argparse.Namespace) -> str:
    return str(count) if given.bytes else human_size(count)
