"""A collector of spans: takes OTLP over HTTP as a real one does, and keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Received:
    """A span and the `service.name` of the process that made it."""

    service: str
    span: Span

    @property
    def texts(self) -> list[str]:
        """All that the span says in words."""
        values = [attribute.value.string_value for attribute in self.span.attributes]
        return [self.span.name, self.span.status.message, *values, *(event.name for event in self.span.events)]


@dataclass
class Collector:
    """Spans by their ids, and what each request said to be let in."""

    endpoint: str = ""
    spans: dict[bytes, Received] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    def take(self, content: bytes, key: str) -> None:
        """Keep what one request holds."""
        self.keys.add(key)
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            names = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.span_id] = Received(names["service.name"], span)

    def of_trace(self, trace_id: str) -> dict[bytes, Received]:
        """Return the spans of a trace by their ids."""
        wanted = bytes.fromhex(trace_id)
        return {span_id: each for span_id, each in list(self.spans.items()) if each.span.trace_id == wanted}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Take spans on a free port of this machine for the length of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            is_known = self.path == "/v1/traces"
            if is_known:
                collector.take(content, self.headers.get("authorization", ""))
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
