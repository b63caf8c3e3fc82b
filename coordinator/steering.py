"""`coordinator pause | resume | stop`: what one terminal asks of the coordinator in another, by way of the ledger."""

from __future__ import annotations

import threading
import time

from sqlalchemy import Engine

from contract.errors import IllegalTransition
from contract.states import RunState
from coordinator.ledger import runs

_LOOKS_EVERY_SECONDS = 0.2


def pause(engine: Engine, name: str) -> str:
    with engine.begin() as conn:
        record = runs.read_run(conn, name=name)
        if runs.pause(conn, run=record.run, reason="paused by the instructor"):
            return (
                f"run {name} is paused: no unit is handed out and nothing is merged. What is being computed may still "
                "be handed in, and is used when the run goes on"
            )
    if record.state is RunState.PAUSED:
        return f"run {name} is paused already"
    raise IllegalTransition(f"run {name} is {record.state}; only a run that is running can be paused")


def resume(engine: Engine, name: str) -> str:
    with engine.begin() as conn:
        record = runs.read_run(conn, name=name)
        done = runs.resume(conn, run=record.run, reason="resumed by the instructor")
        leads = runs.leader_host(conn, run=record.run)
    if not done and record.state is not RunState.RUNNING:
        raise IllegalTransition(f"run {name} is {record.state}; only a run that is paused can be resumed")
    said = f"run {name} goes on" if done else f"run {name} is running already"
    return said if leads else f"{said}, but no coordinator leads it; `coordinator start` does"


def stop(engine: Engine, name: str, *, patience_seconds: float) -> str:
    """Waits until the coordinators have ended; they finish the turn under way first, which may be a merge."""
    with engine.begin() as conn:
        record = runs.read_run(conn, name=name)
        host = runs.leader_host(conn, run=record.run)
        runs.ask_to_stop(conn, run=record.run)
    if host is None:
        return f"no coordinator leads run {name}; it is {record.state} at version {record.head_version}"
    deadline = time.monotonic() + patience_seconds
    pause_between = threading.Event()
    while time.monotonic() < deadline:
        with engine.connect() as conn:
            if runs.leader_host(conn, run=record.run) is None:
                now = runs.read_run(conn, name=name)
                return (
                    f"the coordinator on {host} has ended; run {name} is {now.state} at version {now.head_version}. "
                    "Workers wait; `coordinator start` goes on from there"
                )
        pause_between.wait(_LOOKS_EVERY_SECONDS)
    return f"the coordinator on {host} is asked to end, and will after its present turn"
