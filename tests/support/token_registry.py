"""Debian's docker-registry behind tokens, and the server that gives them.

Sources: distribution's "Token Authentication Specification" and "Implementation".
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import threading
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from typing_extensions import override

from tests.support.clients import find_program
from tests.support.docker_registry import DockerRegistry, running_docker_registry

USER, PASSWORD = "puller", "a-password"
_AUTH = """\
auth:
  token: {{realm: "http://{host}/token", service: here, issuer: tests, rootcertbundle: {cert}}}
"""


class TokenServer(ThreadingHTTPServer):
    """Gives tokens to pull to whoever has the login; `asked` has what came: path and user."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key, self.certificate = folder / "token-key.pem", folder / "token.pem"
        command = ["req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=tests"]
        files = ["-keyout", str(self.key), "-out", str(self.certificate), "-days", "2"]
        subprocess.run(
            [find_program("openssl"), *command, *files], check=True, capture_output=True, timeout=60
        )
        self.asked: list[tuple[str, str]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def token(self, name: str, *actions: str) -> str:
        """Give a token for a repository."""
        now = int(time.time())
        chain = b64encode(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).decode()
        header = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
        claims = {
            "iss": "tests",
            "aud": "here",
            "sub": USER,
            "nbf": now - 5,
            "iat": now,
            "exp": now + 300,
            "jti": "one",
            "access": [{"type": "repository", "name": name, "actions": list(actions)}],
        }
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        made = subprocess.run(
            [find_program("openssl"), "dgst", "-sha256", "-sign", str(self.key)],
            input=signed.encode(),
            check=True,
            capture_output=True,
            timeout=60,
        )
        return f"{signed}.{_encoded(made.stdout)}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_GET(self) -> None:
        kind, _, encoded = (self.headers["Authorization"] or "").partition(" ")
        login = b64decode(encoded).decode() if kind == "Basic" else ""
        self.server.asked.append((self.path, login.partition(":")[0]))
        if login != f"{USER}:{PASSWORD}":
            self._send(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]})
            return
        (scope,) = parse_qs(urlsplit(self.path).query).get("scope", ["repository::"])
        name, actions = scope.split(":")[1:]
        token = self.server.token(name, *actions.split(","))
        self._send(200, {"token": token, "expires_in": 300})

    def _send(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class TokenRegistry:
    """A running docker-registry and its token server."""

    registry: DockerRegistry
    tokens: TokenServer

    @property
    def url(self) -> str:
        return f"http://{self.registry.host}"

    def http(self, name: str) -> httpx.Client:
        """Give an HTTP client that may push to a repository."""
        headers = {"Authorization": f"Bearer {self.tokens.token(name, 'pull', 'push')}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


@contextlib.contextmanager
def running_token_registry(folder: Path) -> Iterator[TokenRegistry]:
    """Run both for a block."""
    with TokenServer(folder) as tokens:
        thread = threading.Thread(target=tokens.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            auth = _AUTH.format(host=tokens.host, cert=tokens.certificate)
            with running_docker_registry(folder, auth=auth) as registry:
                yield TokenRegistry(registry, tokens)
        finally:
            tokens.shutdown()
            thread.join()
