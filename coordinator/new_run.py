"""What a configuration describes: a workload, its data, and the run that would be made of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from contract.compressors import CODECS
from contract.compressors.ladder import AUTO
from contract.config import Config, Section, Training, export_token, find_config_file, resolve_path
from contract.deltas import DeltaForm
from contract.errors import ConfigError
from contract.sources import SOURCES
from contract.sources.base import Dataset, Split
from contract.workloads import WORKLOADS, options_from, require_fit
from contract.workloads.base import Workload
from coordinator.fitting import aggregation_of, least_gradients
from coordinator.ladder import settled_codec
from coordinator.ledger.runs import NewRun, RunRecord
from coordinator.momentum import bears_delay, require_steady
from coordinator.private_runs import require_private, settings_of
from coordinator.staleness import Policy

_HYPERPARAMETERS = ("learning_rate_g", "learning_rate_d", "beta1", "beta2")


def open_workload(config: Config) -> Workload:
    return WORKLOADS.build(config.model.name, options_from(config.model))


def open_dataset(
    config: Config,
    workload: Workload,
    *,
    config_file: Path | None,
    split: Split = "train",
    num_samples: int | None = None,
) -> Dataset:
    """As the workload wants to see it; refused where the two do not fit."""
    export_token(config)
    source = SOURCES.build(config.data.name, config.data.options)
    file = find_config_file(config_file)
    path = resolve_path(config.data.path, config_file=file) if config.data.path else None
    dataset = source.open(path=path, split=split, num_samples=num_samples, seed=config.run.seed, **workload.view)
    require_fit(workload, dataset)
    return dataset


def new_run(config: Config, *, config_file: Path | None) -> NewRun:
    workload = open_workload(config)
    dataset = open_dataset(config, workload, config_file=config_file, num_samples=config.data.num_samples)
    return run_of(config, workload, dataset)


def require_sound(config: Config) -> None:
    """ConfigError where no run can be made of it, whatever the data are."""
    _training(config, open_workload(config))


def differences(config: Config, record: RunRecord, *, asks_for_more: bool) -> list[str]:
    """What the configuration says otherwise than a run that exists: the run's own holds, and its owner should know."""
    workload = WORKLOADS.build(record.workload, record.workload_options)
    asked = {
        "model.name": (record.workload, config.model.name),
        "data.name": (record.data["name"], config.data.name),
        "data.options": (record.data["options"], dict(config.data.options)),
        "data.num_samples": (record.data["num_samples"], config.data.num_samples or record.data["num_samples"]),
        "run.seed": (record.seed, config.run.seed),
        "training.mode": (record.mode, config.training.mode),
        **{
            name: (record.training[name], value)
            for name, value in _training(config, workload).items()
            if name != "num_epochs"
        },
    }
    if config.model.name == record.workload:
        asked["model"] = (str(workload), str(open_workload(config)))
    different = [f"{name} {its}, not {ours}" for name, (its, ours) in asked.items() if its != ours]
    epochs, asked_for = record.training["num_epochs"], config.training.num_epochs
    if epochs != asked_for and not asks_for_more:
        advice = f" (--epochs {asked_for} gives it more)" if asked_for > epochs else ""
        different.append(f"num_epochs {epochs}, not {asked_for}{advice}")
    return different


def run_of(config: Config, workload: Workload, dataset: Dataset) -> NewRun:
    require_private(config, workload, dataset)
    training = config.training
    per_update = training.num_workunits_per_update
    return NewRun(
        name=config.run.name,
        mode=training.mode,
        workload=workload.name,
        workload_options=options_from(config.model),
        data={
            "name": config.data.name,
            "options": dict(config.data.options),
            "num_samples": dataset.num_samples,
            "fingerprint": dataset.fingerprint,
        },
        training=_training(config, workload),
        seed=config.run.seed,
        # Of one worker, until the first round knows how many are here.
        num_gradients_per_update=least_gradients(config) if per_update == "auto" else per_update,
        lease_seconds=config.worker.work_unit_timeout,
        heartbeat_seconds=int(config.worker.heartbeat_interval),
        max_lease_seconds=_max_lease_seconds(config),
        max_retries=config.worker.max_retries,
        max_leases_per_worker=config.coordinator.max_units_per_worker,
        max_part_bytes=config.coordinator.max_part_megabytes << 20,
        max_gradient_bytes=config.coordinator.max_gradient_megabytes << 20,
    )


def _training(config: Config, workload: Workload) -> dict[str, object]:
    training, staleness = config.training, config.staleness.model_dump()
    # Refuses an unknown decay before there is a run of it.
    Policy.of(staleness)
    feedback_decay = feedback_decay_of(training.mode, config.compression.feedback_decay)
    require_steady(config, feedback_decay=feedback_decay)
    return {
        "workload_version": workload.version,
        "batch_size": training.batch_size,
        "batches_per_work_unit": training.batches_per_work_unit,
        "num_workunits_per_update": training.num_workunits_per_update,
        "num_epochs": training.num_epochs,
        "gradient_clip_norm": training.gradient_clip_norm,
        **aggregation_of(config),
        **_optimizer(training, config.compression.codec),
        "local_seconds": _local_seconds(config),
        **settled_codec(
            config.compression,
            config.aggregation,
            bears_delay=bears_delay(config, feedback_decay=feedback_decay),
        ),
        **_downlink(config, workload),
        "feedback_decay": feedback_decay,
        "feedback_max_age": config.compression.feedback_max_age,
        "hyperparameters": _changed(training, _HYPERPARAMETERS),
        "staleness": staleness,
        "privacy": settings_of(config),
    }


def _downlink(config: Config, workload: Workload) -> dict[str, object]:
    name, options = config.compression.downlink, dict(config.compression.downlink_options)
    try:
        DeltaForm.of(workload, name, options)
    except ConfigError as error:
        raise ConfigError([f"compression.downlink: {problem}" for problem in error.problems]) from error
    return {"downlink": name, "downlink_options": options}


def feedback_decay_of(mode: str, given: float | None = None) -> float:
    """A gradient that was left out is as good later as now; what local steps came to is old after a few rounds."""
    if given is not None:
        return given
    return 0.95 if mode == "local" else 1.0


def _max_lease_seconds(config: Config) -> int:
    return max(3600, 4 * config.worker.work_unit_timeout)


def optimizer_of(codec: str) -> str:
    """Of gradients; values of a sparse codec come late and in bundles. With `auto` most workers send whole ones."""
    return "bundled_adam" if codec != AUTO and CODECS.get(codec).is_sparse else "adam"


def _optimizer(training: Training, codec: str) -> dict[str, object]:
    if training.mode != "local":
        return {"optimizer": optimizer_of(codec), "optimizer_options": {}}
    options = {"learning_rate": training.outer_learning_rate, "momentum": training.outer_momentum}
    return {"optimizer": "nesterov", "optimizer_options": options}


def _local_seconds(config: Config) -> float:
    """Half of the longest lease is enough for anybody: after the whole of it the unit goes to somebody else."""
    training = config.training
    return min(training.local_seconds or training.round_deadline / 2, _max_lease_seconds(config) / 2)


def _changed(section: Section, names: Iterable[str]) -> dict[str, object]:
    """What somebody set to something else than the default, which is a GAN's; each workload has defaults of its own."""
    fields = type(section).model_fields
    values = {name: getattr(section, name) for name in names}
    return {name: value for name, value in values.items() if value != fields[name].default}
