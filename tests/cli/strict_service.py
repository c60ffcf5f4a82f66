"""A stand-in for Amazon's service where it is stricter than ours, or fails on purpose."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

_PART = 1000


class StrictService(ThreadingHTTPServer):
    """Takes one layer's parts in order only.

    `lost` counts the parts whose answers never leave; `forgets_at` is the first byte of a part at
    which the upload is given up; `keeps_at` that of one at which only so many bytes are left;
    `faults` are answers given instead of the right ones, status and code.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received = bytearray()
        self.first_bytes: list[int] = []
        self.lost: set[int] = set()
        self.forgets_at: int | None = None
        self.keeps_at: tuple[int, int] | None = None
        self.faults: list[tuple[int, str]] = []
        self.uploads = 0
        self.calls: list[str] = []

    def answer(self, operation: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Give status and body."""
        self.calls.append(operation)
        if self.faults:
            status, code = self.faults.pop(0)
            return status, {"__type": code, "message": "told to"}
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
        if self.keeps_at and self.keeps_at[0] == first:
            del self.received[self.keeps_at[1] :]
            self.keeps_at = None
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

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""
