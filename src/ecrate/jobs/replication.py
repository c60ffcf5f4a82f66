"""The job that replicates images."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from ecrate.jobs.background import Job, MayGoOn, Rarely
from ecrate.jobs.lanes import Lanes
from ecrate.operations.core import Core
from ecrate.operations.replication.backfills import forget_backfills
from ecrate.operations.replication.sending import Destination
from ecrate.operations.replication.work import Replications
from ecrate.settings import Settings
from ecrate.upstream.destinations import read_destinations
from ecrate.upstream.ecr import EcrClient
from ecrate.upstream.http import Http

_THREADS: Final = 4
# Each holds a part of a layer in memory, once as it is and once in base64.
_THREADS_EACH: Final = 2
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")


def replication_job(core: Core, settings: Settings) -> Job:
    """Raise `OSError`, `ValueError` for a file of destinations that cannot be used."""
    remotes = read_destinations(settings.replication_destinations)
    rarely = Rarely(forget_backfills)

    def work() -> Replications:
        # The operator named these servers: they may be anywhere.
        http = Http(
            seconds=settings.replication_timeout,
            networks=[ip_network(one) for one in _ANYWHERE],
            bundle=settings.replication_ca_bundle,
        )
        destinations = {
            registry: Destination(core, EcrClient(http, access), registry, access.rate)
            for registry, access in remotes.items()
        }
        return Replications(
            core, destinations, patience=settings.replication_patience, on_close=http.close
        )

    def run(core: Core, may_go_on: MayGoOn) -> bool:
        rarely(core)
        Lanes(core, work(), threads=_THREADS, each=_THREADS_EACH).run(may_go_on)
        return False

    return Job("replication", settings.events_every, run)
