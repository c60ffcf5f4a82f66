"""User names and passwords of registries."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field


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
