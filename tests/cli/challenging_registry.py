"""A stand-in for a registry that asks for credentials in whatever way it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

TOKEN = "a-token"


class ChallengingRegistry(ThreadingHTTPServer):
    """Wants `Bearer TOKEN` and sends whoever has none to `realm`; gives tokens at `/token`.

    `asked` has what came to `/token`: the path with its query, the Authorization header and the
    body of a POST.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.realm = f"http://{self.host}/token"
        self.asked: list[tuple[str, str | None, str]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChallengingRegistry

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            self._give_token("")
        elif self.headers["Authorization"] == f"Bearer {TOKEN}":
            self._answer(200, {"name": "app", "tags": ["one"]})
        else:
            self._answer(401, {}, f'Bearer realm="{self.server.realm}",service="here"')

    def do_POST(self) -> None:
        self._give_token(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _give_token(self, body: str) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        self._answer(200, {"access_token": TOKEN})

    def _answer(self, status: int, document: object, challenge: str = "") -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def challenging_registry() -> Iterator[ChallengingRegistry]:
    """Run one for a block."""
    with ChallengingRegistry() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
