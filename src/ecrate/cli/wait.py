"""`ecrate ecr wait`: ask again and again until an image is scanned or a preview is done.

What is asked, how often, and which answers end it stands in botocore's `waiters-2.json`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ecrate.aws.model import data_file, kebab, service_model
from ecrate.cli.arguments import call_parameters, parse_arguments
from ecrate.cli.ecr import advising, print_sample, wants_help
from ecrate.cli.failures import BAD_COMMAND, CommandError, ServiceError, nearest
from ecrate.cli.options import CommonValues
from ecrate.cli.output import compile_query
from ecrate.cli.profile import Profile

if TYPE_CHECKING:
    from ecrate.cli.client import Client


def waiters() -> dict[str, dict[str, Any]]:
    """Give the waiters by their names on the command line."""
    raw = json.loads(data_file("waiters-2.json").read_bytes())["waiters"]
    return {kebab(name): {"name": name, **data} for name, data in raw.items()}


def run_wait(options: CommonValues, words: list[str]) -> int:
    """Wait and print nothing; raises `CommandError` on failure or after the last attempt."""
    from ecrate.cli.help import show, write_wait, write_waiter

    known = waiters()
    if wants_help(words):
        show(write_wait)
        return 0
    if not words or words[0] not in known:
        given = f"'{words[0]}' is nothing to wait for" if words else "what to wait for is missing"
        raise CommandError(
            f"ecrate: {given}{nearest(words[0], known) if words else ''}",
            BAD_COMMAND,
            advice=f"Choose one of {', '.join(known)}.",
        )
    waiter = known[words[0]]
    operation = service_model().operations[waiter["operation"]]
    if wants_help(words[1:]):
        show(lambda page: write_waiter(page, words[0]))
        return 0
    with advising(f"wait {words[0]}"):
        found = parse_arguments(operation, words[1:], paged=False)
        if found.generate_cli_skeleton is not None:
            print_sample(operation, options, found, compile_query(options.query))
            return 0
        profile = Profile(options)
        parameters = call_parameters(operation, found, profile.binary_format)
        from ecrate.cli.client import make_client
        from ecrate.cli.validation import validate

        with make_client(options, profile) as client:
            validate(operation.input, parameters)
            _wait(client, waiter, parameters)
    return 0


def _wait(client: Client, waiter: dict[str, Any], parameters: dict[str, Any]) -> None:
    for attempt in range(waiter["maxAttempts"]):
        if attempt:
            time.sleep(waiter["delay"])
        try:
            answer = client.call(waiter["operation"], parameters)
        except ServiceError as error:
            raise CommandError(f"Waiter {waiter['name']} failed: {error}") from None
        state = _state(waiter["acceptors"], answer)
        if state == "success":
            return
        if state == "failure":
            raise CommandError(
                f"Waiter {waiter['name']} failed: Waiter encountered a terminal failure state"
            )
    raise CommandError(f"Waiter {waiter['name']} failed: Max attempts exceeded")


def _state(acceptors: list[dict[str, Any]], answer: dict[str, Any]) -> str | None:
    """Give the state of the first acceptor whose path has the value it expects."""
    for acceptor in acceptors:
        value: Any = answer
        for name in acceptor["argument"].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if acceptor["matcher"] == "path" and value == acceptor["expected"]:
            return str(acceptor["state"])
    return None
