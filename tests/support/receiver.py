"""A server that takes webhooks, and answers as a test wants it to."""

from __future__ import annotations

import contextlib
import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

PATIENCE = 20.0


@dataclass
class Receiver:
    """Keeps what it took. `status` is what it answers; `headers` go with that."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    sent: list[tuple[dict[str, str], str]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    def answer(self, headers: dict[str, str], body: str) -> int:
        with self._changed:
            self.sent.append((headers, body))
            is_taken = 200 <= self.status < 300
            (self.taken if is_taken else self.refused).append(json.loads(body))
            self._changed.notify_all()
            return self.status

    def wait(self, count: int, *, refused: bool = False) -> list[dict[str, Any]]:
        """Wait for so many events, and give them."""
        found = self.refused if refused else self.taken
        until = time.monotonic() + PATIENCE
        with self._changed:
            while len(found) < count:
                assert self._changed.wait(until - time.monotonic()), f"{len(found)} came"
            return list(found)


def is_signed(secret: str, headers: dict[str, str], body: str) -> bool:
    """Check a signature as a receiver does, by Standard Webhooks 1.0.0."""
    key = b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}"
    expected = b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free loopback port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.answer(headers, body))
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()

        @override
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
