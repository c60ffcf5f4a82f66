"""The job that tells webhooks."""

from __future__ import annotations

from typing import Final

from ecrate.jobs.background import Job, MayGoOn, Rarely
from ecrate.jobs.lanes import Lanes
from ecrate.operations.core import Core
from ecrate.operations.webhooks import Deliveries, forget_deliveries
from ecrate.settings import Settings
from ecrate.upstream.addresses import parse_networks
from ecrate.upstream.http import Http
from ecrate.upstream.webhooks import HttpSender

_THREADS: Final = 8
_THREADS_EACH: Final = 2


def webhooks_job(settings: Settings) -> Job:
    rarely = Rarely(forget_deliveries)

    def run(core: Core, may_go_on: MayGoOn) -> bool:
        rarely(core)
        deliveries = Deliveries(core, open_sender(settings), settings.webhook_attempts)
        Lanes(core, deliveries, threads=_THREADS, each=_THREADS_EACH).run(may_go_on)
        return False

    return Job("webhooks", settings.events_every, run)


def open_sender(settings: Settings) -> HttpSender:
    """Give what posts to webhooks as the settings say."""
    return HttpSender(
        Http(
            seconds=settings.webhook_timeout,
            networks=parse_networks(settings.webhook_networks),
            bundle=settings.webhook_ca_bundle,
            setting="webhook_networks",
        )
    )
