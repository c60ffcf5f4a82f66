"""User names and passwords of registries, and ECR's authorization tokens, which are both."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from ecrate.cli.failures import CommandError


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password, or, without a user, an identity token in its place."""

    user: str
    secret: str = field(repr=False)

    @property
    def is_identity_token(self) -> bool:
        return not self.user

    @property
    def basic(self) -> str:
        """What an Authorization header says."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.secret}'.encode()).decode()}"


def read_token(text: str) -> Login:
    """Read an authorization token of ECR, or an `auth` of docker's; raises `CommandError`."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        user, colon, password = "", "", ""
    if not colon or not user:
        raise CommandError("The authorization token is not a user and a password in base64")
    return Login(user, password)
