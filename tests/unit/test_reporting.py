"""What the instructor reads: a line for what is news, and none for what is not."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from contract.errors import DatabaseFull
from contract.ids import Version
from coordinator.duties import evaluate, police, raise_server, roll_call
from coordinator.ledger.people import HoldingUp, Overstaying
from coordinator.reporting import Lines
from coordinator.troubles import Recovered

ARREST = Overstaying(pid=7, volunteer="mallory", offence="held what the coordinator needs", seconds=12)
STRANGER = HoldingUp(pid=4711, login="postgres", volunteer=None, seconds=None)


def said(report: object) -> str:
    out = io.StringIO()
    Lines(console=Console(file=out, width=200)).report(report)
    return out.getvalue()


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            evaluate.Report(version=Version(40), metrics={"held_out/accuracy": 0.9731, "held_out/loss": 0.0912}),
            "version    40  held out: accuracy 97.3 %  loss 0.0912",
        ),
        (
            evaluate.Report(version=Version(0), metrics={"held_out/frechet_distance": 12.5}),
            "version     0  held out: frechet_distance 12.5000",
        ),
        (evaluate.Report(problem="nothing is measured: no files"), "nothing is measured: no files"),
        (
            roll_call.Report(num_workers=0, is_news=True),
            "no worker is here; the run waits for one (`coordinator invite NAME`, then `worker join`)",
        ),
        (roll_call.Report(num_workers=1, is_news=True), "a worker is here"),
        (roll_call.Report(num_workers=12, is_news=True), "12 workers are here"),
        (police.Report(ended=(ARREST,)), "ended a session of mallory: held what the coordinator needs (12 s)"),
        (
            police.Report(ended=(), in_the_way=(STRANGER,)),
            "session 4711 of postgres holds a lock that the coordinator waits for; end its transaction, or: "
            "SELECT pg_terminate_backend(4711);",
        ),
        (raise_server.Report(raised=True), "the embedded PostgreSQL had fallen; it runs again"),
        (DatabaseFull(), "The database's disk is full; free some space, nothing that was accepted is lost."),
        (Recovered(error=DatabaseFull(), seconds=12.3), "that is over after 12 s, the run goes on"),
    ],
)
def test_what_is_news_has_a_line(report: object, line: str) -> None:
    assert said(report) == f"{line}\n"


def test_a_crowded_queue_is_news() -> None:
    assert said(police.Report(ended=(), queue_share=0.25)).startswith(
        "the server's queue of notifications is 25 % full"
    )


@pytest.mark.parametrize(
    "report",
    [evaluate.Report(), raise_server.Report(), roll_call.Report(num_workers=3, is_news=False), police.Report(ended=())],
)
def test_what_is_no_news_has_none(report: object) -> None:
    assert said(report) == ""
