"""One line is one JSON object, whatever somebody's strings contain."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from contract.errors import DatabaseFull
from contract.ids import Version
from contract.logs.console import LogConsole
from contract.logs.lines import JsonLines, Printed
from coordinator.duties import evaluate, merge
from coordinator.log_view import LogView
from coordinator.troubles import Recovered
from worker.happenings import Computed, Dropped, Progressed
from worker.reporting import LogLines

# A lone surrogate is left out where a test's report would carry it from one process of pytest-xdist to another.
REPORTABLE = 'x\n{"level": "info"}\r\u2028\u0085\x00\x1b[31m\x9b31m"\\ \U0001f410'
HOSTILE = 'x\n{"level": "info"}\r\u2028\u0085\x00\x1b[31m\x9b31m"\\\ud800 \U0001f410'


def line_of(message: str, *arguments: object, **extra: Any) -> str:
    record = logging.LogRecord("barnraise.x", logging.INFO, "", 0, message, arguments, extra.pop("exc_info", None))
    record.__dict__.update(extra)
    return JsonLines(process="coordinator", run=HOSTILE).format(record)


def test_a_hostile_string_ends_no_line_and_comes_back_as_it_was() -> None:
    line = line_of("%s", HOSTILE, data={HOSTILE: [HOSTILE]})
    assert line.isascii()
    assert line.isprintable()
    whole = HOSTILE.replace("\ud800", "?")
    said = json.loads(line)
    assert (said["message"], said["run"], said["data"]) == (whole, whole, {whole: [whole]})


def test_a_line_says_when_who_and_what() -> None:
    said = json.loads(line_of("three of %d", 4))
    assert list(said) == ["time", "level", "logger", "message", "run", "process", "pid"]
    assert said["time"].endswith("+00:00")
    assert (said["level"], said["logger"], said["message"]) == ("info", "barnraise.x", "three of 4")


def test_an_exception_is_text() -> None:
    error = ValueError(HOSTILE)
    line = line_of("it fell", exc_info=(ValueError, error, None))
    assert line.isprintable()
    assert "ValueError: x\n" in json.loads(line)["exception"]


def test_a_link_that_opens_the_page_is_not_written_down() -> None:
    said = json.loads(line_of("it is at http://10.0.0.7:8400/?token=secret&run=x", data={"a": "?token=secret"}))
    assert "secret" not in json.dumps(said)
    assert said["message"] == "it is at http://10.0.0.7:8400/?token=...&run=x"


def test_what_is_not_finite_is_null() -> None:
    said = json.loads(line_of("x", data={"losses": {"a": float("nan"), "b": float("-inf"), "c": 1.5}}))
    assert said["data"] == {"losses": {"a": None, "b": None, "c": 1.5}}


def test_a_line_has_an_end() -> None:
    assert len(line_of("%s", "\U0001f410" * 10**6)) < 30_000


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str, Any]]:
    return [(one.name, one.levelno, one.getMessage(), getattr(one, "data", None)) for one in caplog.records]


def test_what_a_library_prints_is_a_record_a_line(caplog: pytest.LogCaptureFixture) -> None:
    printed = Printed(logging.getLogger("barnraise.stderr"), logging.WARNING)
    print("one\ntwo", file=printed)
    print("\r10 %\r20 %", end="", file=printed)
    assert [one.getMessage() for one in caplog.records] == ["one", "two", "10 %"]
    printed.close()
    assert caplog.records[-1].getMessage() == "20 %"


@pytest.fixture
def view(caplog: pytest.LogCaptureFixture) -> LogView:
    caplog.set_level(logging.INFO, "barnraise")
    return LogView(LogConsole(process="coordinator", topic="start"))


def test_a_merge_has_its_numbers_beside_the_words(view: LogView, caplog: pytest.LogCaptureFixture) -> None:
    view.report(
        merge.Report(version=Version(7), merged=2, num_bytes=10, losses={"g": 0.5}, seconds=0.25, refused=("no",))
    )
    refusal, version = records(caplog)
    assert refusal == ("barnraise.coordinator.merge", logging.WARNING, "a gradient was refused: no", None)
    assert version == (
        "barnraise.coordinator.merge", logging.INFO, "version     7  2 gradients in 0.25 s  g 0.5000",
        {"version": 7, "merged": 2, "num_bytes": 10, "seconds": 0.25, "losses": {"g": 0.5}},
    )  # fmt: skip


def test_trouble_is_an_error_and_its_end_is_not(view: LogView, caplog: pytest.LogCaptureFixture) -> None:
    view.report(DatabaseFull())
    view.report(Recovered(error=DatabaseFull(), seconds=3))
    view.report(evaluate.Report(problem="nothing is measured"))
    assert [(name, level) for name, level, _, _ in records(caplog)] == [
        ("barnraise.coordinator.loop", logging.ERROR),
        ("barnraise.coordinator.loop", logging.INFO),
        ("barnraise.coordinator.evaluate", logging.WARNING),
    ]


def test_a_worker_tells_the_same_with_what_happened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "barnraise")
    lines = LogLines(LogConsole(process="worker", topic="join"))
    lines.heard(0, Progressed(num_done=1, samples_per_second=1.0))
    lines.heard(0, Computed(unit=3, version=2, num_samples=64, losses={"loss": 1.0}, seconds=2.0))
    lines.heard(0, Dropped(unit=3, reason="[bold]" + REPORTABLE))
    computed, dropped = records(caplog)
    assert computed[0] == "barnraise.worker.computed"
    assert computed[3] == {
        "place": 0, "unit": 3, "version": 2, "num_samples": 64, "losses": {"loss": 1.0}, "seconds": 2.0
    }  # fmt: skip
    assert dropped[:3] == ("barnraise.worker.dropped", logging.WARNING, "unit      3  dropped: [bold]" + REPORTABLE)


def test_all_that_a_process_says_is_json() -> None:
    code = """
import sys, threading, warnings, logging
from contract.logs import told
from contract.logs.lines import log_as_json
log_as_json(process="worker", run="r")
print("printed")
warnings.warn("beware")
logging.getLogger("some.library").error("%d", "not a number")
logging.getLogger("some.library").info("chatter")
thread = threading.Thread(target=lambda: 1 / 0, name="t")
thread.start(); thread.join()
from contract.errors import DatabaseFull
assert told(DatabaseFull(), process="worker")
from huggingface_hub.utils import are_progress_bars_disabled
assert are_progress_bars_disabled()
sys.stderr.write("half a line")
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(one["run"] == "r" for one in said)
    found = [(one["logger"], one["level"]) for one in said]
    for expected in (
        ("barnraise.stdout", "info"), ("barnraise.stderr", "warning"), ("py.warnings", "warning"),
        ("barnraise.thread", "error"), ("barnraise.worker", "critical"),
    ):  # fmt: skip
        assert expected in found
    assert "ZeroDivisionError" in next(one for one in said if one["logger"] == "barnraise.thread")["exception"]
    assert said[-1]["message"] == "half a line"
    assert not any(one["message"] == "chatter" for one in said)


def test_what_is_below_the_level_is_not_told() -> None:
    code = """
import logging
from contract.logs.lines import log_as_json
log_as_json(process="coordinator", run="r", level="warning")
for level in ("info", "warning"):
    getattr(logging.getLogger("barnraise.coordinator"), level)(level)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["warning"]
