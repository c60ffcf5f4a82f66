"""What a trusted proxy says of the client, and that nobody else is believed."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import BaseRequest, Response
from multidict import CIMultiDict
from typing_extensions import override

from ecrate.web.proxies import Proxies
from tests.support.serving import serving

PROXIES = Proxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


class _Connection(asyncio.Transport):
    """A connection from an address."""

    @override
    def is_closing(self) -> bool:
        return False


def seen(peer: str, *headers: tuple[str, str]) -> BaseRequest:
    request = make_mocked_request(
        "GET",
        "/",
        CIMultiDict([("Host", "inside:5100"), *headers]),
        transport=_Connection({"peername": (peer, 1)}),
    )
    return PROXIES.seen_through(request)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("10.0.0.1", ["198.51.100.7"], "198.51.100.7", id="one"),
        pytest.param("fd00::1", ["2001:db8::7"], "2001:db8::7", id="v6"),
        pytest.param("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7", id="mapped"),
        pytest.param("10.0.0.1", ["192.0.2.1, 198.51.100.7, 10.9.9.9"], "198.51.100.7", id="two"),
        pytest.param("10.0.0.1", ["192.0.2.1", "198.51.100.7"], "198.51.100.7", id="two-headers"),
        pytest.param("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all-are-proxies"),
        pytest.param("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7", id="port"),
        pytest.param("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7", id="v6-port"),
        pytest.param("10.0.0.1", ["192.0.2.1, unknown"], "10.0.0.1", id="unknown"),
        pytest.param("10.0.0.1", ["192.0.2.1,"], "10.0.0.1", id="empty"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="none"),
        pytest.param("198.51.100.9", ["192.0.2.1"], "198.51.100.9", id="stranger"),
        pytest.param("", ["192.0.2.1"], "", id="no-address"),
    ],
)
def test_address_is_the_nearest_that_is_no_proxy(
    peer: str, forwarded: list[str], expected: str
) -> None:
    request = seen(peer, *(("X-Forwarded-For", one) for one in forwarded))

    assert request.remote == expected


@pytest.mark.parametrize(
    ("peer", "headers", "scheme", "host"),
    [
        pytest.param("10.0.0.1", ["HTTPS", "a.example:8443"], "https", "a.example:8443", id="both"),
        pytest.param("10.0.0.1", ["http, https", "x, b.example"], "https", "b.example", id="last"),
        pytest.param("10.0.0.1", ["gopher", ""], "http", "inside:5100", id="neither"),
        pytest.param("192.0.2.1", ["https", "a.example"], "http", "inside:5100", id="stranger"),
    ],
)
def test_scheme_and_host_are_what_the_proxy_says(
    peer: str, headers: list[str], scheme: str, host: str
) -> None:
    names = ("X-Forwarded-Proto", "X-Forwarded-Host")

    request = seen(peer, *zip(names, headers, strict=True))

    assert (request.scheme, request.headers["Host"]) == (scheme, host)


def test_host_stays_beside_a_header_that_is_no_text() -> None:
    proxies = Proxies([ip_network("127.0.0.0/8")])

    async def tell(request: BaseRequest) -> Response:
        return Response(text=proxies.seen_through(request).headers["Host"])

    with serving(tell) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: inside\r\nX-Forwarded-Host: a.example\r\n"
            b"X-Other: \xff\r\nConnection: close\r\n\r\n"
        )
        with client.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\ninside")
