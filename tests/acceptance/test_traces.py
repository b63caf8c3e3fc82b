"""One unit's life through a real worker and a real coordinator, as a collector hears of it."""

from __future__ import annotations

import pytest

from tests.acceptance.stage import Stage
from tests.collector import Collector, Seen, collecting


@pytest.mark.timeout(300)
def test_every_merged_unit_has_one_trace_from_claim_to_merge(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        stage.assemble()
        stage.finish()
        merged = int(stage.value("SELECT count(*) FROM ledger.gradients WHERE state = 'merged'"))
        whole = [life for life in lives(collector) if {"unit", "merge"} <= {span.name for span in life}]
    assert len(whole) == merged == 24
    for life in whole:
        steps = {span.name: span for span in life}
        assert {"wait", "claim", "samples", "compute", "encode", "submit"} <= steps.keys()
        assert steps["merge"].service == "barnraise-coordinator"
        assert {span.service for name, span in steps.items() if name != "merge"} == {"barnraise-worker"}
        assert steps["unit"].parent == b""
        assert {span.parent for name, span in steps.items() if name != "unit"} == {steps["unit"].span}
        order = [steps[name].began for name in ("wait", "claim", "samples", "compute", "encode", "submit", "merge")]
        assert order == sorted(order)
        assert len({span.attributes["barnraise.unit"] for span in life}) == 1
        assert not any(span.is_error for span in life)
    assert any(span.name == "fetch" for life in whole for span in life)


def lives(collector: Collector) -> list[list[Seen]]:
    found: dict[bytes, list[Seen]] = {}
    for span in collector.spans:
        found.setdefault(span.trace, []).append(span)
    return list(found.values())


@pytest.mark.timeout(300)
def test_a_collector_that_is_away_is_a_line_and_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    coordinator, ada, _ = stage.assemble()
    stage.finish()
    for actor in (coordinator, ada):
        assert actor.said().count("traces do not reach their collector") <= 1
    assert "opentelemetry" not in ada.said()
