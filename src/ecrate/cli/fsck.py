"""`ecrate fsck`: compares rows and bytes, beside a running server or without one."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ecrate.cli.data_directory import add_data_options, carry_out, command_errors, open_core
from ecrate.cli.options import Parser
from ecrate.cli.rate import add_rate_option, make_pace
from ecrate.cli.steps import add_report_options, open_steps

if TYPE_CHECKING:
    from ecrate.domain.damage import DamagedImage, Finding
    from ecrate.operations.checks.inspection import Inspection
    from ecrate.operations.core import Core

SUMMARY = "check and repair what is stored"
_IMAGES_SHOWN: Final = 20
_RATE: Final = "100MB"


def _parser() -> Parser:
    parser = Parser(
        "ecrate fsck [options]",
        add_help=True,
        description="Compare the database with itself and with the bytes of all layers, beside a "
        "running server or without one. The exit code is 1 where something is wrong.",
        example="ecrate fsck --data /srv/ecrate --rate 50MB",
    )
    add_data_options(parser)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="mend what can be mended; damaged bytes go into quarantine",
    )
    add_rate_option(parser, _RATE, "are read to compare digests")
    parser.add_argument("--no-hash", action="store_true", help="compare no digests of layers")
    add_report_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print what is found, as it is found; raises `CommandError`."""
    options = _parser().parse_args(arguments)
    options.action = _check
    options.event = "RepairData" if options.repair else None
    with command_errors(), open_core(options) as core:
        return 0 if carry_out(core, options, "ecrate fsck") else 1


def _check(core: Core, options: argparse.Namespace) -> bool:
    """Tell whether all is well now."""
    from ecrate.operations.checks import inspect
    from ecrate.operations.checks.inspection import Inspection

    with open_steps(quiet=options.quiet) as steps:
        inspection = Inspection(
            core,
            steps,
            repairs=options.repair,
            pace=None if options.no_hash else make_pace(options.rate),
        )
        write = _write_json if options.json else _write
        return write(inspect(inspection), inspection, is_quiet=options.quiet) == 0


def _write(findings: Iterator[Finding], inspection: Inspection, *, is_quiet: bool) -> int:
    """Print a line for each finding; give how many are left."""
    left = mended = 0
    for each in findings:
        left += not each.is_mended
        mended += each.is_mended
        print(f"{each.kind}: {each.what}: {each.told}", flush=True)
        if each.done:
            print(f"    {each.done}")
        for image in each.images[:_IMAGES_SHOWN]:
            print(f"    needed by {_named(image)}")
        if each.image_count > _IMAGES_SHOWN:
            print(f"    and {each.image_count - _IMAGES_SHOWN} more")
    if not is_quiet:
        print(_summary(inspection, left, mended))
    return left


def _named(image: DamagedImage) -> str:
    tags = f" ({', '.join(image.tags)})" if image.tags else ""
    where = " in the trash" if image.is_deleted else ""
    return f"{image.ref.name}@{image.digest}{tags}{where}, {_registry(image)}"


def _registry(image: DamagedImage) -> str:
    return f"account {image.ref.registry.id}, {image.ref.registry.region}"


def _summary(inspection: Inspection, left: int, mended: int) -> str:
    from ecrate.cli.progress import human_size

    counts = dict(inspection.counts)
    read = human_size(counts.pop("bytes", 0))
    looked = ", ".join(f"{count} {name}" for name, count in counts.items())
    result = "all is well" if not left else f"{left} findings"
    return f"{result}{f', {mended} mended' if mended else ''}; {looked}, {read} read"


def _write_json(findings: Iterator[Finding], inspection: Inspection, *, is_quiet: bool) -> int:  # noqa: ARG001 - as `_write`
    """Print one document, a finding at a time, since there may be many."""
    left = 0
    print('{"findings": [', end="")
    separator = "\n"
    for each in findings:
        left += not each.is_mended
        print(separator + textwrap.indent(json.dumps(_told(each), indent=4), " " * 4), end="")
        separator = ",\n"
    print(f'\n], "ok": {json.dumps(not left)}, "checked": {json.dumps(inspection.counts)}}}')
    return left


def _told(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "what": finding.what,
        "told": finding.told,
        "done": finding.done,
        "mended": finding.is_mended,
        "imageCount": finding.image_count,
        "images": [
            {
                "account": image.ref.registry.id,
                "region": image.ref.registry.region,
                "repository": image.ref.name,
                "digest": image.digest.text,
                "tags": list(image.tags),
                "deleted": image.is_deleted,
            }
            for image in finding.images
        ],
    }
