"""A registry for pull through caches to fetch from, which misbehaves as it is told to."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from ecrate.operations.pull_through.seam import PullThrough
from ecrate.upstream.addresses import parse_networks
from ecrate.upstream.http import Http
from ecrate.upstream.registry import HttpUpstreams
from ecrate.upstream.secrets import SecretFiles
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of

LOOPBACK = "127.0.0.0/8, ::1/128"
USER, TOKEN = "somebody", "a-secret"
_PATH = re.compile(r"/v2/(.+)/(manifests|blobs|referrers)/([^/?]+)")


class Upstream(ThreadingHTTPServer):
    """Has what `add` was given. `asked` has the path of each request that came.

    `faults` has, by path, what answers in place of the usual; with a `login`, a Basic one is asked
    for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.documents: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.referrers: dict[tuple[str, str], list[str]] = {}
        self.faults: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[str] = []
        self.login = ""

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def add(self, name: str, image: MadeImage, *tags: str) -> MadeImage:
        """Take an image, under its digest and these tags."""
        for blob in image.blobs:
            self.blobs[name, blob.digest] = blob.content
        self.put(name, image.manifest, *tags)
        return image

    def put(self, name: str, document: str, *tags: str, media_type: str = OCI_MANIFEST) -> str:
        """Take a manifest as it is; give its digest."""
        content = document.encode()
        for reference in (digest_of(content), *tags):
            self.documents[name, reference] = (content, media_type)
        return digest_of(content)

    def put_index(self, name: str, document: str, *tags: str) -> str:
        return self.put(name, document, *tags, media_type=OCI_INDEX)

    def count(self, path: str) -> int:
        """Count the requests for a path."""
        return self.asked.count(path)


class Handler(BaseHTTPRequestHandler):
    """One connection to an `Upstream`; faults answer with what it has."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        fault = self.server.faults.get(self.path)
        with contextlib.suppress(ConnectionError):
            if fault is not None:
                fault(self)
            else:
                self.answer()

    def answer(self) -> None:
        """Do what a registry does."""
        login = self.server.login
        given = b64encode(login.encode()).decode()
        if login and self.headers["Authorization"] != f"Basic {given}":
            self.send(401, b"{}", {"WWW-Authenticate": 'Basic realm="here"'})
            return
        match = _PATH.fullmatch(self.path)
        if self.path == "/v2/":
            self.send(200, b"{}")
        elif match is None:
            self.send(404, b"{}")
        elif match[2] == "manifests":
            self._manifest(match[1], match[3])
        elif match[2] == "blobs":
            self._blob(match[1], match[3])
        else:
            self._referrers(match[1], match[3])

    def _manifest(self, name: str, reference: str) -> None:
        content, media_type = self.server.documents.get((name, reference), (b"", ""))
        digest = digest_of(content)
        if not content:
            self.refuse(404, "MANIFEST_UNKNOWN")
        elif self.headers["If-None-Match"] == f'"{digest}"':
            self.send(304, b"", {"ETag": f'"{digest}"'})
        else:
            headers = {
                "Content-Type": media_type,
                "Docker-Content-Digest": digest,
                "ETag": f'"{digest}"',
            }
            self.send(200, content, headers)

    def _blob(self, name: str, digest: str) -> None:
        content = self.server.blobs.get((name, digest))
        if content is None:
            self.refuse(404, "BLOB_UNKNOWN")
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if asked is None:
            self.send(200, content)
        else:
            start = int(asked[1])
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(206, content[start:], {"Content-Range": span})

    def _referrers(self, name: str, digest: str) -> None:
        listed = self.server.referrers.get((name, digest))
        if listed is None:
            self.refuse(404, "MANIFEST_UNKNOWN")
            return
        entries = [
            {"mediaType": OCI_MANIFEST, "digest": digest_of(one.encode()), "size": len(one)}
            for one in listed
        ]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        self.send(200, json.dumps(index).encode(), {"Content-Type": OCI_INDEX})

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = {"errors": [{"code": code, "message": "so it was told to"}]}
        self.send(status, json.dumps(body).encode(), headers)

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.begin(status, {"Content-Length": str(len(content)), **(headers or {})})
        self.wfile.write(content)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def refusing(status: int, **headers: str) -> Callable[[Handler], None]:
    """Give a fault: an error of this status."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.refuse(status, "TOLD", given)


def sending(content: bytes, **headers: str) -> Callable[[Handler], None]:
    """Give a fault: these bytes in place of the right ones."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(200, content, given)


def breaking_off(content: bytes, count: int) -> Callable[[Handler], None]:
    """Give a fault: the connection ends behind so many of the bytes."""

    def fault(handler: Handler) -> None:
        handler.begin(200, {"Content-Length": str(len(content))})
        handler.wfile.write(content[:count])
        handler.close_connection = True

    return fault


def endless(handler: Handler) -> None:
    """Send without end, and without saying how much."""
    handler.begin(200, {"Connection": "close"})
    handler.close_connection = True
    while True:
        handler.wfile.write(bytes(64 * 1024))


def dripping(handler: Handler) -> None:
    """Send a byte now and then."""
    handler.begin(200, {"Content-Length": "1000000"})
    with contextlib.suppress(OSError):
        for _ in range(1000):
            handler.wfile.write(b"x")
            time.sleep(0.05)
    handler.close_connection = True


class Gate:
    """A fault that sends half of the bytes, and the rest once it is opened."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._open = threading.Event()
        self.reached = threading.Event()

    def __call__(self, handler: Handler) -> None:
        half = len(self._content) // 2
        handler.begin(200, {"Content-Length": str(len(self._content))})
        handler.wfile.write(self._content[:half])
        handler.wfile.flush()
        self.reached.set()
        self._open.wait(60)
        handler.wfile.write(self._content[half:])

    def open(self) -> None:
        self._open.set()


@contextlib.contextmanager
def running_upstream() -> Iterator[Upstream]:
    """Run one for a block."""
    with Upstream() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def settings_for(*upstreams: str, **more: str) -> dict[str, str]:
    """Give variables that let a server fetch from these URLs, on loopback."""
    return {
        "ECRATE_UPSTREAM_HOSTS": ",".join(upstreams),
        "ECRATE_UPSTREAM_NETWORKS": LOOPBACK,
        **{f"ECRATE_UPSTREAM_{name.upper()}": value for name, value in more.items()},
    }


def put_secret(folder: Path, account: str, name: str, value: object) -> str:
    """Put a secret where `SecretFiles` looks for it; give its ARN."""
    place = folder / account / "us-east-1" / "ecr-pullthroughcache"
    place.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str | bytes) else json.dumps(value)
    (place / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return arn_of(account, name)


def arn_of(account: str, name: str) -> str:
    """Give a secret's ARN, which ends as Secrets Manager has it."""
    secret = f"ecr-pullthroughcache/{name}-AbCdEf"
    return f"arn:aws:secretsmanager:us-east-1:{account}:secret:{secret}"


def make_pull_through(folder: Path, *, seconds: float = 5.0, **options: Any) -> PullThrough:
    """Give what a core fetches with, from loopback and any host."""
    client = Http(seconds=seconds, networks=parse_networks(LOOPBACK))
    spool = folder / "fetches"
    spool.mkdir(exist_ok=True, parents=True)
    return PullThrough(
        HttpUpstreams(client, allows=lambda url: "127." in url.host),
        SecretFiles(folder / "secrets"),
        spool,
        **options,
    )
