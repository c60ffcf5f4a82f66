"""`ecrate bundle`: what is new in a registry, in a folder that is carried to another."""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ecrate.cli.data_directory import Commands, add_region, make_parser, run_action, time_of
from ecrate.cli.failures import CommandError
from ecrate.cli.rate import add_rate_option, make_pace
from ecrate.cli.signing import signer_errors
from ecrate.cli.steps import open_steps

if TYPE_CHECKING:
    from ecrate.operations.bundles.folder import Bundle
    from ecrate.operations.core import Core

SUMMARY = "carry a registry's images and policies to where no network leads"


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    parser = _parser()
    told: list[int] = []

    def note(options: argparse.Namespace) -> None:
        options.refused = told

    with signer_errors():
        code = run_action(parser, arguments, prepare=note)
    return code or (1 if told else 0)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate bundle",
        "Write what a registry has, or what is new since an earlier bundle, into a folder that is "
        "signed; and take such a folder over on the other side. Both may be broken off and begun "
        "again, and work beside a running server. The exit code is 1 where something is missing.",
    )
    add_region(parser)
    command = Commands(parser).add
    made = command("create", _create, "make a bundle", "CreateBundle")
    made.add_argument("folder", metavar="DIR", help="folder of bundles; made if missing")
    made.add_argument(
        "--profile", required=True, metavar="PROFILE", help="signing profile that signs it"
    )
    made.add_argument(
        "--since", metavar="BUNDLE", help="what the other side has: an earlier bundle's name or id"
    )
    _add_options(made, "are read from the layers")
    made = command("apply", _apply, "take a bundle over", "ApplyBundle")
    _add_bundle(made)
    made.add_argument(
        "--keep-policies", action="store_true", help="leave policies and gates as they are here"
    )
    _add_options(made, "are read from the bundle")
    made = command("show", _show, "tell what a bundle is, and who has signed it")
    _add_bundle(made)
    return parser


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "--trust",
        action="append",
        required=True,
        metavar="FILE",
        help="certificates in PEM of whom a bundle is taken from, may be given again",
    )


def _add_options(parser: argparse.ArgumentParser, what: str) -> None:
    add_rate_option(parser, "unlimited", what)
    parser.add_argument("--quiet", "-q", action="store_true", help="print no progress")


def _create(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations.advisories import export_advisories
    from ecrate.operations.bundles.folder import BundleFolder
    from ecrate.operations.bundles.making import Making, make_bundle
    from ecrate.operations.signatures import find_profile

    signer = find_profile(core, options.registry, options.profile).open()
    with open_steps(quiet=options.quiet) as steps:
        making = Making(
            core,
            BundleFolder(Path(options.folder).absolute()),
            options.registry,
            signer,
            steps,
            make_pace(options.rate),
            since=options.since,
            advisories=export_advisories,
        )
        bundle = make_bundle(making)
    options.refused += [1] * len(making.damaged)
    return _told(bundle) | {"copied": making.copied, "damaged": sorted(making.damaged)}


def _apply(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations.advisories import take_advisories
    from ecrate.operations.bundles.applying import Applying, apply_bundle

    bundle = _open(options)
    with open_steps(quiet=options.quiet) as steps:
        applying = Applying(
            core,
            bundle,
            options.registry,
            steps,
            make_pace(options.rate),
            has_policies=not options.keep_policies,
            take_advisories=functools.partial(take_advisories, core, f"bundle {bundle.about.id}"),
        )
        is_new = apply_bundle(applying)
    options.refused += [1] * len(applying.refusals)
    return {
        "id": bundle.about.id,
        "signer": bundle.signer,
        "new": is_new,
        "repositories": applying.repositories,
        "images": applying.images,
        "tags": applying.tags,
        "layers": applying.layers,
        "size": applying.size,
        "deleted": applying.deleted,
        "refused": [{"what": one.what, "why": one.why} for one in applying.refusals],
    }


def _show(_: Core, options: argparse.Namespace) -> object:
    return _told(_open(options))


def _open(options: argparse.Namespace) -> Bundle:
    from ecrate.cli.verify import read_trust
    from ecrate.operations.bundles.folder import verified

    path = Path(options.bundle).absolute()
    if not path.is_dir():
        raise CommandError(f"ecrate: {path} is no folder; unpack an archive of one first")
    return verified(path, read_trust([Path(one) for one in options.trust]), time.time())


def _told(bundle: Bundle) -> dict[str, object]:
    about = bundle.about
    return {
        "id": about.id,
        "name": about.name,
        "path": str(bundle.path),
        "signer": bundle.signer,
        "source": about.source,
        "since": about.since,
        "createdAt": time_of(about.created_at),
        "changes": {rows.table: rows.count for rows in about.changes},
        "size": about.size,
    }
