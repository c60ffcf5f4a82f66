"""Uploads to a service stricter than ours: Amazon's refuses a part that it has already.

Source: the API reference of UploadLayerPart, InvalidLayerPartException.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.support.images import OCI_MANIFEST, make_image
from tests.support.layouts import write_layout

_PART = 1000


class StrictService(ThreadingHTTPServer):
    """Takes one layer's parts in order only, and loses the answers that `lost` counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received = bytearray()
        self.first_bytes: list[int] = []
        self.lost: set[int] = set()
        self.forgets_at: int | None = None
        self.uploads = 0

    def answer(self, operation: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Give status and body."""
        if operation == "InitiateLayerUpload":
            self.uploads += 1
            self.received.clear()
            return 200, {"uploadId": f"upload-{self.uploads}", "partSize": _PART}
        if operation == "UploadLayerPart":
            return self._take(given)
        if operation == "CompleteLayerUpload":
            digest = f"sha256:{hashlib.sha256(self.received).hexdigest()}"
            if [digest] != given["layerDigests"]:
                return 400, {"__type": "InvalidLayerException", "message": digest}
            return 200, {"layerDigest": digest}
        if operation == "BatchCheckLayerAvailability":
            # Only the layer is to be uploaded.
            layers = [{"layerDigest": each} for each in given["layerDigests"]]
            layers[0]["layerAvailability"] = "AVAILABLE"
            return 200, {"layers": layers, "failures": []}
        return 200, {}

    def _take(self, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        first = given["partFirstByte"]
        self.first_bytes.append(first)
        if self.forgets_at == first:
            self.forgets_at = None
            return 400, {"__type": "UploadNotFoundException", "message": "gone"}
        if first != len(self.received):
            return 400, {
                "__type": "InvalidLayerPartException",
                "message": "not consecutive",
                "lastValidByteReceived": max(0, len(self.received) - 1),
            }
        self.received += base64.b64decode(given["layerPartBlob"])
        return 200, {"lastByteReceived": given["partLastByte"]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StrictService

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        status, body = self.server.answer(operation, given)
        count = len(self.server.first_bytes)
        if operation == "UploadLayerPart" and count in self.server.lost:
            self.close_connection = True
            return
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[StrictService]:
    with StrictService() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def push(
    plain_run: Run, service: StrictService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Push an image with a layer of 3500 bytes to the service."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{service.server_port}")
    image = make_image(3500)
    write_layout(tmp_path / "layout", [image], {"x": (image.manifest, OCI_MANIFEST)})
    return lambda: plain_run("push", str(tmp_path / "layout"), "app")


def test_upload_sends_parts_of_the_size_asked_for(push: Run, service: StrictService) -> None:
    ran = push()

    assert ran.code == 0
    assert service.first_bytes == [0, 1000, 2000, 3000]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        # The first answer that is lost, the same part again, and on behind the last valid byte.
        pytest.param({2}, [0, 1000, 1000, 2000, 3000], id="one"),
        pytest.param({2, 3}, [0, 1000, 1000, 1000, 2000, 3000], id="two in a row"),
        pytest.param({4}, [0, 1000, 2000, 3000, 3000], id="the last"),
    ],
)
def test_upload_resumes_behind_the_last_valid_byte(
    push: Run, service: StrictService, lost: set[int], expected: list[int]
) -> None:
    service.lost = lost

    ran = push()

    assert ran.code == 0
    assert service.first_bytes == expected


def test_upload_resumes_where_the_service_has_less(push: Run, service: StrictService) -> None:
    taken: list[int] = []
    take = service._take

    def forgetful(given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(taken) == 3:
            del service.received[1000:]
        taken.append(given["partFirstByte"])
        return take(given)

    service._take = forgetful  # type: ignore[method-assign] # the fake's own, for this test

    ran = push()

    assert ran.code == 0
    assert service.first_bytes == [0, 1000, 2000, 3000, 1000, 2000, 3000]


def test_upload_begins_anew_where_it_was_given_up(push: Run, service: StrictService) -> None:
    service.forgets_at = 2000

    ran = push()

    assert (ran.code, service.uploads) == (0, 2)
    assert service.first_bytes == [0, 1000, 2000, 0, 1000, 2000, 3000]
