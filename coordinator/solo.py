"""`coordinator train-local`: the run of a configuration in one process, told line by line, measured and kept."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

from rich.console import Console

from contract.compressors.ladder import codecs_of
from contract.config import Config
from contract.deltas import DeltaForm
from contract.errors import BarnraiseError, BudgetSpent, DataError
from contract.tensors import pack
from contract.workloads.base import Workload
from coordinator.ledger.runs import NewRun
from coordinator.mathematics import Mathematics
from coordinator.new_run import open_dataset, open_workload, run_of
from coordinator.reporting import metric_in_words
from coordinator.training_local import LocalRun, Schooling, Update


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Solo:
    config: Config
    config_file: Path | None
    console: Console
    stop: threading.Event
    updates: int | None = None
    file: Path | None = None
    device: str = "cpu"

    def run(self) -> None:
        workload = open_workload(self.config)
        dataset = open_dataset(
            self.config, workload, config_file=self.config_file, num_samples=self.config.data.num_samples
        )
        schooling = schooling_of(run_of(self.config, workload, dataset), workload, endless=self.updates is not None)
        local = LocalRun(workload, dataset, schooling, device=self.device)
        num_updates = self.updates or local.num_updates
        self._say(f"{workload.name} learns from {dataset.description}: {num_updates} updates, in this process alone")
        while local.state.step < num_updates and not self.stop.is_set():
            began = time.monotonic()
            try:
                update = local.update()
            except BudgetSpent as spent:
                self._say(str(spent))
                break
            self._report(update, time.monotonic() - began)
        if self.file is not None:
            self._save(local, self.file)
        if local.account is not None:
            self._say(f"privacy: epsilon {local.account.epsilon:.3f} at delta {self.config.privacy.delta:g}")
        self._evaluate(local, workload)

    def _report(self, update: Update, seconds: float) -> None:
        losses = "  ".join(f"{name} {value:.4f}" for name, value in update.losses.items())
        self._say(f"update {update.step:>5}  {update.num_samples / seconds:8.1f} samples/s  {losses}")
        for verdict in update.refused:
            self._say(f"a gradient was refused: {verdict}")

    def _save(self, local: LocalRun, file: Path) -> None:
        draft = file.with_name(f".{file.name}.new")
        try:
            draft.write_bytes(pack(local.state.weights))
            draft.replace(file)
        except OSError as error:
            raise BarnraiseError(f"{file} cannot be written: {error.strerror}") from error
        self._say(f"saved the weights after update {local.state.step} to {file}")

    def _evaluate(self, local: LocalRun, workload: Workload) -> None:
        try:
            held_out = open_dataset(self.config, workload, config_file=self.config_file, split="held_out")
        except DataError as error:
            self._say(f"nothing is held out to measure by: {error}")
            return
        metrics = local.model.evaluate(held_out, max_samples=self.config.coordinator.evaluate_samples)
        said = "  ".join(metric_in_words(name, value) for name, value in metrics.items())
        self._say(f"held out, after update {local.state.step}:  {said}")

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def schooling_of(new: NewRun, workload: Workload, *, endless: bool) -> Schooling:
    training = new.training
    how = Mathematics.of(workload, training, seed=new.seed)
    return Schooling(
        mode=new.mode,
        seed=new.seed,
        batch_size=training["batch_size"],
        batches_per_unit=training["batches_per_work_unit"],
        units_per_update=new.num_gradients_per_update,
        num_epochs=None if endless else training["num_epochs"],
        gradient_clip_norm=training["gradient_clip_norm"],
        privacy=how.privacy,
        hyperparameters=how.hyperparameters,
        recipe=how.recipe,
        optimizer=how.optimizer,
        # There is no line that could be slow.
        codec=codecs_of(training)[0],
        deltas=DeltaForm.of(workload, training["downlink"], training["downlink_options"]),
        feedback_decay=training["feedback_decay"],
        feedback_max_age=training["feedback_max_age"],
    )
