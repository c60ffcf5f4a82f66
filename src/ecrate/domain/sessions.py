"""Sessions of the console."""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.errors import EcrateError
from ecrate.domain.principals import Caller
from ecrate.domain.values import value


@value
class Session:
    """Somebody who has signed in. `form_token` proves that a change comes from a page of theirs."""

    id: str
    caller: Caller
    form_token: str


@dataclass(eq=False)
class TooManyAttempts(EcrateError):
    """Too many tries to sign in failed from one address; `retry_after` is in seconds."""

    text = "Too many attempts to sign in from your address. Try again in {retry_after} seconds."
    retry_after: int
