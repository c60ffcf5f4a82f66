"""The jobs of a server."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from ecrate.domain.errors import AuditUnavailable
from ecrate.jobs.background import Job, MayGoOn
from ecrate.jobs.replication import replication_job
from ecrate.jobs.webhooks import webhooks_job
from ecrate.operations.audit import settle_audit
from ecrate.operations.collection import LEASE, collect, collect_strays, take_collector_lease
from ecrate.operations.core import Core
from ecrate.operations.events import publish_events
from ecrate.operations.lifecycle import run_lifecycle_policies
from ecrate.operations.pull_through.imports import run_imports
from ecrate.operations.scanning import Scanner, ScanSettings
from ecrate.operations.signing import run_signing
from ecrate.settings import Settings

# benchmarks/throttle.py shows that pushes hardly notice it, benchmarks/collection.py its rate.
COLLECTOR_RESTS: Final = 6.0
_IMPORTS_EVERY: Final = 1.0
_SWEEP_EVERY: Final = 24 * 3600.0


def all_jobs(core: Core, settings: Settings) -> Sequence[Job]:
    """Give every job that this server's settings ask for."""
    return [
        Job(
            LEASE,
            settings.collect_every,
            _Collector(core).run,
            take=_take_collector_lease,
            rest=COLLECTOR_RESTS,
        ),
        Job("events", settings.events_every, _publish),
        webhooks_job(settings),
        replication_job(core, settings),
        Job("imports", _IMPORTS_EVERY, run_imports),
        Job("scans", settings.scan_every, Scanner(_scan_settings(settings)).run),
        Job("signing", settings.events_every, run_signing),
    ]


def _scan_settings(settings: Settings) -> ScanSettings:
    # ECR has no bills of materials, so where its ways alone count there are none.
    has_sboms = settings.scan_sboms and settings.parity != "ecr"
    return ScanSettings(settings.scan_size, settings.scan_command, has_sboms)


def _take_collector_lease(core: Core, _: str, holder: str) -> bool:
    # Nothing more is done of which there might never be a line in the audit log.
    with contextlib.suppress(AuditUnavailable):
        settle_audit(core)
    return take_collector_lease(core, holder)


class _Collector:
    """Collects, and carries out lifecycle policies."""

    def __init__(self, core: Core) -> None:
        self._swept_at = core.clock() - _SWEEP_EVERY

    def run(self, core: Core, may_go_on: MayGoOn) -> bool:
        # The clock may have been set back.
        if not 0 <= core.clock() - self._swept_at < _SWEEP_EVERY:
            self._swept_at = core.clock()
            collect_strays(core)
        is_idle = collect(core).is_idle
        run_lifecycle_policies(core, may_go_on)
        return not is_idle


def _publish(core: Core, _: MayGoOn) -> bool:
    return publish_events(core)
