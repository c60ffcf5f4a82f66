"""`ecrate import`: repositories, images and tags out of another registry's files."""  # noqa: N999 - named as the command

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecrate.cli.data_directory import (
    add_data_options,
    add_region,
    carry_out,
    command_errors,
    open_core,
)
from ecrate.cli.options import Parser
from ecrate.cli.rate import add_rate_option, make_pace
from ecrate.cli.steps import add_report_options, open_steps
from ecrate.cli.transfer import print_json

if TYPE_CHECKING:
    from ecrate.operations.core import Core

SUMMARY = "take over the files of a distribution registry"


def _parser() -> Parser:
    parser = Parser(
        "ecrate import DIR [options]",
        add_help=True,
        description="Take over repositories, images, tags and referrers from the files of a "
        "distribution registry (registry:2, docker-registry), beside a running server or without "
        "one. Layers are shared with those files where the filesystem can, else copied. Given "
        "again, it brings what has come since. The exit code is 1 where something was refused.",
        example="ecrate import /var/lib/registry --repository-prefix old/",
    )
    parser.add_argument("folder", metavar="DIR", help="the registry's rootdirectory")
    parser.add_argument(
        "--repository-prefix", default="", metavar="TEXT", help="what all names get before them"
    )
    parser.add_argument(
        "--trust", action="store_true", help="do not read layers that can be shared"
    )
    add_rate_option(parser, "unlimited", "are read from the layers")
    add_report_options(parser)
    parser.add_argument("--account", metavar="ID", help="account (the root key's)")
    add_region(parser)
    add_data_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Import and say what was taken over; raises `CommandError`."""
    options = _parser().parse_args(arguments)
    options.action, options.event = _import, "ImportImages"
    with command_errors(), open_core(options) as core:
        told = carry_out(core, options, "ecrate import")
    assert isinstance(told, dict)  # noqa: S101 - made below
    if options.json:
        print_json(told)
    else:
        print(_sentence(told))
    return 1 if told["refused"] else 0


def _import(core: Core, options: argparse.Namespace) -> dict[str, Any]:
    from ecrate.operations.imports.distribution import DistributionFiles
    from ecrate.operations.imports.importing import Importing, import_distribution

    with open_steps(quiet=options.quiet) as steps:
        importing = Importing(
            core,
            DistributionFiles(Path(options.folder)),
            options.registry,
            steps,
            make_pace(options.rate),
            prefix=options.repository_prefix,
            trusts=options.trust,
        )
        import_distribution(importing)
    return {
        "repositories": importing.repositories,
        "images": importing.images,
        "tags": importing.tags,
        "layers": importing.layers,
        "size": importing.size,
        "refused": [
            {"repository": one.repository, "what": one.what, "why": one.why}
            for one in importing.refusals
        ],
    }


def _sentence(told: dict[str, Any]) -> str:
    from ecrate.cli.progress import human_size

    new = f"{told['repositories']} repositories, {told['images']} images, {told['tags']} tags"
    lines = [f"new are {new}, {told['layers']} layers of {human_size(told['size'])}"]
    lines += [
        f"refused: {one['repository']} {one['what']}: {one['why']}" for one in told["refused"]
    ]
    return "\n".join(lines)
