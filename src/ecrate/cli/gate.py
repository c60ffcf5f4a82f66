"""`ecrate gate`: what images have to be like to be pulled from a repository."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ecrate.cli.data_directory import Commands, add_region, make_parser, run_action

if TYPE_CHECKING:
    from ecrate.domain.gates import PullGate
    from ecrate.domain.names import RepositoryRef
    from ecrate.operations.core import Core

SUMMARY = "refuse pulls of images that are not signed, or not safe"
_MODES = ("dry-run", "enforce")
_SEVERITIES = ("UNDEFINED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    return run_action(_parser(), arguments, prepare=_read_files)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate gate",
        "Say what images have to be like to be pulled from a repository: signed by somebody who "
        "is trusted, scanned, without findings above a severity. A dry run refuses nothing, and "
        "tells in the log and the audit log what it would refuse.",
    )
    add_region(parser)
    command = Commands(parser).add
    made = command("put", _put, "set a repository's gate", "PutPullGate")
    made.add_argument("repository", metavar="REPOSITORY")
    made.add_argument("--mode", choices=_MODES, required=True)
    made.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="FILE",
        help="let pass what is signed by one of these certificates, may be given again",
    )
    made.add_argument(
        "--max-severity", choices=_SEVERITIES, help="let pass what has no findings above this"
    )
    made.add_argument("--require-scan", action="store_true", help="refuse what was never scanned")
    made.add_argument(
        "--exempt",
        action="append",
        default=[],
        metavar="ARN",
        help="let a principal pull anything, as one who signs has to; may be given again",
    )
    command("list", _list, "list the gates there are")
    made = command("delete", _delete, "let anything be pulled again", "DeletePullGate")
    made.add_argument("repository", metavar="REPOSITORY")
    made = command("check", _check, "tell what a gate says of an image")
    made.add_argument("image", metavar="REPOSITORY[:TAG|@DIGEST]")
    return parser


def _read_files(options: argparse.Namespace) -> None:
    if "trust" in options:
        options.trust = [Path(one).read_text(encoding="utf-8") for one in options.trust]


def _put(core: Core, options: argparse.Namespace) -> object:
    from ecrate.domain.gates import PullGate
    from ecrate.operations import gates

    ref = _ref(options, options.repository)
    gate = PullGate(
        mode=options.mode,
        trusted=tuple(options.trust),
        highest_severity=options.max_severity,
        needs_scan=options.require_scan,
        exempt=tuple(options.exempt),
    )
    gates.put_gate(core, ref, gate)
    return _told(ref, gate)


def _list(core: Core, _: argparse.Namespace) -> object:
    from ecrate.operations import gates

    return [_told(ref, gate) for ref, gate in gates.list_gates(core)]


def _delete(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import gates

    gates.delete_gate(core, _ref(options, options.repository))
    return None


def _check(core: Core, options: argparse.Namespace) -> object:
    from ecrate.cli.images import parse_image
    from ecrate.operations import gates

    ref, image_id = parse_image(options.registry, options.image)
    gate, reason = gates.explain(core, ref, image_id)
    return _told(ref, gate) | {"image": options.image, "passes": reason is None, "reason": reason}


def _ref(options: argparse.Namespace, name: str) -> RepositoryRef:
    from ecrate.domain.names import RepositoryRef

    return RepositoryRef.parse(options.registry, name)


def _told(ref: RepositoryRef, gate: PullGate) -> dict[str, object]:
    from ecrate.signers.trust import Trust

    trust = Trust.parse("\n".join(gate.trusted).encode()) if gate.trusted else Trust()
    return {
        "repository": ref.name,
        "account": ref.registry.id,
        "region": ref.registry.region,
        "mode": gate.mode,
        "trusted": [one.subject.rfc4514_string() for one in trust.certificates],
        "keys": len(trust.keys),
        "maxSeverity": gate.highest_severity,
        "requireScan": gate.needs_scan,
        "exempt": list(gate.exempt),
    }
