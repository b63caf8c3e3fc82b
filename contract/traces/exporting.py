"""Lives as OpenTelemetry spans, sent by OTLP over HTTP in a thread of their own. Configured by its usual variables."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from contract.ids import UnitId
from contract.traces.lives import Attribute, Life, Traces, span_id, trace_id

_LEAVES_WITHIN_SECONDS: Final = 3.0
_MOST_LIVES: Final = 1000


class Exported(Traces):
    def __init__(
        self,
        *,
        process: str,
        run_name: str,
        run_key: str,
        say: Callable[[str], None],
        exporter: SpanExporter | None = None,
    ) -> None:
        self._run_name, self._run_key = run_name, run_key
        self._ids = _Ids()
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: f"barnraise-{process}"}
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Told(exporter or OTLPSpanExporter(), say)))
        self._tracer = self._provider.get_tracer("barnraise")
        self._lock = threading.Lock()
        self._lives: dict[tuple[UnitId, int], _ExportedLife] = {}

    def of(self, unit: UnitId, attempt: int) -> Life:
        with self._lock:
            life = self._lives.get((unit, attempt))
            if life is None:
                life = self._lives[unit, attempt] = _ExportedLife(self, unit, attempt)
                while len(self._lives) > _MOST_LIVES:
                    del self._lives[next(iter(self._lives))]
            return life

    def close(self) -> None:
        ending = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        ending.start()
        # A collector that is away keeps nobody here.
        ending.join(_LEAVES_WITHIN_SECONDS)

    def span(self, life: _ExportedLife, name: str, began: int, ended: int, attributes: dict[str, Attribute]) -> None:
        """The life itself where `name` is empty."""
        trace, whole = trace_id(self._run_key, *life.name), span_id(self._run_key, *life.name)
        # Which lives are told is the trace's number's business alone, so that all processes tell the same.
        if self._provider.sampler.should_sample(None, trace, "unit").decision is Decision.DROP:
            return
        unit, attempt = life.name
        told = {"run": self._run_name, "unit": unit, "attempt": attempt, **attributes}
        kept = {f"barnraise.{key}": value for key, value in told.items()}
        if name:
            parent = SpanContext(trace, whole, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(parent), Context())
            span = self._tracer.start_span(name, context, start_time=began, attributes=kept)
        else:
            with self._ids.given(trace, whole):
                span = self._tracer.start_span("unit", Context(), start_time=began, attributes=kept)
        if "error" in attributes:
            span.set_status(Status(StatusCode.ERROR, str(attributes["error"])))
        span.end(ended)

    def forget(self, life: _ExportedLife) -> None:
        with self._lock:
            self._lives.pop(life.name, None)


class _ExportedLife(Life):
    __slots__ = ("_began", "_traces", "name")

    def __init__(self, traces: Exported, unit: UnitId, attempt: int) -> None:
        self._traces = traces
        self.name = (unit, attempt)
        self._began = time.time_ns()

    def took(self, step: str, began: int, ended: int | None = None, /, **attributes: Attribute) -> None:
        self._began = min(self._began, began)
        self._traces.span(self, step, began, ended or time.time_ns(), attributes)

    def ended(self, outcome: str, **attributes: Attribute) -> None:
        self._traces.span(self, "", self._began, time.time_ns(), {"outcome": outcome, **attributes})
        self._traces.forget(self)


class _Ids(IdGenerator):
    """Random, but for spans whose numbers are given."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._here = threading.local()

    @contextlib.contextmanager
    def given(self, trace: int, span: int) -> Iterator[None]:
        self._here.ids = (trace, span)
        try:
            yield
        finally:
            self._here.ids = None

    def generate_trace_id(self) -> int:
        ids = getattr(self._here, "ids", None)
        return int(ids[0]) if ids else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        ids = getattr(self._here, "ids", None)
        return int(ids[1]) if ids else self._random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """A digest is as even as chance."""
        return True


class _Told(SpanExporter):
    """A collector that is away is said once, in our words; the work goes on without it."""

    def __init__(self, exporter: SpanExporter, say: Callable[[str], None]) -> None:
        self._exporter, self._say = exporter, say
        self._has_said = False
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS and not self._has_said:
            self._has_said = True
            self._say("traces do not reach their collector (OTEL_EXPORTER_OTLP_ENDPOINT); the work goes on without")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
