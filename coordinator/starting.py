"""`coordinator start`: finds the run or makes it, and leads it to its end. A restart is the same command."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from pathlib import Path

import torch
from rich.console import Console

from contract.config import Config
from contract.database import Notifications
from contract.errors import DatabaseError, HubAway, NameTaken
from contract.states import RunState
from contract.traces import open_traces
from coordinator.duties.finish import EVERY_EPOCH, Finish
from coordinator.duties.keyframe import Keyframe
from coordinator.duties.merge import Merge
from coordinator.duties.plan import Plan
from coordinator.duties.prune import Prune
from coordinator.duties.reap import Reap
from coordinator.duties.remember import Remember
from coordinator.duties.resize import Resize
from coordinator.greeting import Greeting, address_of
from coordinator.housekeeping import Housekeeping, repository_of
from coordinator.hub.beginning import HubOrigin
from coordinator.leadership import Leadership
from coordinator.ledger import overview, people, runs
from coordinator.living_run import LivingRun, create_run, open_run
from coordinator.loop import Loop, Turn
from coordinator.migrating import migrate_place
from coordinator.new_run import differences, new_run
from coordinator.place import Place
from coordinator.screen import View
from coordinator.waits import limit_waits

_LOOKS_EVERY_SECONDS = 1.0
_PUSH_PATIENCE_SECONDS = 120.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`epochs` gives a run that exists more of them; a new one takes its own from the configuration. `origin` is where
    a new run has its first weights from.

    `options` is what of the command line names this run, for commands that are told to be typed; `overrides` are all
    that were given, for the dashboard's process.
    """

    config: Config
    config_file: Path | None
    place: Place
    console: Console
    view: View
    stop: threading.Event
    epochs: int | None = None
    origin: HubOrigin | None = None
    options: str = ""
    overrides: tuple[str, ...] = ()

    def run(self) -> None:
        # A step is short: a second thread gains nothing, and takes its processor from a worker beside us.
        torch.set_num_threads(1)
        self._check_the_hub()
        migrate_place(self.place)
        record = self._find_or_create()
        if record.state is RunState.FINISHED and not self._asks_for_more(record):
            self._say_finished(record)
            return
        leadership = Leadership(engine=self.place.engine, run=record.run)
        if self._is_elected(leadership):
            try:
                self._lead(leadership, record)
            finally:
                # Where the database is away, the lease ends by itself.
                with contextlib.suppress(DatabaseError):
                    leadership.give_up()
        self._say_goodbye(leadership)

    def _check_the_hub(self) -> None:
        """What is wrong with token or repository is said now, not after an hour of training."""
        if not self.config.huggingface.enabled:
            return
        try:
            repository_of(self.config).open_for_writing()
        except HubAway as error:
            self.console.print(f"{error}; the training begins all the same, and pushes are tried again", style="yellow")

    def _find_or_create(self) -> runs.RunRecord:
        name = self.config.run.name
        with self.place.engine.connect() as conn:
            found = runs.find_run(conn, name=name)
        if found is None:
            new = new_run(self.config, config_file=self.config_file)
            state = None if self.origin is None else self.origin.state(new)
            # Another coordinator may have made it in between: then this one stands by.
            with contextlib.suppress(NameTaken), self.place.engine.begin() as conn:
                create_run(conn, new, state)
        else:
            if self.origin is not None:
                self.console.print(f"run {name} exists and goes on from where it stands; --from makes new ones only",
                                   style="yellow", markup=False)  # fmt: skip
            for difference in differences(self.config, found, asks_for_more=self._asks_for_more(found)):
                self.console.print(f"the run keeps what it was made with: {difference}", style="yellow", markup=False)
        with self.place.engine.connect() as conn:
            return runs.read_run(conn, name=name)

    def _asks_for_more(self, record: runs.RunRecord) -> bool:
        return self.epochs is not None and self.epochs > record.training["num_epochs"]

    def _is_elected(self, leadership: Leadership) -> bool:
        """False where this process was told to end, or the run ended, while another coordinator led it."""
        stands_by = False
        while not self.stop.is_set():
            try:
                leads = leadership.hold()
            except DatabaseError as error:
                if not stands_by:
                    raise
                self.console.print(str(error).splitlines()[0], style="red", markup=False)
                leads = False
            if leads or (stands_by and leadership.is_over):
                return leads and not leadership.is_asked_to_stop
            if not stands_by:
                stands_by = True
                self.console.print(
                    "another coordinator leads this run; this one stands by and takes over when that one ends "
                    "(Ctrl-C ends this one alone)"
                )
            self.stop.wait(_LOOKS_EVERY_SECONDS)
        return False

    def _lead(self, leadership: Leadership, record: runs.RunRecord) -> None:
        living = self._open(leadership)
        if living is None:
            return
        self._greet()
        engine, config = self.place.engine, self.config
        limit_waits(engine)
        lines = self.view
        traces = open_traces(
            process="coordinator", run=record.run, run_name=record.name, run_created_at=record.created_at,
            say=lines.report,
        )  # fmt: skip
        plan = Plan(engine=engine, living=living, leadership=leadership, spare_units=config.training.spare_units)
        merge = Merge(
            engine=engine, living=living, leadership=leadership, deadline_seconds=config.training.round_deadline,
            traces=traces,
        )  # fmt: skip
        remember = Remember(engine=engine, living=living, leadership=leadership)
        keyframe = Keyframe(
            engine=engine, living=living, leadership=leadership, interval=config.compression.keyframe_interval
        )
        resize = Resize(engine=engine, living=living, leadership=leadership)
        finish = Finish(engine=engine, living=living, leadership=leadership)
        resting = threading.Event()
        housekeeping = Housekeeping(
            config=config, config_file=self.config_file, place=self.place, record=record, living=living,
            leadership=leadership, resting=resting, stop=self.stop, overrides=self.overrides,
        )  # fmt: skip
        evaluate, samples, push = housekeeping.evaluate(), housekeeping.samples(), housekeeping.push()
        page = housekeeping.page()
        loop = Loop(
            leadership=leadership,
            turns=[
                Turn(duty=merge, every_seconds=0.5, on_hint=True, rests=True),
                Turn(duty=resize, every_seconds=0.5, on_hint=True, rests=True),
                Turn(duty=plan, every_seconds=0.5, on_hint=True, rests=True),
                # Before `finish`, which a hint may bring to its turn at once.
                Turn(duty=remember, every_seconds=0.5, on_hint=True),
                Turn(duty=keyframe, every_seconds=0.5, on_hint=True),
                Turn(duty=Reap(engine=engine, run=living.run), every_seconds=1.0),
                Turn(
                    duty=Prune(
                        engine=engine, living=living, keep_versions=config.coordinator.keep_versions,
                        keep_gradient_blobs=config.coordinator.keep_gradient_blobs,
                        keep_deltas=config.compression.keyframe_interval,
                    ),
                    every_seconds=5.0,
                ),
                Turn(duty=finish, every_seconds=1.0, on_hint=True, rests=True),
                *housekeeping.turns(),
            ],
            beside=housekeeping.beside(evaluate, samples, push, page),
            resting=resting,
            notifications=Notifications(engine, pooler=config.database.pooler),
            stop=self.stop,
            report=lines.report,
            is_over=lambda: lines.finished or leadership.is_over,
            on_new_term=living.mark_stale,
        )  # fmt: skip
        try:
            loop.run()
        finally:
            if page is not None:
                page.end()
        if lines.finished:
            # The last version is measured, looked at and shown whatever its number.
            for finish_looking in (
                evaluate and evaluate.finish,
                samples and samples.finish,
                push and functools.partial(push.finish, patience_seconds=_PUSH_PATIENCE_SECONDS),
            ):
                if finish_looking:
                    lines.report(finish_looking())
        traces.close()
        lines.close()

    def _open(self, leadership: Leadership) -> LivingRun | None:
        """The run as its leader finds it, set going; None where it ended before this coordinator's turn came."""
        with self.place.engine.begin() as conn:
            leadership.require(conn)
            record = runs.read_run(conn, name=self.config.run.name)
            if self._asks_for_more(record):
                assert self.epochs is not None
                runs.extend(conn, run=record.run, num_epochs=self.epochs)
                reason = f"given more epochs: {self.epochs} in all"
            elif record.state is RunState.FINISHED:
                return None
            else:
                reason = "led by coordinator start"
            # A run that is paused stays so: somebody paused it for a reason.
            if record.state not in (RunState.RUNNING, RunState.PAUSED):
                runs.set_run_state(conn, run=record.run, state=RunState.RUNNING, reason=reason)
            leadership.state = runs.standing(conn, run=record.run).state
        with self.place.engine.begin() as conn:
            return open_run(conn, name=record.name)

    def _greet(self) -> None:
        with self.place.engine.connect() as conn:
            greeting = Greeting(
                line=overview.overview(conn, name=self.config.run.name)[0],
                roster=people.roster(conn),
                address=address_of(self.place.public),
                options=self.options,
            )
        for line in greeting.lines():
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self.console.print("Ctrl-C ends this coordinator; the same command goes on from there", style="dim")

    def _say_finished(self, record: runs.RunRecord) -> None:
        option = self.options
        epochs = record.training["num_epochs"]
        passed = "1 epoch" if epochs == 1 else f"{epochs} epochs"
        longer = [("train it longer", f"coordinator start{option} --epochs {2 * epochs}")]
        if not (record.state_reason or "").startswith(EVERY_EPOCH):
            passed, longer = f"less than {passed}, because {record.state_reason}", []
        self.console.print(
            f"run {record.name} is finished: version {record.head_version} after {passed}. Next:", markup=False
        )
        for what, command in (
            *longer,
            ("begin another from its weights", f"coordinator fork{option} --from {record.name} --name NEW"),
            ("begin afresh", f"coordinator start{option} --set run.name=NEW"),
        ):
            self.console.print(f"  {what + ':':32}{command}", markup=False, highlight=False, soft_wrap=True)

    def _say_goodbye(self, leadership: Leadership) -> None:
        try:
            with self.place.engine.connect() as conn:
                record = runs.read_run(conn, name=self.config.run.name)
        except DatabaseError:
            return
        if record.state is RunState.FINISHED:
            self._say_finished(record)
            return
        why = "asked by `coordinator stop`" if leadership.is_asked_to_stop else "stopped"
        self.console.print(
            f"{why}; run {record.name} is {record.state} at version {record.head_version}, and "
            f"`coordinator start{self.options}` goes on from there", markup=False, soft_wrap=True,
        )  # fmt: skip
