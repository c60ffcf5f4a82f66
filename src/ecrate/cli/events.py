"""`ecrate events`: what happened in a registry, and what happens."""

from __future__ import annotations

import argparse
import http
import json
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any, Final
from urllib.parse import urlencode

from ecrate.cli.client import Client
from ecrate.cli.connections import pause
from ecrate.cli.failures import SERVICE_ERROR, CommandError
from ecrate.cli.options import Parser
from ecrate.cli.plain_text import printable
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.upstream.endpoints import BROKEN

SUMMARY = "show what happened in a registry, or follow what happens"
_USAGE: Final = "ecrate events [--follow] [options]"
_LONGEST_LINE: Final = 1024 * 1024
_LARGEST_ERROR: Final = 64 * 1024


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Print the events of the configured registry, as ECR sends them to "
        "EventBridge: those that the server still has, or with --follow what happens from now on. "
        "A connection that breaks is made again, and no event is missed.",
        example="ecrate events --follow --output json",
    )
    parser.add_argument("--follow", action="store_true", help="go on with what happens")
    parser.add_argument(
        "--after",
        type=int,
        metavar="POSITION",
        help="begin behind this event, which JSON names as position; 0 is before all",
    )
    parser.add_argument("--repository", metavar="NAME", help="of this repository only")
    parser.add_argument(
        "--output", choices=("text", "json"), default="text", help="lines, or a JSON object a line"
    )
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print events until there are no more; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    show = _print_json if given.output == "json" else _print_line
    with open_registries(given) as registries:
        for position, event in _Stream(registries.client(), given).events():
            show(position, event)
    return 0


class _Stream:
    """The events of one registry, over as many connections as it takes."""

    def __init__(self, client: Client, given: argparse.Namespace) -> None:
        self._client = client
        self._is_endless = bool(given.follow)
        self._repository = given.repository
        self._position: int | None = given.after
        if self._position is None and not given.follow:
            self._position = 0

    def events(self) -> Iterator[tuple[int, dict[str, Any]]]:
        failures = 0
        while True:
            try:
                for each in self._connected():
                    failures = 0
                    yield each
            except BROKEN as error:
                failures += 1
                self._client.connections.log(f"the event stream broke: {error!r}")
                if not self._is_endless:
                    raise CommandError(
                        f'The connection to "{self._client.endpoint.url}" broke: {error}'
                    ) from None
            if not self._is_endless:
                return
            # The server may have ended it: to start anew, or because there are too many.
            self._client.connections.sleep(pause(max(failures, 1)))

    def _connected(self) -> Iterator[tuple[int, dict[str, Any]]]:
        query = {"follow": str(self._is_endless).lower()}
        if self._repository:
            query["repository"] = self._repository
        if self._position is not None:
            query["after"] = str(self._position)
        text = urlencode(query)
        endpoint = self._client.endpoint
        with self._client.connections.connection_to(endpoint) as connection:
            headers = self._client.signed("GET", "/events", text)
            connection.putrequest(
                "GET", f"/events?{text}", skip_host=True, skip_accept_encoding=True
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE and self._is_endless:
                raise ConnectionError("the server takes no more streams now")
            if response.status != http.HTTPStatus.OK:
                raise _refused(response)
            yield from self._read(response)

    def _read(self, response: HTTPResponse) -> Iterator[tuple[int, dict[str, Any]]]:
        position = 0
        while line := response.readline(_LONGEST_LINE):
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name == "id":
                position = int(value)
            elif name == "data":
                yield position, json.loads(value)
                # Only now: what was not shown is asked for again.
                self._position = position


def _refused(response: HTTPResponse) -> CommandError:
    try:
        body = json.loads(response.read(_LARGEST_ERROR))
        told = f"{body['__type']}: {body['message']}"
    except (ValueError, LookupError, TypeError):
        told = f"{response.status} {response.reason}"
    return CommandError(f"The server gives no events: {printable(told)}", SERVICE_ERROR)


def _print_json(position: int, event: dict[str, Any]) -> None:
    print(json.dumps({"position": position, **event}), flush=True)


def _print_line(position: int, event: dict[str, Any]) -> None:
    detail = event.get("detail", {})
    what = detail.get("action-type") or detail.get("scan-status") or detail.get("sync-status") or ""
    names = [str(detail.get("repository-name", ""))]
    if "image-tag" in detail:
        names.append(f":{detail['image-tag']}")
    if "image-digest" in detail:
        names.append(f"@{detail['image-digest']}")
    moment = event.get("time") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = f"{moment} {position:>6} {event.get('detail-type')} {what} {''.join(names)}"
    print(printable(line), flush=True)
