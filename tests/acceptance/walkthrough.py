"""The ledger's own walk-through (`make walkthrough`): two people are invited, claim units, and are refused
what they may not do.

Everything is real: a private PostgreSQL, the instructor's commands, the volunteers' logins. It works in a folder of its
own, which is removed at the end.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine, text

from contract.config import load_config
from contract.database import make_engine
from contract.errors import BarnraiseError
from contract.ids import RunId, Version
from contract.states import RunState
from coordinator.duties.reap import Reap
from coordinator.ledger import gradients, runs, units, versions
from coordinator.place import open_place
from worker import ledger
from worker.invitation import load_invitation
from worker.ledger import Joined, Lease, Submission

_console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="barnraise-demo-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL runs as another user where we are root.
        Path(folder).chmod(0o711)
        os.chdir(folder)
        _say("The instructor sets up, and invites two people.")
        _coordinator("init", "--yes", "--class-size", "2")
        try:
            _coordinator("migrate")
            _coordinator("invite", "alice", "bob")
            _walk()
        finally:
            _coordinator("database", "stop")


def _walk() -> None:
    owner = open_place(load_config(None), None).engine
    run = _open_run(owner)
    alice, bob = _volunteer("alice"), _volunteer("bob")

    _say("Both join, and each claims a unit: never the same one.")
    at_alices, at_bobs = _join(alice, "default"), _join(bob, "default")
    first, second = _claim(alice, at_alices), _claim(bob, at_bobs)
    _console.print(f"  alice has unit {first.unit}, bob has unit {second.unit}")

    _say("Alice submits. A second time counts for nothing, and Bob may not submit hers even with her token.")
    _submit(alice, first)
    _refused("alice submits again", lambda: _submit(alice, first))
    _refused("bob submits alice's unit", lambda: _submit(bob, dataclasses.replace(first, worker=at_bobs.worker)))

    _say("With psql in hand, Bob still cannot reach what is not his.")
    for statement in ("SELECT * FROM ledger.gradients", "UPDATE ledger.work_units SET state = 'merged'"):
        _refused(statement, functools.partial(_execute, bob, statement))

    _say("Bob closes his laptop. His lease runs out, the unit opens again, and Alice takes it over.")
    with owner.begin() as conn:
        conn.execute(text("UPDATE ledger.work_units SET leased_at = now() - interval '2 hours' WHERE state = 'leased'"))
    Reap(engine=owner, run=run).run_once()
    again = _claim(alice, at_alices)
    _console.print(f"  alice has unit {again.unit}, attempt {again.attempt}")
    _refused("bob wakes up and submits", lambda: _submit(bob, second))
    _submit(alice, again)

    _say("Bob is revoked: no session, no login. The instructor looks at what arrived.")
    _coordinator("revoke", "bob")
    _refused("bob joins once more", lambda: _join(bob, "default"))
    _coordinator("roster")
    with owner.connect() as conn:
        waiting = gradients.waiting_gradients(conn, run=run)
    _console.print(f"  {len(waiting)} gradients wait for the merge; none was counted twice, none was lost")
    _console.print("\nThis was the ground; `coordinator start` and `worker join` train a model on it.")


def _open_run(owner: Engine) -> RunId:
    config = load_config(None)
    new = runs.NewRun(
        name=config.run.name, mode="sync", workload="none", workload_options={}, data={}, training={}, seed=0,
        num_gradients_per_update=2,
    )  # fmt: skip
    with owner.begin() as conn:
        run = runs.create_run(conn, new)
        weights = versions.NewVersion(
            number=Version(0), parent=None, manifest="{}", optimizer_step=0, parts=[b"weights"]
        )
        versions.publish_version(conn, run=run, new=weights)
        runs.set_run_state(conn, run=run, state=RunState.RUNNING)
        work = [units.NewUnit(epoch=0, first_sample=320 * n, num_samples=320, seed=n) for n in range(2)]
        units.open_units(conn, run=run, units=work, planned_version=Version(0))
    return run


def _volunteer(name: str) -> Engine:
    config = load_invitation(Path("invitations") / f"{name}.yaml", None)
    return make_engine(config.database, application="worker")


def _join(volunteer: Engine, run: str) -> Joined:
    with volunteer.begin() as conn:
        return ledger.join(conn, run=run, name="laptop", host="demo", device="cpu", capabilities={}, software={})


def _claim(volunteer: Engine, joined: Joined) -> Lease:
    with volunteer.begin() as conn:
        lease = ledger.claim(conn, worker=joined.worker)
    assert lease is not None, "there is a unit for everybody"
    return lease


def _submit(volunteer: Engine, lease: Lease) -> None:
    content = b"a gradient"
    submission = Submission(
        codec="none", num_samples=lease.num_samples, num_parts=1, num_bytes=len(content),
        sha256=hashlib.sha256(content).digest(), losses={"loss": 2.3},
    )  # fmt: skip
    with volunteer.begin() as conn:
        ledger.submit(conn, lease=lease, submission=submission, last_part=content)
    _console.print(f"  unit {lease.unit} is submitted")


def _execute(volunteer: Engine, statement: str) -> None:
    with volunteer.begin() as conn:
        conn.execute(text(statement))


def _refused(what: str, action: Callable[[], object]) -> None:
    try:
        action()
    except BarnraiseError as error:
        _console.print(f"  [red]refused[/]  {what}: [dim]{type(error).__name__}: {str(error).splitlines()[0]}[/]")
    else:
        raise AssertionError(f"{what} was not refused")


def _say(what: str) -> None:
    _console.print(f"\n[bold]{what}[/]")


def _coordinator(*arguments: str) -> None:
    _console.print(f"  [dim]$ coordinator {' '.join(arguments)}[/]")
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", *arguments], capture_output=True, text=True, check=False
    )
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip() and "barnraise1-" not in line:
            _console.print(f"  {line}", markup=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
