"""`ecrate tag`: more tags for an image, in its repository."""

from __future__ import annotations

from typing import Final

from ecrate.cli.failures import BAD_COMMAND, CommandError
from ecrate.cli.options import Parser
from ecrate.cli.reference import is_tag, parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.transfer import print_json

SUMMARY = "give an image more tags"
_USAGE: Final = "ecrate tag [HOST/]REPOSITORY[:TAG|@DIGEST] NEW-TAG ... [options]"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Let tags name an image, in its repository; a tag that names another image is "
        "moved. Nothing is pulled or pushed. For another repository, use `ecrate copy`.",
        example="ecrate tag app:1.0 latest stable",
    )
    parser.add_argument("name", metavar="NAME", help="[HOST/]REPOSITORY[:TAG|@DIGEST]")
    parser.add_argument("tags", nargs="+", metavar="NEW-TAG")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Tag and print the names; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    reference = parse_reference(given.name)
    for tag in given.tags:
        if not is_tag(tag):
            raise CommandError(
                f"'{tag}' is no tag; a new name in full is for `ecrate copy`", BAD_COMMAND
            )
    with open_registries(given, is_inspection=True) as registries:
        repository = registries.open(reference)
        image = repository.find(reference.digest or reference.tag or "latest")
        names = []
        for tag in given.tags:
            repository.put(image, tag)
            names.append(f"{repository.text}:{tag}")
            if not given.json:
                print(f"{names[-1]}: digest: {image.digest}")
    if given.json:
        print_json({"digest": image.digest, "names": names})
    return 0
