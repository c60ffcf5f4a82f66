"""Traces by OpenTelemetry: a span for each request, with spans for its transactions and for what
the blob store does below it. Off unless the setting `traces` says where they go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ecrate import __version__
from ecrate.web.metrics import OPERATION
from ecrate.web.server import Handler

_FAILED: Final = 500


class Tracing:
    """One worker's traces, sent in batches in the background; `url` is an OTLP endpoint (HTTP,
    protobuf), to which `/v1/traces` is added.
    """

    def __init__(self, url: str) -> None:
        resource = Resource.create({"service.name": "ecrate", "service.version": __version__})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("ecrate", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def stop(self) -> None:
        """Send what was not sent yet, for a few seconds at the most."""
        self._provider.shutdown()

    def around(self, handler: Handler) -> Handler:
        """Give a handler whose requests are spans, children of the client's (`traceparent`)."""

        async def handle(request: BaseRequest) -> StreamResponse:
            context = self._propagator.extract(request.headers)
            with self._tracer.start_as_current_span(
                request.method, context=context, kind=SpanKind.SERVER
            ) as span:
                span.set_attribute("http.request.method", request.method)
                span.set_attribute("url.path", request.raw_path.partition("?")[0])
                response = await handler(request)
                operation = request.get(OPERATION)
                if operation is not None:
                    span.update_name(operation)
                    span.set_attribute("rpc.method", operation)
                span.set_attribute("http.response.status_code", response.status)
                for name in ("x-amzn-RequestId", "X-Request-Id"):
                    if name in response.headers:
                        span.set_attribute("ecrate.request_id", response.headers[name])
                if response.status >= _FAILED:
                    span.set_status(StatusCode.ERROR)
                return response

        return handle

    def watch_database(self, what: str) -> AbstractContextManager[object]:
        """Watch a transaction: see `domain.watching`."""
        return self._span(f"database {what}", {"db.operation.name": what})

    def watch_blobs(self, what: str) -> AbstractContextManager[object]:
        """Watch a step of the blob store."""
        return self._span(f"blobs {what}", {})

    @contextmanager
    def _span(self, name: str, attributes: dict[str, str]) -> Iterator[None]:
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield
