"""What pull through caches work with, built once by `app.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ecrate.operations.pull_through.fetches import Fetches
from ecrate.upstream.port import Upstreams
from ecrate.upstream.secrets import Secrets


@dataclass(frozen=True, slots=True)
class PullThrough:
    """`spool` is a folder of this node in which layers grow while they come; periods are seconds.

    A tag is compared with upstream's once in `recheck`; one process of a node or another that has
    not shown itself for `claim` is not waited for. With `imports_all`, what a cached image needs
    is fetched whether anybody asks for it or not.
    """

    upstreams: Upstreams
    secrets: Secrets
    spool: Path
    recheck: float = 24 * 3600.0
    claim: float = 60.0
    imports_all: bool = True
    fetches: Fetches = field(default_factory=Fetches)

    def stop(self) -> None:
        """Break off what is under way."""
        self.fetches.is_stopping.set()
        self.upstreams.close()
        self.fetches.stop()
