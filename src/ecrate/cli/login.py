"""`ecrate login`: docker's credentials for a registry, as `docker login` would write them."""

from __future__ import annotations

import shutil
from typing import Any, Final
from urllib.parse import urlsplit

from ecrate.cli.docker_config import change_config, store_login
from ecrate.cli.failures import CommandError
from ecrate.cli.inventory import time_json, time_text
from ecrate.cli.options import Parser
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.transfer import print_json

SUMMARY = "log docker in to a registry"
_USAGE: Final = "ecrate login [HOST] [options]"
_HELPER: Final = "docker-credential-ecrate"


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Get a token for an ecrate's or ECR's registry, good for twelve hours, and "
        "let docker and its kind have it: in docker's config.json, or where its credsStore or "
        "credHelpers say. Or let docker ask for a new one each time: --helper.",
        example="ecrate login --helper",
    )
    parser.add_argument(
        "host", nargs="?", metavar="HOST", help="host and port of the registry (the configured)"
    )
    parser.add_argument(
        "--helper",
        action="store_true",
        help=f"write {_HELPER} into credHelpers instead of a token",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Log in and say until when; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    with open_registries(given) as registries:
        client = registries.client() if given.host is None else registries.ecr_client(given.host)
        if client is None:
            raise CommandError(
                f"{given.host} is no ecrate and no ECR; log in with `docker login {given.host}`"
            )
        token = registries.token(client, given.host or "")
    host = given.host or urlsplit(token.proxy_endpoint).netloc
    told: dict[str, Any] = {"host": host, "user": token.login.user}
    if given.helper:
        told |= {"place": _install_helper(host), "expiresAt": None}
        until = f"with {_HELPER}"
    else:
        told |= {"place": store_login(host, token.login), "expiresAt": time_json(token.expires_at)}
        until = f"until {time_text(token.expires_at)}"
    if given.json:
        print_json(told)
    else:
        print(f"logged in at {host} as {told['user']} {until}; written to {told['place']}")
    return 0


def _install_helper(host: str) -> str:
    if shutil.which(_HELPER) is None:
        raise CommandError(
            f"{_HELPER} is not in PATH, where docker looks for it. It is installed beside ecrate: "
            "link it into a directory of PATH."
        )

    def add(config: dict[str, Any]) -> None:
        helpers = config.get("credHelpers")
        config["credHelpers"] = (helpers if isinstance(helpers, dict) else {}) | {host: "ecrate"}

    return str(change_config(add))
