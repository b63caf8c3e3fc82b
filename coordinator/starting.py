"""`coordinator start`: finds the run or makes it, and leads it to its end. A restart is the same command."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from pathlib import Path

import torch
from rich.console import Console
from sqlalchemy import Connection

from contract.config import Config, Section, resolve_path
from contract.database import Notifications
from contract.errors import ConfigError
from contract.sources import SOURCES
from contract.states import RunState
from contract.workloads import WORKLOADS, options_from, require_fit
from coordinator.duties.finish import Finish
from coordinator.duties.merge import Merge
from coordinator.duties.plan import Plan
from coordinator.duties.police import Police
from coordinator.duties.prune import Prune
from coordinator.duties.reap import Reap
from coordinator.leadership import Leadership
from coordinator.ledger import runs
from coordinator.living_run import create_run, open_run
from coordinator.loop import Loop, Turn
from coordinator.migrating import migrate_place
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
            create_run(conn, self._new_run())
            found = runs.read_run(conn, name=self.config.run.name)
        return found

    def _new_run(self) -> runs.NewRun:
        config, training = self.config, self.config.training
        options = options_from(config.model)
        workload = WORKLOADS.build(config.model.name, options)
        source = SOURCES.build(config.data.name, config.data.options)
        path = resolve_path(config.data.path, config_file=self.config_file) if config.data.path else None
        dataset = source.open(
            path=path, split="train", num_samples=config.data.num_samples, seed=config.run.seed, **workload.view
        )
        require_fit(workload, dataset)
        if training.num_workunits_per_update == "auto":
            raise ConfigError(["training.num_workunits_per_update: auto is not understood yet; give a number"])
        return runs.NewRun(
            name=config.run.name,
            mode=training.mode,
            workload=workload.name,
            workload_options=options,
            data={
                "name": source.name,
                "options": dict(config.data.options),
                "num_samples": dataset.num_samples,
                "fingerprint": dataset.fingerprint,
            },
            training={
                "workload_version": workload.version,
                "batch_size": training.batch_size,
                "batches_per_work_unit": training.batches_per_work_unit,
                "num_workunits_per_update": training.num_workunits_per_update,
                "num_epochs": training.num_epochs,
                "gradient_clip_norm": training.gradient_clip_norm,
                "rule": config.aggregation.rule,
                "rule_options": dict(config.aggregation.options),
                "codec": config.compression.codec,
                "codec_options": dict(config.compression.options),
                "hyperparameters": _changed(training, _HYPERPARAMETERS),
            },
            seed=config.run.seed,
            num_gradients_per_update=training.num_workunits_per_update,
            lease_seconds=config.worker.work_unit_timeout,
            heartbeat_seconds=int(config.worker.heartbeat_interval),
            max_lease_seconds=max(3600, 4 * config.worker.work_unit_timeout),
            max_retries=config.worker.max_retries,
            max_leases_per_worker=config.coordinator.max_units_per_worker,
            max_part_bytes=config.coordinator.max_part_megabytes << 20,
            max_gradient_bytes=config.coordinator.max_gradient_megabytes << 20,
        )


_HYPERPARAMETERS = ("learning_rate_g", "learning_rate_d", "beta1", "beta2")


def _changed(section: Section, names: Iterable[str]) -> dict[str, object]:
    """What somebody set to something else than the default, which is a GAN's; each workload has defaults of its own."""
    fields = type(section).model_fields
    values = {name: getattr(section, name) for name in names}
    return {name: value for name, value in values.items() if value != fields[name].default}
