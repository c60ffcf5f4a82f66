"""Requests to servers that may be anybody's, over sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecrate.upstream.addresses import ForbiddenAddressError, parse_networks
from ecrate.upstream.http import BadAnswerError, Http
from ecrate.upstream.pacing import LEAST
from tests.support.certificates import issue, make_authority
from tests.support.upstream import LOOPBACK, Handler, Upstream, endless, refusing, running_upstream

NETWORKS = parse_networks(LOOPBACK)


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture
def client() -> Iterator[Http]:
    made = Http(seconds=1.0, networks=NETWORKS)
    yield made
    made.close()


def get(client: Http, url: str, **credentials: str) -> tuple[int, bytes]:
    with client.follow(url, {}, credentials) as reply:
        return reply.status, reply.read_all(1_000_000)


def test_answer_is_read(client: Http, server: Upstream) -> None:
    assert get(client, f"{server.url}/v2/") == (200, b"{}")


def test_redirect_is_followed_without_credentials(client: Http, server: Upstream) -> None:
    seen: list[str | None] = []

    def note(handler: Handler) -> None:
        seen.append(handler.headers["Authorization"])
        handler.send(200, b"there")

    with running_upstream() as other:
        other.faults["/there"] = note
        server.faults["/here"] = refusing(307, Location=f"{other.url}/there")
        server.faults["/again"] = refusing(302, Location="/here")

        assert get(client, f"{server.url}/again", Authorization="Basic x") == (200, b"there")

    assert seen == [None]


def test_address_is_checked_before_anything_is_sent(server: Upstream) -> None:
    asked = len(server.asked)

    with pytest.raises(ForbiddenAddressError):
        get(Http(seconds=1.0), f"{server.url}/v2/")

    assert len(server.asked) == asked


def test_host_is_looked_up_once_a_request(
    client: Http, server: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose second look-up would lead elsewhere (DNS rebinding) has none."""
    looked_up: list[object] = []
    real = socket.getaddrinfo

    def note(host: str, *rest: object, **options: object) -> object:
        looked_up.append(host)
        return real(host, *rest, **options)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(socket, "getaddrinfo", note)

    get(client, f"http://some.localhost:{server.server_port}/v2/")

    # What is connected to then is an address.
    assert looked_up.count("localhost") == 1
    assert set(looked_up) <= {"localhost", "127.0.0.1", "::1"}


def test_server_that_says_nothing_is_given_up(client: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        with pytest.raises(TimeoutError, match="longer than 1 seconds"):
            get(client, f"http://127.0.0.1:{port}/")


def test_head_that_drips_is_given_up(client: Http) -> None:
    with dripping_server(b"HTTP/1.1 200 OK\r\nX-Long: ") as port:
        begin = time.monotonic()

        with pytest.raises(TimeoutError, match="longer than 1 seconds"):
            get(client, f"http://127.0.0.1:{port}/")

    assert time.monotonic() - begin < 20


@contextlib.contextmanager
def dripping_server(start: bytes) -> Iterator[int]:
    """Run a server for a block that begins like this and never ends."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(start)
                while not over.wait(0.1):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_body_that_comes_steadily_may_take_its_time(server: Upstream) -> None:
    def slowly(handler: Handler) -> None:
        handler.begin(200, {"Content-Length": str(4 * LEAST)})
        for _ in range(4):
            handler.wfile.write(bytes(LEAST))
            time.sleep(0.2)

    server.faults["/slowly"] = slowly
    client = Http(seconds=0.4, networks=NETWORKS)

    with client.follow(f"{server.url}/slowly", {}, {}) as reply:
        reply.relax()
        assert len(reply.read_all(4 * LEAST)) == 4 * LEAST


def test_answer_beyond_the_limit_is_not_read(client: Http, server: Upstream) -> None:
    server.faults["/endless"] = endless

    with (
        client.follow(f"{server.url}/endless", {}, {}) as reply,
        pytest.raises(BadAnswerError, match="longer than 100000 bytes"),
    ):
        reply.read_all(100_000)


def test_closed_client_breaks_off(server: Upstream) -> None:
    client = Http(seconds=20.0, networks=NETWORKS)
    server.faults["/endless"] = endless

    with client.follow(f"{server.url}/endless", {}, {}) as reply:
        reply.read(1)
        client.close()
        with contextlib.suppress(OSError):
            while reply.read(1_000_000):
                pass

    with pytest.raises(ConnectionAbortedError):
        get(client, f"{server.url}/v2/")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, Path]]:
    """A server with TLS, and the certificate of who signed its own."""
    authority = make_authority(tmp_path_factory.mktemp("authority"))
    pair = issue(authority, "server", names="DNS:named.localhost")
    with running_upstream() as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        running.socket = context.wrap_socket(running.socket, server_side=True)
        yield running, authority.certificate


def test_certificate_is_verified(client: Http, encrypted: tuple[Upstream, Path]) -> None:
    server, _ = encrypted

    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        get(client, f"https://named.localhost:{server.server_port}/v2/")


def test_name_of_the_certificate_is_verified(encrypted: tuple[Upstream, Path]) -> None:
    server, bundle = encrypted
    client = Http(seconds=5.0, networks=NETWORKS, bundle=str(bundle))

    assert get(client, f"https://named.localhost:{server.server_port}/v2/") == (200, b"{}")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        get(client, f"https://other.localhost:{server.server_port}/v2/")


def test_redirect_to_plain_text_is_refused(encrypted: tuple[Upstream, Path]) -> None:
    server, bundle = encrypted
    client = Http(seconds=5.0, networks=NETWORKS, bundle=str(bundle))
    server.faults["/plain"] = refusing(307, Location="http://127.0.0.1/")

    with pytest.raises(BadAnswerError, match="not encrypted"):
        get(client, f"https://named.localhost:{server.server_port}/plain")
