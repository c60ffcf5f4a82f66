"""What a realm is asked for a token, and what it answers.

Sources: distribution's "Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ecrate.upstream.logins import Login


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token, as it is to be sent to the realm."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and for how many seconds it is good."""

    text: str
    lifetime: float = 60.0  # where the realm does not tell, as its specification says


def make_request(
    target: str, parameters: Mapping[str, str], scopes: Iterable[str], login: Login | None
) -> TokenRequest:
    """Give the request for a realm's path, with a challenge's parameters and these scopes."""
    wanted = sorted({*scopes, *([parameters["scope"]] if parameters.get("scope") else [])})
    fields = [("service", parameters["service"])] if parameters.get("service") else []
    fields += [("scope", each) for each in wanted]
    if login is not None and login.is_identity_token:
        form = [
            *fields,
            ("grant_type", "refresh_token"),
            ("client_id", "ecrate"),
            ("refresh_token", login.secret),
        ]
        body = urlencode(form).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
        }
        return TokenRequest("POST", target, headers, body)
    joint = "&" if "?" in target else "?"
    asked = f"{target}{joint}{urlencode(fields)}" if fields else target
    return TokenRequest("GET", asked, {} if login is None else {"Authorization": login.basic})


def read_answer(content: bytes) -> Token | None:
    """Give the token in a realm's answer, None where there is none."""
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    found = document.get("token") or document.get("access_token")
    # It becomes a header: a line break must not make two of it.
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        return None
    lifetime = document.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or lifetime <= 0:
        return Token(found)
    return Token(found, float(lifetime))
