"""Webhooks: who is told of events, and how they are told."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

from ecrate.domain.errors import InvalidParameter, WebhookNotFound
from ecrate.domain.events import Event
from ecrate.domain.lanes import Failure, Lane
from ecrate.domain.names import RegistryRef
from ecrate.domain.webhooks import SECRET_PREFIX, DeadDelivery, Webhook, sign_delivery
from ecrate.operations.core import Core
from ecrate.operations.events import follow_events
from ecrate.operations.lanes import Backoff
from ecrate.store import lanes
from ecrate.store import webhooks as store
from ecrate.store.database import Transaction

_WORK: Final = "webhooks"
_SECRET: Final = "webhook"  # noqa: S105 - the purpose a secret is derived for
_PAGE: Final = 500
_TEST: Final = "ecrate Webhook Test"


class Sender(Protocol):
    """Posts to webhooks."""

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Failure | None:
        """Give why the server there has not taken the body. It is never called twice for one."""

    def close(self) -> None:
        """Break off what is under way."""


@dataclass(frozen=True, slots=True)
class WebhookState:
    """A webhook, how many events wait for it and since when, how many are dead, and why the last
    delivery failed of those that wait.
    """

    webhook: Webhook
    waiting: int
    waiting_since: float | None
    dead: int
    failure: str


def secret_of(core: Core, webhook_id: str) -> str:
    """Give what deliveries are signed with: it follows from the server's secret."""
    return SECRET_PREFIX + b64encode(core.seals.derive(_SECRET, webhook_id).encode()).decode()


def add_webhook(
    core: Core,
    registry: RegistryRef,
    url: str,
    *,
    kinds: Sequence[str],
    repositories: Sequence[str],
) -> Webhook:
    """Let a server be told of what happens in the registry from now on; for operators.

    Raises `InvalidParameter`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise InvalidParameter("url", "must be http://HOST or https://HOST, with no password")
    webhook = Webhook(core.new_id(), registry, url, tuple(kinds), tuple(repositories), core.clock())
    with core.database.write() as tx:
        store.insert_webhook(tx, webhook)
    return webhook


def remove_webhook(core: Core, webhook_id: str) -> None:
    """Tell it nothing any more, not even what waits; raises `WebhookNotFound`."""
    with core.database.write() as tx:
        if not store.delete_webhook(tx, webhook_id):
            raise WebhookNotFound(webhook_id)
        lanes.delete_lanes(tx, _WORK, webhook_id)


def list_webhooks(core: Core) -> list[WebhookState]:
    """Give the webhooks of all registries, the oldest first."""
    with core.database.read() as tx:
        return [
            WebhookState(
                webhook,
                *lanes.count_tasks(tx, _WORK, webhook.id)[:2],
                store.count_dead_deliveries(tx, webhook.id),
                lanes.count_tasks(tx, _WORK, webhook.id)[2],
            )
            for webhook in store.list_webhooks(tx)
        ]


def list_dead_deliveries(core: Core, webhook_id: str) -> Iterator[DeadDelivery]:
    """Give all that could not be delivered, in the order it was given up."""
    after = 0
    while True:
        with core.database.read() as tx:
            if store.find_webhook(tx, webhook_id) is None:
                raise WebhookNotFound(webhook_id)
            page = store.list_dead_deliveries(tx, webhook_id, after, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id


def retry_deliveries(core: Core, webhook_id: str) -> tuple[int, int]:
    """Put the dead deliveries behind those that wait, and let all be tried at once; give how many
    there were of the dead, and of the repositories that waited. Raises `WebhookNotFound`.
    """
    count = 0
    for dead in list_dead_deliveries(core, webhook_id):
        with core.database.write() as tx:
            if store.delete_dead_delivery(tx, dead.id):
                _enqueue(tx, webhook_id, dead.repository, dead.body, core.clock())
                count += 1
    with core.database.write() as tx:
        return count, lanes.hasten(tx, _WORK, webhook_id, core.clock())


def send_test(core: Core, sender: Sender, webhook_id: str) -> Failure | None:
    """Send an event that nothing has happened for; give why it was not taken."""
    with core.database.read() as tx:
        webhook = store.find_webhook(tx, webhook_id)
    if webhook is None:
        raise WebhookNotFound(webhook_id)
    event = Event(0, core.new_id(), webhook.registry, "", _TEST, "", core.clock(), {})
    return _send(core, sender, webhook, _written(event))


def forget_deliveries(core: Core) -> None:
    """Forget the dead that are as old as events may become."""
    with core.database.write() as tx:
        store.delete_old_deliveries(tx, core.clock() - core.limits.events_kept)


def _take(core: Core, tx: Transaction, events: Sequence[Event]) -> None:
    webhooks = store.list_webhooks(tx)
    for event in events:
        for webhook in webhooks:
            if webhook.wants(event):
                _enqueue(tx, webhook.id, event.repository, _written(event), core.clock())


def _enqueue(tx: Transaction, webhook_id: str, repository: str, body: str, now: float) -> None:
    lanes.insert_task(tx, _WORK, webhook_id, repository, {"event": body}, now=now)


def _written(event: Event) -> str:
    return json.dumps(event.envelope(), separators=(",", ":"))


def _send(core: Core, sender: Sender, webhook: Webhook, body: str) -> Failure | None:
    message_id = json.loads(body)["id"]
    headers = sign_delivery(secret_of(core, webhook.id), message_id, int(core.clock()), body) | {
        "content-type": "application/json"
    }
    return sender.post(webhook.url, headers, body.encode())


class Deliveries:
    """The work of telling webhooks; see `operations.lanes.Work`."""

    name = _WORK
    backoff = Backoff(first=1.0, longest=6 * 3600.0)

    def __init__(self, core: Core, sender: Sender, attempts: int) -> None:
        """`attempts`: how often an event is sent in vain before it is dead."""
        self._core = core
        self._sender = sender
        self._attempts = attempts

    def feed(self) -> None:
        while follow_events(self._core, _WORK, partial(_take, self._core), from_first=True):
            pass

    def do(self, lane: Lane) -> Failure | None:
        with self._core.database.look() as tx:
            webhook = store.find_webhook(tx, lane.owner)
        if webhook is None:
            return None
        return _send(self._core, self._sender, webhook, lane.task.body["event"])

    def is_given_up(self, lane: Lane, now: float) -> bool:
        del now
        return lane.attempts + 1 >= self._attempts

    def end(self, tx: Transaction, lane: Lane, failure: Failure | None, now: float) -> None:
        if failure is None or store.find_webhook(tx, lane.owner) is None:
            return
        store.insert_dead_delivery(
            tx,
            lane.owner,
            lane.key,
            lane.task.body["event"],
            attempts=lane.attempts + 1,
            failure=failure.reason,
            now=now,
        )

    def close(self) -> None:
        self._sender.close()
