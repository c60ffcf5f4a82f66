"""`ecrate webhook`: servers that are told what happens in a registry."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ecrate.cli.data_directory import Commands, add_region, make_parser, run_action, time_of

if TYPE_CHECKING:
    from ecrate.domain.webhooks import Webhook
    from ecrate.operations.core import Core

SUMMARY = "let other servers be told of what happens"


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    return run_action(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ecrate webhook",
        "Send the events of a registry, as ECR's, to servers by signed HTTP requests.",
    )
    add_region(parser)
    commands = Commands(parser)
    made = commands.add("add", _add, "begin to send events to a server", "AddWebhook")
    made.add_argument("url", metavar="URL")
    made.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="PATTERN",
        help="events whose detail-type fits, as 'ECR Image Action'; may be repeated (all)",
    )
    made.add_argument(
        "--repository",
        action="append",
        default=[],
        metavar="PATTERN",
        help="events of repositories whose name fits, as 'team/*'; may be repeated (all)",
    )
    commands.add("list", _list, "list the webhooks of all registries, and what waits for them")
    for name, action, summary, event in (
        ("remove", _remove, "send a webhook nothing any more", "RemoveWebhook"),
        ("test", _test, "send a webhook an event now, and tell what it answers", None),
        ("dead", _dead, "list what could not be delivered", None),
        ("retry", _retry, "send again what could not be delivered", "RetryDeliveries"),
    ):
        made = commands.add(name, action, summary, event)
        made.add_argument("id", metavar="WEBHOOK")
    return parser


def _record(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "account": webhook.registry.id,
        "region": webhook.registry.region,
        "kinds": list(webhook.kinds),
        "repositories": list(webhook.repositories),
        "created": time_of(webhook.created_at),
    }


def _add(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import webhooks

    webhook = webhooks.add_webhook(
        core,
        options.registry,
        options.url,
        kinds=options.kind,
        repositories=options.repository,
    )
    return _record(webhook) | {"secret": webhooks.secret_of(core, webhook.id)}


def _list(core: Core, _: argparse.Namespace) -> object:
    from ecrate.operations import webhooks

    return [
        _record(state.webhook)
        | {
            "waiting": state.waiting,
            "waiting_since": None if state.waiting_since is None else time_of(state.waiting_since),
            "last_failure": state.failure or None,
            "dead": state.dead,
        }
        for state in webhooks.list_webhooks(core)
    ]


def _remove(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import webhooks

    webhooks.remove_webhook(core, options.id)
    return None


def _test(core: Core, options: argparse.Namespace) -> object:
    from ecrate.jobs.webhooks import open_sender
    from ecrate.operations import webhooks

    failure = webhooks.send_test(core, open_sender(options.settings), options.id)
    return {"delivered": failure is None, "failure": failure and failure.reason}


def _dead(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import webhooks

    def records() -> Iterator[dict[str, Any]]:
        for dead in webhooks.list_dead_deliveries(core, options.id):
            yield {
                "repository": dead.repository,
                "attempts": dead.attempts,
                "failure": dead.failure,
                "died": time_of(dead.died_at),
                "event": json.loads(dead.body),
            }

    return records()


def _retry(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations import webhooks

    dead, waiting = webhooks.retry_deliveries(core, options.id)
    return {"dead": dead, "waiting_repositories": waiting}
