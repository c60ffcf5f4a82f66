"""Traces, as a receiver of OpenTelemetry's own protocol gets them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override

from ecrate.settings import SettingError, load_settings
from tests.support.images import make_image
from tests.support.pushing import push_image
from tests.support.server import running_server

PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


class Receiver(ThreadingHTTPServer):
    """Keeps the spans that come to `/v1/traces`."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def children(self, parent: Any) -> set[str]:
        return {span.name for span in self.spans if span.parent_span_id == parent.span_id}


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_request_is_a_span_with_what_it_did_below(tmp_path: Path) -> None:
    with receiving() as receiver:
        env = {"ECRATE_TRACES": receiver.url}
        with running_server(tmp_path / "data", "--workers", "1", env=env) as server:
            ecr = server.ecr()
            ecr.create_repository(repositoryName="traced")
            push_image(ecr, "traced", make_image(10), "v1")
            with server.http() as http:
                http.headers["traceparent"] = f"00-{PARENT}-00f067aa0ba902b7-01"
                assert http.get("/v2/traced/manifests/v1").status_code == 200
                assert http.get("/v2/traced/manifests/v2").status_code == 404

    put, *_ = receiver.named("PutImage")
    completed = [receiver.children(one) for one in receiver.named("CompleteLayerUpload")]
    pulled, missed = receiver.named("BatchGetImage")
    assert "database write" in receiver.children(put)
    assert {"database write", "blobs put"} <= set().union(*completed)
    assert "database read" in receiver.children(pulled)
    assert pulled.trace_id.hex() == PARENT
    assert pulled.parent_span_id.hex() == "00f067aa0ba902b7"
    told = attributes(pulled)
    assert told["url.path"] == "/v2/traced/manifests/v1"
    assert told["http.response.status_code"] == 200
    assert told["ecrate.request_id"]
    assert attributes(missed)["http.response.status_code"] == 404


def test_receiver_that_is_away_harms_nobody(tmp_path: Path) -> None:
    env = {"ECRATE_TRACES": "http://127.0.0.1:9"}
    with running_server(tmp_path / "data", "--workers", "1", env=env) as server:
        server.ecr().create_repository(repositoryName="traced")

        assert server.stop() == 0


def test_receiver_must_have_an_address() -> None:
    with pytest.raises(SettingError, match="setting 'traces' is 'localhost'"):
        load_settings({"traces": "localhost"}, {}, None)
