"""Short texts that this server recognizes as its own: tokens, download URLs, page tokens.

A seal is base64url(JSON payload) "." base64url(HMAC-SHA256), no padding. The key is derived from
the server's secret and the seal's purpose, so that a text made for one use fails in another, and
there is no header through which the text could choose how it is checked.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from ecrate.domain.errors import ExpiredToken, InvalidToken


class Seals:
    """Makes and checks seals with keys derived from one secret of 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._macs: dict[str, hmac.HMAC] = {}

    def seal(self, purpose: str, payload: dict[str, Any]) -> str:
        """Give the sealed form of `payload`; a member `exp` (epoch seconds) limits its time."""
        body = urlsafe_b64encode(msgspec.json.encode(payload)).rstrip(b"=")
        return f"{body.decode()}.{self._mac(purpose, body)}"

    def open(self, purpose: str, text: str, now: float) -> dict[str, Any]:
        """Give the payload back; raises `InvalidToken`, or `ExpiredToken` past its `exp`."""
        body, _, mac = text.partition(".")
        try:
            encoded = body.encode("ascii")
            genuine = hmac.compare_digest(self._mac(purpose, encoded), mac)
        except (UnicodeEncodeError, TypeError):
            raise InvalidToken from None
        if not genuine:
            raise InvalidToken
        payload: dict[str, Any] = msgspec.json.decode(
            urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
        )
        if payload.get("exp", now) < now:
            raise ExpiredToken
        return payload

    def derive(self, purpose: str, name: str) -> str:
        """Give 40 characters that follow from the server's secret and the name."""
        digest = hmac.digest(self._secret, f"{purpose}\0{name}".encode(), "sha256")
        return urlsafe_b64encode(digest).decode()[:40]

    def _mac(self, purpose: str, body: bytes) -> str:
        known = self._macs.get(purpose)
        if known is None:
            key = hmac.digest(self._secret, purpose.encode(), "sha256")
            known = self._macs[purpose] = hmac.new(key, digestmod="sha256")
        mac = known.copy()  # hashes the key in once for all, which is half the work
        mac.update(body)
        return urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
