"""One look at a ledger: all that the metrics say, as values."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from contract.ids import Version
from contract.states import RunState
from coordinator.ledger import showing, views

# Whoever asks Prometheus tomorrow finds how a run ended; a ledger of many terms is not told again for ever.
_FINISHED_FOR: Final = datetime.timedelta(hours=1)
_MOST_RUNS: Final = 20
_MOST_PEOPLE: Final = 200
_MOST_NAMES: Final = 64
_OVER: Final = (RunState.FINISHED, RunState.FAILED)
# What is measured more rarely than this is not the state of things.
_VERSIONS_LOOKED_AT: Final = 256


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunReading:
    progress: views.Progress
    is_led: bool
    headcount: showing.Headcount
    fate: showing.Fate
    traffic: showing.Traffic
    timings: Sequence[views.Timing]
    num_stalled: int
    num_suspects: int
    # The newest of each name.
    losses: Sequence[views.Loss]
    # Empty where nobody asked for people.
    places: Sequence[views.Place]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    runs: Sequence[RunReading]
    health: Sequence[views.HealthItem]


def read(conn: Connection, *, per_volunteer: bool = False) -> Readings:
    """Runs that are over are told of for an hour more."""
    now = datetime.datetime.now(datetime.UTC)
    told = [run for run in views.progress(conn) if run.state not in _OVER or _ended_lately(run, now)]
    return Readings(
        runs=[_run(conn, progress, per_volunteer=per_volunteer) for progress in told[-_MOST_RUNS:]],
        health=views.database_health(conn),
    )


def _ended_lately(run: views.Progress, now: datetime.datetime) -> bool:
    return run.finished_at is not None and now - run.finished_at < _FINISHED_FOR


def _run(conn: Connection, progress: views.Progress, *, per_volunteer: bool) -> RunReading:
    run = progress.run
    leading = views.leading(conn, run=run)
    return RunReading(
        progress=progress,
        is_led=leading is not None and leading.is_leading,
        headcount=showing.headcount(conn, run=run),
        fate=showing.fate(conn, run=run),
        traffic=showing.traffic(conn, run=run),
        timings=views.timings(conn, run=run),
        num_stalled=len(views.stalled_units(conn, run=run)),
        num_suspects=len(views.suspects(conn, run=run)),
        losses=_newest_losses(conn, run, progress.head_version),
        places=views.leaderboard(conn, run=run, most=_MOST_PEOPLE) if per_volunteer else (),
    )


def _newest_losses(conn: Connection, run: str, head: Version | None) -> list[views.Loss]:
    """Of the names that the run began with: a volunteer may report others, each of them a time series for ever."""
    names = {loss.name for loss in views.losses(conn, run=run, most=_MOST_NAMES)}
    after = Version(max(-1, (head or 0) - _VERSIONS_LOOKED_AT))
    newest = {loss.name: loss for loss in views.losses(conn, run=run, after=after)}
    return [newest[name] for name in sorted(names & newest.keys())]
