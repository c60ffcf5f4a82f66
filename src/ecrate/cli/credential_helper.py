"""`docker-credential-ecrate`: docker's credential helper, for ecrate's registries and ECR's.

Each time it is asked for credentials it gets an authorization token from the host they are for,
with the AWS credentials of the environment or the profile, as `ecrate env` sets them. Nothing is
kept. A token of one server never goes to another.

Source: the protocol in docker's credential-helpers project, "Development".
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ecrate.cli.registries import Registries

_USAGE: Final = "usage: docker-credential-ecrate get|list|store|erase"
_LONGEST_INPUT: Final = 64 * 1024


def main(words: list[str] | None = None) -> int:
    """Answer docker, errors too on standard output; give the exit code."""
    from ecrate.cli.failures import CommandError

    words = sys.argv[1:] if words is None else words
    actions = {"get": _get, "list": _list, "store": _store, "erase": _erase}
    if len(words) != 1 or words[0] not in actions:
        if words in (["version"], ["--version"]):
            from ecrate import __version__

            print(f"docker-credential-ecrate (ecrate) {__version__}")
            return 0
        print(_USAGE, file=sys.stderr)
        return 1
    given = "" if words[0] == "list" else sys.stdin.read(_LONGEST_INPUT).strip()
    try:
        from ecrate.cli.registries import plain_registries

        with plain_registries() as registries:
            return actions[words[0]](registries, given)
    except CommandError as error:
        print(f"ecrate: {error}")
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"ecrate: {error}")
    return 1


def _get(registries: Registries, given: str) -> int:
    from ecrate.cli.docker_config import NOT_FOUND
    from ecrate.cli.failures import ConnectionFailedError

    host = host_of(given)
    try:
        client = registries.ecr_client(host) if host else None
    except ConnectionFailedError:
        client = None  # whoever that is, there are no credentials for it here
    if client is None:
        print(NOT_FOUND)
        return 1
    token = registries.token(client, host)
    answer = {"ServerURL": given, "Username": token.login.user, "Secret": token.login.secret}
    print(json.dumps(answer))
    return 0


def _list(registries: Registries, _: str) -> int:
    endpoint = registries.client().endpoint
    print(json.dumps({endpoint.url.rstrip("/"): "AWS"}))
    return 0


def _store(_: Registries, given: str) -> int:
    """Take ECR's tokens, which need no keeping, and no passwords, which would be lost."""
    from ecrate.cli.failures import CommandError

    try:
        user = json.loads(given)["Username"]
    except (ValueError, KeyError, TypeError):
        raise CommandError("what is to be stored has no Username") from None
    if user != "AWS":
        raise CommandError(
            "docker-credential-ecrate keeps no passwords: it makes credentials when asked. Let "
            "credHelpers name it for this registry's host only, not credsStore for all."
        )
    return 0


def _erase(_: Registries, __: str) -> int:
    """Do nothing: nothing is kept."""
    return 0


def host_of(given: str) -> str:
    """Give host and port of what docker calls a server: a URL, or these alone."""
    return urlsplit(given if "://" in given else f"//{given}").netloc
