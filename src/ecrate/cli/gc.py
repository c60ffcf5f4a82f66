"""`ecrate gc`: what the collector does and leaves, and back from its quarantine."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any, Final

from ecrate.cli.data_directory import Commands, add_region, make_parser, run_action, time_of

if TYPE_CHECKING:
    from ecrate.domain.garbage import Explanation, Work
    from ecrate.domain.names import RepositoryRef
    from ecrate.operations.core import Core

SUMMARY = "see what the collector does, and why"

_WHY: Final = {
    "NEEDED": "stays: images need it",
    "LINKED": "goes when its links lapse: no image needs it",
    "TRASHED": "goes when the trash lets go of it: only what was deleted needs it",
    "UNLINKED": "goes next: no repository has it as a layer",
    "QUARANTINED": "goes when its quarantine ends; until then `ecrate gc restore` brings it back",
    "UNKNOWN": "is not there: it was never stored, or it is deleted",
}
# How the names of times end.
_TIMES: Final = ("_at", "_end", "until", "since")
_AN_HOUR: Final = 3600.0


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    return run_action(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate gc", "See what waits for the collector, and why a blob stays or goes."
    )
    add_region(parser)
    command = Commands(parser).add
    command("status", _status, "tell what waits at each step, and what was done")
    made = command("explain", _explain, "tell why a blob stays or goes")
    made.add_argument("digest", metavar="DIGEST")
    made = command("restore", _restore, "let a blob in quarantine be a layer again", "RestoreLayer")
    made.add_argument("digest", metavar="DIGEST")
    made.add_argument("--repository", required=True, metavar="NAME")
    return parser


def _status(core: Core, _: argparse.Namespace) -> object:
    from ecrate.operations import garbage

    work, waiting = garbage.describe_backlog(core)
    return {
        "collector": None if work is None else _done(work, core.clock()),
        "waiting": _written(dataclasses.asdict(waiting)),
    }


def _done(work: Work, now: float) -> dict[str, Any]:
    hours = max(now - work.since, 1.0) / _AN_HOUR
    return {
        **_written(dataclasses.asdict(work)),
        "files_per_hour": round(work.files / hours),
        "bytes_per_hour": round(work.bytes / hours),
    }


def _explain(core: Core, options: argparse.Namespace) -> object:
    from ecrate.domain.names import Digest
    from ecrate.operations import garbage

    found = garbage.explain_blob(core, Digest.parse(options.digest, "digest"))
    return {
        "digest": found.digest.text,
        "state": found.state,
        "why": _WHY[found.state],
        **_told(found),
    }


def _told(found: Explanation) -> dict[str, Any]:
    links = [
        _place(link.ref)
        | {
            "images": [digest.text for digest in link.images],
            "image_count": link.image_count,
            "touched_at": link.touched_at,
            "lapses_at": link.lapses_at,
        }
        for link in found.links
    ]
    keepers = [
        _place(one.ref) | {"image": one.digest and one.digest.text, "kept_until": one.kept_until}
        for one in found.keepers
    ]
    quarantined = [dataclasses.asdict(one) for one in found.quarantined]
    written: dict[str, Any] = _written(
        {
            "size": found.size,
            "stored_at": found.stored_at,
            "link_count": found.link_count,
            "links": links,
            "trash": keepers,
            "quarantine": quarantined,
        }
    )
    return written


def _place(ref: RepositoryRef) -> dict[str, Any]:
    return {"repository": ref.name, "account": ref.registry.id, "region": ref.registry.region}


def _restore(core: Core, options: argparse.Namespace) -> object:
    from ecrate.domain.names import Digest, RepositoryRef
    from ecrate.operations import garbage

    ref = RepositoryRef.parse(options.registry, options.repository)
    digest = Digest.parse(options.digest, "digest")
    lapses_at = garbage.restore_layer(core, ref, digest)
    return {"digest": digest.text, **_place(ref), "lapses_at": time_of(lapses_at)}


def _written(answer: Any) -> Any:
    """Give the answer with its times as text, and without what is None."""
    if isinstance(answer, list):
        return [_written(one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        name: time_of(value) if name.endswith(_TIMES) else _written(value)
        for name, value in answer.items()
        if value is not None
    }
