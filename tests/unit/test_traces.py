"""A unit's life as spans: joined by numbers that follow from what every side knows, and nothing where nobody asks."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contract.ids import RunId, UnitId
from contract.traces import Traces, open_traces
from contract.traces.exporting import Exported
from contract.traces.lives import run_key, trace_id

CREATED_AT = datetime.datetime(2026, 11, 28, 8, 0, 0, 123456, tzinfo=datetime.UTC)
UNIT = UnitId(7)


def exported(exporter: SpanExporter, process: str = "worker", say: object = pytest.fail) -> Exported:
    key = run_key(RunId(1), CREATED_AT)
    assert callable(say)
    return Exported(process=process, run_name="class", run_key=key, say=say, exporter=exporter)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch


def opened() -> Traces:
    return open_traces(process="worker", run=RunId(1), run_name="class", run_created_at=CREATED_AT, say=pytest.fail)


def test_two_processes_tell_one_trace() -> None:
    mine, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    worker, coordinator = exported(mine), exported(theirs, "coordinator")
    with worker.of(UNIT, 2).step("compute") as about:
        about["num_samples"] = 64
    worker.of(UNIT, 2).ended("delivered")
    coordinator.of(UNIT, 2).took("merge", time.time_ns(), version=3)
    for traces in (worker, coordinator):
        traces.close()
    compute, life = mine.get_finished_spans()
    (merge,) = theirs.get_finished_spans()
    assert life.context is not None and life.parent is None
    for step in (compute, merge):
        assert step.context is not None and step.parent is not None
        assert step.context.trace_id == life.context.trace_id
        assert step.parent.span_id == life.context.span_id
    assert compute.attributes == {
        "barnraise.run": "class", "barnraise.unit": 7, "barnraise.attempt": 2, "barnraise.num_samples": 64
    }  # fmt: skip
    assert life.start_time is not None and compute.start_time is not None
    assert life.start_time <= compute.start_time
    assert merge.resource.attributes["service.name"] == "barnraise-coordinator"


def test_every_attempt_unit_and_ledger_has_a_trace_of_its_own() -> None:
    key = run_key(RunId(1), CREATED_AT)
    other = run_key(RunId(1), CREATED_AT + datetime.timedelta(microseconds=1))
    assert (
        len({trace_id(key, UNIT, 1), trace_id(key, UNIT, 2), trace_id(key, UnitId(8), 1), trace_id(other, UNIT, 1)})
        == 4
    )


def test_a_clock_in_another_zone_makes_no_other_run() -> None:
    elsewhere = CREATED_AT.astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert run_key(RunId(1), elsewhere) == run_key(RunId(1), CREATED_AT)


def test_what_goes_wrong_is_said_and_goes_on() -> None:
    exporter = InMemorySpanExporter()
    traces = exported(exporter)
    with pytest.raises(MemoryError), traces.of(UNIT, 1).step("compute"):
        raise MemoryError
    traces.close()
    (span,) = exporter.get_finished_spans()
    assert (span.status.is_ok, span.status.description) == (False, "MemoryError")


def test_a_share_of_the_lives_is_the_same_share_everywhere(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    environment.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    mine, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    worker, coordinator = exported(mine), exported(theirs, "coordinator")
    for unit in range(40):
        worker.of(UnitId(unit), 1).ended("delivered")
        coordinator.of(UnitId(unit), 1).took("merge", time.time_ns())
    for traces in (worker, coordinator):
        traces.close()
    told = [{span.context.trace_id for span in one.get_finished_spans() if span.context} for one in (mine, theirs)]
    assert told[0] == told[1]
    assert 5 < len(told[0]) < 35


def test_nothing_is_kept_or_imported_where_nobody_listens() -> None:
    code = """
import datetime, sys
from contract.traces import open_traces
traces = open_traces(process="worker", run=1, run_name="r", run_created_at=datetime.datetime.now(), say=print)
with traces.of(1, 1).step("compute"):
    pass
traces.of(1, 1).ended("delivered")
traces.close()
sys.exit(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    environment = {"PATH": ""}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_usual_switch_turns_them_off(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environment.setenv("OTEL_SDK_DISABLED", "true")
    assert type(opened()) is Traces


def test_who_lacks_the_extra_hears_of_it_and_goes_on(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environment.setitem(sys.modules, "opentelemetry.context", None)
    environment.delitem(sys.modules, "contract.traces.exporting", raising=False)
    said: list[str] = []
    traces = open_traces(process="worker", run=RunId(1), run_name="c", run_created_at=CREATED_AT, say=said.append)
    assert type(traces) is Traces
    assert 'pip install "barnraise[traces]"' in said[0]


class Deaf(SpanExporter):
    def __init__(self) -> None:
        self.asked = threading.Event()
        self.release = threading.Event()

    def export(self, spans: object) -> SpanExportResult:
        self.asked.set()
        self.release.wait(30)
        return SpanExportResult.FAILURE


def test_a_collector_that_is_away_keeps_nobody_and_is_said_once() -> None:
    deaf, said = Deaf(), []
    traces = exported(deaf, say=said.append)
    traces.of(UNIT, 1).ended("delivered")
    began = time.monotonic()
    traces.close()
    assert time.monotonic() - began < 10
    deaf.release.set()
