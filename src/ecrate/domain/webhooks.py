"""Webhooks: servers that are told of a registry's events.

What is sent is signed as the Standard Webhooks specification 1.0.0 says.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from ecrate.domain.events import Event
from ecrate.domain.names import RegistryRef
from ecrate.domain.patterns import like, pattern_of

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - Standard Webhooks, "Signature scheme"


@dataclass(frozen=True, slots=True)
class Webhook:
    """`kinds` and `repositories` are patterns with `*` and `?`, of which one has to fit where there
    are any; `created_at` is epoch seconds.
    """

    id: str
    registry: RegistryRef
    url: str
    kinds: tuple[str, ...]
    repositories: tuple[str, ...]
    created_at: float

    def wants(self, event: Event) -> bool:
        """Tell whether it is to be told of the event."""
        return (
            event.registry == self.registry
            and _fits(event.kind, self.kinds)
            and _fits(event.repository, self.repositories)
        )


@dataclass(frozen=True, slots=True)
class DeadDelivery:
    """An event that could not be delivered; `died_at` is epoch seconds, `body` what was sent."""

    id: int
    webhook_id: str
    repository: str
    attempts: int
    failure: str
    died_at: float
    body: str


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(like(text, pattern_of(one)) for one in patterns)


def sign_delivery(secret: str, message_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Give the headers of a delivery; `secret` is `whsec_` and base64.

    Source: Standard Webhooks, "Webhook Headers" and "Symmetric signatures".
    """
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.{body}".encode(), "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
