"""Where a request came from, whatever kind of address its connection tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from typing_extensions import override

from ecrate.domain.principals import Source
from ecrate.web.sources import source_of


class _Connection(asyncio.Transport):
    """A connection from an address, over TLS or not."""

    @override
    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        pytest.param({"peername": ("10.1.2.3", 5)}, Source("10.1.2.3", "x"), id="v4"),
        pytest.param({"peername": ("fd00::1", 5, 0, 0)}, Source("fd00::1", "x"), id="v6"),
        pytest.param(
            {"peername": ("::ffff:10.1.2.3", 5, 0, 0)}, Source("10.1.2.3", "x"), id="v4-as-v6"
        ),
        pytest.param({}, Source("", "x"), id="gone"),
        pytest.param({"sslcontext": object()}, Source("", "x", is_secure=True), id="tls"),
    ],
)
def test_source_is_what_the_connection_tells(details: dict[str, Any], expected: Source) -> None:
    request = make_mocked_request(
        "GET",
        "/",
        {"User-Agent": "x"},
        transport=_Connection(details),
        sslcontext=details.get("sslcontext"),
    )

    assert source_of(request) == expected


def test_source_has_so_much_of_the_agent_as_policies_look_at() -> None:
    request = make_mocked_request(
        "GET", "/", {"User-Agent": "a" * 16_000}, transport=_Connection({})
    )

    assert source_of(request).user_agent == "a" * 1024
