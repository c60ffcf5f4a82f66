"""What a check finds, and what all checks are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecrate.cli.reference import is_local
from ecrate.cli.registries import Registries
from ecrate.drivers import Layout
from ecrate.settings import Settings
from ecrate.upstream.endpoints import Endpoint

Status = Literal["ok", "note", "broken", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `told` in a line, and how to mend it where it is not as it should."""

    status: Status
    what: str
    told: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """`has_data` says that the server's data is expected on this machine; `containerd` is where
    its configuration is.
    """

    settings: Settings
    layout: Layout
    has_data: bool
    endpoint: Endpoint
    registries: Registries
    containerd: Path = Path("/etc/containerd")
    docker: Path = Path("/etc/docker")

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is this machine, where clients expect no TLS."""
        return is_local(self.endpoint.authority)


Check = Callable[[Situation], Iterator[Finding]]


def ok(what: str, told: str) -> Finding:
    return Finding("ok", what, told)


def skipped(what: str, told: str) -> Finding:
    return Finding("skipped", what, told)
