"""A run that begins with another's weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from sqlalchemy import Engine, text

from contract.database import engine_for
from contract.errors import ConfigError, NameTaken, NotFound
from contract.ids import Version
from contract.tensors import split
from contract.workloads import WORKLOADS
from coordinator.forking import Origin, fork
from coordinator.ledger import runs, versions
from coordinator.living_run import LivingRun, create_run, open_run
from tests.integration.classroom import new_run
from tests.servers.databases import Database

OPTIONS = {"image_size": 12, "hidden_features": 4}
MANIFEST = WORKLOADS.build("mlp", OPTIONS).manifest()


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    engine = engine_for(database.url(), application="test")
    yield engine
    engine.dispose()


def run_named(name: str, **changes: object) -> runs.NewRun:
    new = dataclasses.replace(
        new_run(name),
        workload="mlp",
        workload_options=OPTIONS,
        data={"num_samples": 100},
        training={
            "workload_version": WORKLOADS.get("mlp").version,
            "batch_size": 10,
            "batches_per_work_unit": 1,
            "num_epochs": 1,
            "hyperparameters": {},
            "staleness": {},
            "rule": "mean",
            "rule_options": {},
            "num_byzantine": 0,
            "before": [],
            "before_options": {},
            "optimizer": "adam",
            "optimizer_options": {},
            "privacy": None,
            "downlink": "none",
            "downlink_options": {},
        },
    )
    return dataclasses.replace(new, **changes)  # type: ignore[arg-type]


@pytest.fixture
def parent(owner: Engine) -> LivingRun:
    """Versions 0, 1 and 2; the optimizer's memory is that of the newest alone, as prune leaves it."""
    with owner.begin() as conn:
        run = create_run(conn, run_named("parent"))
        living = open_run(conn, name="parent")
        for number in (1, 2):
            for tensor in (*living.state.weights.values(), *living.state.moments.values()):
                tensor.add_(number)
            new = versions.NewVersion(
                number=Version(number),
                parent=Version(number - 1),
                manifest=MANIFEST.to_json(),
                optimizer_step=10 * number,
                parts=[part for _, part in split(living.state.weights_blob, 1000)],
            )
            versions.publish_version(conn, run=run, new=new)
        parts = [part for _, part in split(living.state.optimizer_blob, 1000)]
        versions.add_parts(conn, run=run, version=Version(2), kind="optimizer", parts=parts)
        versions.forget_optimizer(conn, run=run, before=Version(2))
        return open_run(conn, name="parent")


def opened(owner: Engine, name: str) -> LivingRun:
    with owner.connect() as conn:
        return open_run(conn, name=name)


def test_a_fork_of_the_newest_goes_on_where_it_stands(owner: Engine, parent: LivingRun) -> None:
    forked = fork(owner, run_named("child"), Origin.parse("parent"))
    child = opened(owner, "child")
    assert (forked.version, forked.keeps_optimizer, child.head, child.state.step) == (2, True, 0, 20)
    assert child.state.weights_blob == parent.state.weights_blob
    assert child.state.optimizer_blob == parent.state.optimizer_blob


def test_a_fork_of_an_older_version_has_its_weights_and_a_fresh_optimizer(owner: Engine, parent: LivingRun) -> None:
    forked = fork(owner, run_named("child"), Origin.parse("parent@1"))
    child = opened(owner, "child")
    assert (forked.version, forked.keeps_optimizer, child.state.step) == (1, False, 0)
    for name, weights in child.state.weights.items():
        assert torch.equal(weights + 2, parent.state.weights[name])
    assert not any(moment.any() for moment in child.state.moments.values())


def test_a_fresh_optimizer_can_be_asked_for(owner: Engine, parent: LivingRun) -> None:
    assert not fork(owner, run_named("child"), Origin.parse("parent"), fresh_optimizer=True).keeps_optimizer
    assert opened(owner, "child").state.step == 0


def test_another_optimizer_has_no_use_for_the_memory(owner: Engine, parent: LivingRun) -> None:
    training = {**run_named("x").training, "optimizer": "nesterov"}
    assert not fork(owner, run_named("child", training=training), Origin.parse("parent")).keeps_optimizer
    child = opened(owner, "child")
    assert child.state.weights_blob == parent.state.weights_blob
    assert {name.partition("/")[0] for name in child.state.moments} == {"momentum"}


def test_a_private_run_is_no_fork(owner: Engine, parent: LivingRun) -> None:
    privacy = {"clip_norm": 1.0, "noise_multiplier": 2.0, "delta": 1e-5, "epsilon_budget": 8.0}
    training = {**run_named("x").training, "privacy": privacy}
    with pytest.raises(ConfigError, match="a private run begins with weights that no data has touched"):
        fork(owner, run_named("child", training=training), Origin.parse("parent"))


def test_a_fork_remembers_its_parent(owner: Engine, parent: LivingRun) -> None:
    fork(owner, run_named("child"), Origin.parse("parent@1"))
    with owner.connect() as conn:
        found = conn.execute(text("SELECT parent_run_id, parent_version FROM ledger.runs WHERE name = 'child'")).one()
    assert tuple(found) == (parent.run, 1)


def test_a_fork_has_options_of_its_own(owner: Engine, parent: LivingRun) -> None:
    training = {**run_named("x").training, "batch_size": 25}
    fork(owner, run_named("child", training=training, seed=9), Origin.parse("parent"))
    assert opened(owner, "child").cutting.unit_samples == 25


def test_a_default_option_may_be_spelled_out(owner: Engine, parent: LivingRun) -> None:
    spelled_out = dataclasses.asdict(WORKLOADS.build("mlp", OPTIONS))  # type: ignore[call-overload]
    assert fork(owner, run_named("child", workload_options=spelled_out), Origin.parse("parent"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"workload_options": {**OPTIONS, "hidden_features": 5}}, "a fork keeps the model"),
        ({"workload": "cnn", "workload_options": {}}, "run parent trains Mlp.*the configuration says Cnn"),
    ],
)
def test_another_model_is_refused(owner: Engine, parent: LivingRun, changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        fork(owner, run_named("child", **changes), Origin.parse("parent"))


def test_weights_that_mean_something_else_by_now_are_refused(owner: Engine, parent: LivingRun) -> None:
    with owner.begin() as conn:
        conn.exec_driver_sql("""UPDATE ledger.runs SET training = training || '{"workload_version": 99}'""")
    with pytest.raises(ConfigError, match="trains version 99 of mlp"):
        fork(owner, run_named("child"), Origin.parse("parent"))


def test_a_pruned_version_says_which_exist(owner: Engine, parent: LivingRun) -> None:
    with owner.begin() as conn:
        versions.forget_weights(conn, run=parent.run, before=Version(1), spared=[Version(1)], led_from=Version(2))
    with pytest.raises(NotFound, match="version 0 of run parent were pruned; these still exist: 1, 2"):
        fork(owner, run_named("child"), Origin.parse("parent@0"))


def test_a_version_to_come_is_refused(owner: Engine, parent: LivingRun) -> None:
    with pytest.raises(NotFound, match="no version 3 yet; the newest is 2"):
        fork(owner, run_named("child"), Origin.parse("parent@3"))


def test_a_name_that_is_taken_is_refused(owner: Engine, parent: LivingRun) -> None:
    with pytest.raises(NameTaken):
        fork(owner, run_named("parent"), Origin.parse("parent"))


def test_an_origin_without_a_number_is_refused() -> None:
    assert Origin.parse("a.b-c") == Origin(run="a.b-c", version=None)
    with pytest.raises(ValueError, match="neither RUN nor RUN@VERSION"):
        Origin.parse("parent@newest")
