"""ECR's authorization tokens, which are a user and a password."""

from __future__ import annotations

import base64

from ecrate.cli.failures import CommandError
from ecrate.upstream.logins import Login


def read_token(text: str) -> Login:
    """Read an authorization token of ECR, or an `auth` of docker's; raises `CommandError`."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        user, colon, password = "", "", ""
    if not colon or not user:
        raise CommandError("The authorization token is not a user and a password in base64")
    return Login(user, password)
