"""A collector of traces that speaks OTLP over HTTP, in a thread of the test's process."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A span as it came; `parent` is empty where it has none."""

    service: str
    trace: bytes
    span: bytes
    parent: bytes
    name: str
    began: int
    ended: int
    attributes: dict[str, Any]
    is_error: bool


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._lock = threading.Lock()
        self._spans: list[Seen] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> Sequence[Seen]:
        with self._lock:
            return list(self._spans)

    def take(self, body: bytes) -> None:
        found = [
            Seen(
                service=_values(batch.resource.attributes)["service.name"], trace=span.trace_id, span=span.span_id,
                parent=span.parent_span_id, name=span.name, began=span.start_time_unix_nano,
                ended=span.end_time_unix_nano, attributes=_values(span.attributes), is_error=span.status.code == 2,
            )
            for batch in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in batch.scope_spans
            for span in scope.spans
        ]  # fmt: skip
        with self._lock:
            self._spans += found


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        self.server.take(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The test reads the spans."""


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.05}, name="collector")
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
