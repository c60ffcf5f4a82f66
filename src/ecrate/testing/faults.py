"""Faults on demand: what a registry does on a bad day, for tests of what deals with it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["throttle", "expired-token", "error", "unavailable", "slow", "cut", "lose-answer"]

_PATH: Final = "/_ecrate/faults"


@dataclass(frozen=True)
class FaultList:
    """The faults that one account's calls meet; `GET /_ecrate/faults` has those of all."""

    endpoint: str
    account: str

    @contextmanager
    def inject(
        self,
        fault: Kind,
        operation: str = "*",
        *,
        rate: float = 1.0,
        times: int | None = None,
        seconds: float = 1.0,
    ) -> Iterator[None]:
        """Let calls of `operation` meet a fault within the block.

        `operation` is ECR's name for it, whichever door is used, `DownloadLayer` for a layer's
        bytes, `*` for all. `rate` is the share of calls that meet it, `times` how many do at the
        most, `seconds` how long a slow one takes. Kinds: throttle, expired-token, error (500),
        unavailable (503), slow, cut (the connection ends before the answer, or in the middle of a
        layer), lose-answer (the call is carried out, and the connection ends).
        """
        one: dict[str, Any] = {
            "fault": fault,
            "operation": operation,
            "rate": rate,
            "times": times,
            "seconds": seconds,
            "account": self.account,
        }
        self._replace([*self._all(), one])
        try:
            yield
        finally:
            self.clear()

    def clear(self) -> None:
        """Take away all faults of this account."""
        self._replace([one for one in self._all() if one.get("account") != self.account])

    def _all(self) -> list[dict[str, Any]]:
        return self._ask("GET", None)

    def _replace(self, faults: list[dict[str, Any]]) -> None:
        self._ask("PUT", json.dumps(faults).encode())

    def _ask(self, method: str, body: bytes | None) -> list[dict[str, Any]]:
        request = urllib.request.Request(self.endpoint + _PATH, data=body, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
            faults: list[dict[str, Any]] = json.load(answer)
        return faults
