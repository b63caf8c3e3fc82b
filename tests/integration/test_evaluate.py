"""Versions are measured on held-out data: the newest, in the background, once, and the last one in any case."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from contract.config import Config
from contract.database import engine_for
from contract.errors import DataError
from contract.ids import Version
from contract.sources import SOURCES
from contract.sources.base import Batch, Dataset
from coordinator.duties.evaluate import Evaluate, Report
from coordinator.housekeeping import Housekeeping
from coordinator.leadership import Leadership
from coordinator.ledger import runs, versions
from coordinator.living_run import LivingRun, create_run, open_run
from coordinator.new_run import new_run
from coordinator.place import Place
from tests.servers.databases import Database

METRICS = text("SELECT version, name FROM ledger.metrics WHERE name LIKE 'held_out/%' ORDER BY version, name")
CONFIG_SECTIONS: dict[str, dict[str, object]] = {
    "run": {"name": "class"},
    "model": {"name": "mlp", "options": {"image_size": 8, "hidden_features": 4}},
    "data": {"name": "glyphs", "num_samples": 64},
    "database": {"embedded": False},
}
CONFIG = Config.model_validate(CONFIG_SECTIONS)


@dataclasses.dataclass(slots=True, kw_only=True)
class School:
    engine: Engine
    living: LivingRun
    resting: threading.Event
    stop: threading.Event

    def evaluate(self, *, every: int = 10, largest_share: float = 1.0) -> Evaluate:
        return Evaluate(
            engine=self.engine, living=self.living, open_held_out=self.held_out, every=every, num_samples=200,
            resting=self.resting, stop=self.stop, largest_share=largest_share,
        )  # fmt: skip

    def held_out(self) -> Dataset:
        source = SOURCES.build("glyphs", {})
        return source.open(path=None, split="held_out", num_samples=None, **self.living.workload.view)

    def publish_up_to(self, number: int) -> None:
        with self.engine.begin() as conn:
            for version in range(self.living.head + 1, number + 1):
                new = versions.NewVersion(
                    number=Version(version), parent=self.living.head, manifest="{}", optimizer_step=version,
                    parts=self.living.weights_parts(),
                )  # fmt: skip
                versions.publish_version(conn, run=self.living.run, new=new)
                self.living.head = Version(version)

    def measured(self) -> list[int]:
        with self.engine.begin() as conn:
            return sorted({row.version for row in conn.execute(METRICS)})


@pytest.fixture
def school(database: Database) -> Iterator[School]:
    engine = engine_for(database.url(), application="test")
    with engine.begin() as conn:
        create_run(conn, new_run(CONFIG, config_file=None))
        living = open_run(conn, name="class")
    resting = threading.Event()
    resting.set()
    yield School(engine=engine, living=living, resting=resting, stop=threading.Event())
    engine.dispose()


def test_each_tenth_version_is_measured_once(school: School) -> None:
    evaluate = school.evaluate()
    found = []
    for head in range(25):
        school.publish_up_to(head)
        found += [evaluate.run_once().version, evaluate.run_once().version]
    assert [version for version in found if version is not None] == [0, 10, 20]
    assert school.measured() == [0, 10, 20]


def test_the_metrics_have_clear_names(school: School) -> None:
    report = school.evaluate().run_once()
    assert set(report.metrics) == {"held_out/accuracy", "held_out/loss"}
    with school.engine.begin() as conn:
        assert [row.name for row in conn.execute(METRICS)] == ["held_out/accuracy", "held_out/loss"]


def test_who_is_slow_leaves_versions_out(school: School) -> None:
    evaluate = school.evaluate()
    evaluate.run_once()
    school.publish_up_to(57)
    assert evaluate.run_once().version == 50


def test_where_the_version_that_was_due_is_pruned_the_head_is_measured(school: School) -> None:
    evaluate = school.evaluate()
    evaluate.run_once()
    school.publish_up_to(57)
    with school.engine.begin() as conn:
        versions.forget_weights(
            conn, run=school.living.run, before=Version(53), spared=[Version(57)], led_from=Version(57)
        )
    assert evaluate.run_once().version == 57


def test_the_last_version_is_measured_whatever_its_number(school: School) -> None:
    evaluate = school.evaluate()
    evaluate.run_once()
    school.publish_up_to(7)
    assert evaluate.run_once().version is None
    assert evaluate.finish().version == 7
    assert evaluate.finish().version is None


def test_a_restart_measures_nothing_twice(school: School) -> None:
    school.publish_up_to(10)
    assert school.evaluate().run_once().version == 10
    again = school.evaluate()
    assert (again.run_once().version, again.finish().version) == (None, None)


def test_measuring_takes_its_share_of_a_processor_and_no_more(school: School) -> None:
    evaluate = school.evaluate(largest_share=1e-6)
    assert evaluate.run_once().version == 0
    school.publish_up_to(10)
    assert evaluate.run_once().version is None, "its turn comes days later"
    assert evaluate.finish().version == 10, "but the last version does not wait"


def test_measuring_waits_while_the_coordinator_is_busy(school: School) -> None:
    school.resting.clear()
    opened = threading.Event()
    evaluate = dataclasses.replace(school.evaluate(), open_held_out=lambda: opened.set() or school.held_out())
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(evaluate.run_once)
        assert opened.wait(30)
        assert not measuring.done()
        assert school.measured() == []
        school.resting.set()
        assert measuring.result(timeout=30).version == 0


def test_who_wants_to_stop_does_not_wait_for_it(school: School) -> None:
    school.resting.clear()
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(school.evaluate().run_once)
        school.stop.set()
        assert measuring.result(timeout=30) == Report()
    assert school.measured() == []


def test_data_that_cannot_be_had_is_told_once(school: School) -> None:
    def no_data() -> Dataset:
        raise DataError("mnist", "there is no t10k-images", "fetch it")

    evaluate = dataclasses.replace(school.evaluate(), open_held_out=no_data)
    told = [evaluate.run_once().problem, evaluate.run_once().problem, evaluate.finish().problem]
    assert (
        told
        == ["nothing is measured on held-out data: data source mnist: there is no t10k-images; fetch it"] + [None] * 2
    )


@dataclasses.dataclass
class DamagedOnce:
    """Held-out pictures of which one cannot be read at the first try."""

    whole: Dataset
    is_damaged: bool = True

    @property
    def num_samples(self) -> int:
        return self.whole.num_samples

    def batch(self, indices: Sequence[int]) -> Batch:
        was_damaged, self.is_damaged = self.is_damaged, False
        if was_damaged:
            raise OSError("a picture is damaged")
        return self.whole.batch(indices)


def test_a_version_that_cannot_be_measured_does_not_end_the_measuring(school: School) -> None:
    damaged = DamagedOnce(school.held_out())
    evaluate = dataclasses.replace(school.evaluate(), open_held_out=lambda: damaged)
    assert evaluate.run_once().problem == "version 0 could not be measured on held-out data: a picture is damaged"
    assert evaluate.run_once() == Report(), "the same version would fail again"
    school.publish_up_to(10)
    assert evaluate.run_once().version == 10


def housekeeping(school: School, **settings: int) -> Housekeeping:
    config = Config.model_validate({**CONFIG_SECTIONS, "coordinator": settings})
    with school.engine.begin() as conn:
        record = runs.read_run(conn, name="class")
    return Housekeeping(
        config=config, config_file=None, place=Place(engine=school.engine, public={}), record=record,
        living=school.living, leadership=Leadership(engine=school.engine, run=record.run), resting=school.resting,
        stop=school.stop,
    )  # fmt: skip


def test_the_configuration_says_how_often(school: School) -> None:
    school.publish_up_to(7)
    often = housekeeping(school, evaluate_every=3).evaluate()
    assert often is not None
    assert often.run_once().version == 6
    assert housekeeping(school, evaluate_every=0).evaluate() is None


def test_the_configuration_says_on_how_many_samples(school: School) -> None:
    evaluate = housekeeping(school, evaluate_samples=7).evaluate()
    assert evaluate is not None
    sevenths = evaluate.run_once().metrics["held_out/accuracy"] * 7
    assert sevenths == pytest.approx(round(sevenths))
    assert evaluate.open_held_out().num_samples == 10_000


@pytest.mark.parametrize(("keep", "num_left"), [(100, 100), (0, 500)])
def test_the_configuration_says_how_many_events_are_kept(school: School, keep: int, num_left: int) -> None:
    with school.engine.begin() as conn:
        conn.execute(text("INSERT INTO ledger.events (subject) SELECT 'unit' FROM generate_series(1, 500)"))
    for turn in housekeeping(school, keep_events=keep).turns():
        turn.duty.run_once()
    with school.engine.begin() as conn:
        counted = conn.execute(text("SELECT count(*) FROM ledger.events WHERE subject = 'unit'"))
        assert counted.scalar_one() == num_left
