"""Guessing keys is slow, and does not get in the way of others for long."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.console import Visitor
from tests.support.server import Server


def test_sign_in_is_throttled_by_address(
    server: Server, visit: Callable[[Server], Visitor]
) -> None:
    visitor = visit(server)
    answers = [visitor.sign_in("AKIANOBODY", str(number)).status_code for number in range(12)]

    answer = visitor.sign_in(server.key_id, server.secret)

    assert answers[-1] == 429
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 300
