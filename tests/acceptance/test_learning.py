"""A class learns what one computer would: the same number of updates, judged on samples that nobody learnt from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.config import Config
from contract.tensors import unpack
from contract.workloads.base import OpenModel
from coordinator.ledger import runs
from coordinator.mathematics import Mathematics
from coordinator.new_run import new_run, open_dataset, open_workload
from coordinator.solo import schooling_of
from coordinator.training_local import LocalRun
from coordinator.weights import read_weights
from tests.acceptance.stage import RUN, Stage, open_stage
from tests.servers.databases import Database

pytestmark = pytest.mark.timeout(600)

SMALL_TRANSFORMER = {"features": 64, "hidden_features": 128, "num_layers": 1, "context": 64, "warmup_updates": 5}
SMALL_DCGAN = {"generator_features": 16, "discriminator_features": 16}
Sections = Mapping[str, Mapping[str, object]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """An epoch that is as long as the updates take; what of the held-out samples is looked at."""

    model: Mapping[str, object]
    data: str
    learning_rate: float | None = None
    learning_rate_d: float | None = None
    batch_size: int
    batches_per_unit: int = 1
    units_per_update: int = 2
    num_updates: int
    num_judged: int

    def sections(self, mode: str) -> dict[str, dict[str, object]]:
        unit_samples = self.batch_size * self.batches_per_unit
        rates = {"learning_rate_g": self.learning_rate, "learning_rate_d": self.learning_rate_d}
        return {
            "run": {"seed": 11},
            "model": dict(self.model),
            "data": {"name": self.data, "num_samples": self.num_updates * self.units_per_update * unit_samples},
            "training": {
                "mode": mode,
                "batch_size": self.batch_size,
                "batches_per_work_unit": self.batches_per_unit,
                "num_workunits_per_update": self.units_per_update,
                "num_epochs": 1,
                **{name: rate for name, rate in rates.items() if rate is not None},
            },
            "worker": {"heartbeat_interval": 2, "work_unit_timeout": 30, "poll_interval": 0.5},
        }


DIGITS = Lesson(
    model={"name": "mlp"}, data="glyphs", batch_size=64, batches_per_unit=2, num_updates=150, num_judged=2000
)
LIBRARY = Lesson(
    model={"name": "small_transformer", "options": SMALL_TRANSFORMER},
    data="stdlib",
    learning_rate=0.005,
    batch_size=16,
    num_updates=60,
    num_judged=128,
)
FONT = Lesson(
    model={"name": "dcgan", "image_size": 32, "options": SMALL_DCGAN},
    data="glyphs",
    learning_rate=0.001,
    learning_rate_d=0.0004,
    batch_size=16,
    num_updates=150,
    num_judged=256,
)
# In `local` as many samples as in DIGITS are learnt from with a tenth of the exchanges.
DIGITS_BY_THEMSELVES = dataclasses.replace(DIGITS, batches_per_unit=20, num_updates=15)
# `async` steps on what was computed a version or so ago (docs/explanation/staleness.md): larger updates of smaller
# units, so that less lies between, shorter steps, and more of them.
DIGITS_PATIENTLY = dataclasses.replace(
    DIGITS, batch_size=32, batches_per_unit=1, units_per_update=6, num_updates=500, learning_rate=0.001
)
LIBRARY_PATIENTLY = dataclasses.replace(LIBRARY, batch_size=4, units_per_update=8, num_updates=300, learning_rate=0.001)
FONT_PATIENTLY = dataclasses.replace(FONT, batch_size=8, units_per_update=4, num_updates=200)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class School:
    folder: Path
    database: Database

    def class_of(self, lesson: Lesson, mode: str) -> tuple[dict[str, float], int]:
        """What the model of two workers and a coordinator is worth at the end of the run, and after how many updates:
        in `async` one takes all that waits, so there may be fewer."""
        with open_stage(self.folder, self.database, lesson.sections(mode)) as stage:
            stage.assemble()
            stage.finish(num_updates=None if mode == "async" else lesson.num_updates, within_seconds=3000)
            num_updates = stage.head()
            model = model_at_the_head(stage, Config.model_validate(lesson.sections(mode)))
        return self.judge(lesson, model), num_updates

    def alone(self, lesson: Lesson, num_updates: int) -> dict[str, float]:
        """What it is worth after so many updates in this process."""
        config = Config.model_validate(lesson.sections("sync"))
        workload, new = open_workload(config), new_run(config, config_file=None)
        schooling = schooling_of(new, workload, endless=True)
        dataset = open_dataset(config, workload, config_file=None, num_samples=new.data["num_samples"])
        run = LocalRun(workload, dataset, schooling)
        for _ in run.updates(num_updates):
            pass
        return self.judge(lesson, run.model)

    def judge(self, lesson: Lesson, model: OpenModel) -> dict[str, float]:
        config = Config.model_validate(lesson.sections("sync"))
        held_out = open_dataset(config, open_workload(config), config_file=None, split="held_out")
        return model.evaluate(held_out, max_samples=lesson.num_judged)


def model_at_the_head(stage: Stage, config: Config) -> OpenModel:
    workload = open_workload(config)
    with stage.owner.connect() as conn:
        record = runs.read_run(conn, name=RUN)
        how = Mathematics.of(workload, record.training, seed=record.seed)
        content = read_weights(conn, run=record.run, version=record.head_version, how=how)
    assert content is not None
    model = workload.open_model()
    model.load(unpack(content, workload.manifest(), max_bytes=len(content)))
    return model


@pytest.fixture
def school(tmp_path: Path, database: Database) -> School:
    return School(folder=tmp_path, database=database)


def in_each_mode(sync: Lesson, patiently: Lesson, *, async_marks: Sequence[pytest.MarkDecorator] = ()) -> Any:
    return pytest.mark.parametrize(
        ("mode", "lesson"),
        [pytest.param("sync", sync, id="sync"), pytest.param("async", patiently, id="async", marks=async_marks)],
    )


# What `async` costs is seen with the digits; the others take a minute each.
AT_NIGHT = [pytest.mark.nightly]


@in_each_mode(DIGITS, DIGITS_PATIENTLY)
def test_a_class_tells_the_digits_apart(school: School, mode: str, lesson: Lesson) -> None:
    found, num_updates = school.class_of(lesson, mode)
    alone = school.alone(lesson, num_updates)
    assert found["accuracy"] >= 0.97
    assert abs(found["accuracy"] - alone["accuracy"]) <= 0.005


def test_a_class_tells_the_digits_apart_by_local_steps(school: School) -> None:
    found, num_updates = school.class_of(DIGITS_BY_THEMSELVES, "local")
    assert found["accuracy"] >= 0.97
    assert 10 * num_updates == DIGITS.num_updates


@in_each_mode(LIBRARY, LIBRARY_PATIENTLY, async_marks=AT_NIGHT)
def test_a_class_reads_the_library(school: School, mode: str, lesson: Lesson) -> None:
    found, num_updates = school.class_of(lesson, mode)
    assert found["loss"] <= 1.01 * school.alone(lesson, fresh_updates(mode, num_updates))["loss"]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@in_each_mode(LIBRARY, LIBRARY_PATIENTLY)
def test_a_class_reads_the_library_with_the_model_as_it_comes(school: School, mode: str, lesson: Lesson) -> None:
    whole = dataclasses.replace(lesson, model={"name": "small_transformer"}, learning_rate=None)
    found, num_updates = school.class_of(whole, mode)
    assert found["loss"] <= 1.01 * school.alone(whole, fresh_updates(mode, num_updates))["loss"]


def fresh_updates(mode: str, num_updates: int) -> int:
    """How many of one computer's are worth as much: staleness costs text about every third update, more under load."""
    return num_updates if mode == "sync" else num_updates // 2


@in_each_mode(FONT, FONT_PATIENTLY, async_marks=AT_NIGHT)
def test_a_class_draws_more_like_the_font(school: School, mode: str, lesson: Lesson) -> None:
    found, _ = school.class_of(lesson, mode)
    assert found["frechet_distance"] < school.alone(lesson, 0)["frechet_distance"] / 2
