"""A stand-in for the service that answers every operation of the model, and keeps what was sent.

It shows that two command lines ask the same thing and print the same answer, also for operations
whose answers a real registry would not give twice.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from ecrate.aws.model import service_model
from ecrate.cli.paging import paging_of
from tests.support.samples import sample_answer

_SECOND = "the second page"


class SampleService(ThreadingHTTPServer):
    """Answers with samples, those of operations that have pages in two; `asked` is what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take_asked(self) -> list[tuple[str, dict[str, Any]]]:
        """Give the calls since the last time."""
        taken, self.asked = self.asked, []
        return taken

    def answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Give the sample of an operation's answer."""
        self.asked.append((name, given))
        answer = sample_answer(service_model().operations[name])
        paging = paging_of(name)
        if paging is not None and given.get(paging.input_token) != _SECOND:
            answer[paging.output_token] = _SECOND
        return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SampleService

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.headers["X-Amz-Target"].partition(".")[2]
        content = json.dumps(self.server.answer(name, given)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""
