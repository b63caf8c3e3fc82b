"""`coordinator start`: finds the run or makes it, and leads it to its end. A restart is the same command."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import torch
from rich.console import Console
from sqlalchemy import Connection

from contract.config import Config
from contract.database import Notifications
from contract.states import RunState
from coordinator.duties.finish import Finish
from coordinator.duties.merge import Merge
from coordinator.duties.plan import Plan
from coordinator.duties.police import Police
from coordinator.duties.prune import Prune
from coordinator.duties.reap import Reap
from coordinator.duties.remember import Remember
from coordinator.leadership import Leadership
from coordinator.ledger import runs
from coordinator.living_run import create_run, open_run
from coordinator.loop import Loop, Turn
from coordinator.migrating import migrate_place
from coordinator.new_run import new_run
from coordinator.place import Place
from coordinator.reporting import Lines


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    config: Config
    config_file: Path | None
    place: Place
    console: Console
    stop: threading.Event

    def run(self) -> None:
        # A step is short: a second thread gains nothing, and takes its processor from a worker beside us.
        torch.set_num_threads(1)
        migrate_place(self.place)
        engine, config = self.place.engine, self.config
        with engine.begin() as conn:
            record = self._find_or_create(conn)
            leadership = Leadership(engine=engine, run=record.run)
            if record.state is not RunState.RUNNING:
                runs.set_run_state(conn, run=record.run, state=RunState.RUNNING)
        while not leadership.hold() and not self.stop.is_set():
            self.console.print("another coordinator leads this run; this one stands by")
            self.stop.wait(5)
        with engine.begin() as conn:
            living = open_run(conn, name=config.run.name)
        self.console.print(
            f"run [bold]{config.run.name}[/] ({living.mode}, {living.workload.name}) goes on at version {living.head}"
        )
        plan = Plan(engine=engine, living=living, spare_units=config.training.spare_units)
        finish = Finish(engine=engine, living=living)
        lines = Lines(console=self.console)
        Loop(
            leadership=leadership,
            turns=[
                Turn(duty=Merge(engine=engine, living=living, leadership=leadership), every_seconds=0.5, on_hint=True),
                Turn(duty=plan, every_seconds=0.5, on_hint=True),
                Turn(duty=Remember(engine=engine, living=living, leadership=leadership), every_seconds=0.5),
                Turn(duty=Reap(engine=engine, run=living.run), every_seconds=1.0),
                Turn(
                    duty=Prune(
                        engine=engine, living=living, keep_versions=config.coordinator.keep_versions,
                        keep_gradient_blobs=config.coordinator.keep_gradient_blobs,
                    ),
                    every_seconds=5.0,
                ),
                Turn(
                    duty=Police(
                        engine=engine, transaction_seconds=config.coordinator.volunteer_transaction_seconds,
                        idle_seconds=config.coordinator.volunteer_idle_transaction_seconds,
                    ),
                    every_seconds=5.0,
                ),
                Turn(duty=finish, every_seconds=1.0, on_hint=True),
            ],
            notifications=Notifications(engine, pooler=config.database.pooler),
            stop=self.stop,
            report=lines.report,
            is_over=lambda: lines.finished,
            on_new_term=living.mark_stale,
        ).run()  # fmt: skip
        leadership.give_up()

    def _find_or_create(self, conn: Connection) -> runs.RunRecord:
        found = runs.find_run(conn, name=self.config.run.name)
        if found is None:
            create_run(conn, new_run(self.config, config_file=self.config_file))
            found = runs.read_run(conn, name=self.config.run.name)
        return found
