"""What does not go together with privacy: said before there is a run of it."""

from __future__ import annotations

from contract.compressors import CODECS
from contract.compressors.ladder import AUTO
from contract.config import Config
from contract.errors import ConfigError
from contract.sources.base import Dataset
from contract.workloads.base import Workload
from coordinator.privacy import Privacy, require_accounting


def settings_of(config: Config) -> dict[str, object] | None:
    """As the ledger keeps them; None where the run is not private."""
    section = config.privacy
    return section.model_dump(exclude={"enabled"}) if section.enabled else None


def require_private(config: Config, workload: Workload, dataset: Dataset) -> None:
    if not config.privacy.enabled:
        return
    require_accounting()
    told = (_buffers(workload), _delta(config, dataset), _feedback(config), _budget(config))
    problems = [problem for problem in told if problem is not None]
    if problems:
        raise ConfigError(problems)


def _buffers(workload: Workload) -> str | None:
    if not workload.buffers():
        return None
    return (
        f"privacy.enabled: {workload.name} has running statistics (BatchNorm) that are taken over from the data, "
        "unclipped and without noise; choose a model.name without them"
    )


def _delta(config: Config, dataset: Dataset) -> str | None:
    if config.privacy.delta < 1 / dataset.num_samples:
        return None
    return (
        f"privacy.delta: {config.privacy.delta:g} must be less than 1 / number of samples (1 / {dataset.num_samples}) "
        "to promise anything"
    )


def _feedback(config: Config) -> str | None:
    """Error feedback carries a part of one unit's samples into the updates of others, where nobody accounts for it."""
    compression = config.compression
    is_lossless = compression.codec != AUTO and CODECS.get(compression.codec).lossless
    if compression.feedback_decay == 0.0 or is_lossless:
        return None
    return (
        f"privacy.enabled: is true, but what compression.codec {compression.codec} leaves out of one update goes with "
        "later ones; take compression.feedback_decay: 0, or compression.codec: none"
    )


def _budget(config: Config) -> str | None:
    privacy = Privacy.of({"privacy": settings_of(config)})
    assert privacy is not None
    first = privacy.epsilon(1)
    if first <= privacy.epsilon_budget:
        return None
    return (
        f"privacy.epsilon_budget: {privacy.epsilon_budget:g} does not suffice for one epoch, which costs {first:.3g}; "
        f"privacy.noise_multiplier ({privacy.noise_multiplier:g}) must be {privacy.needed_multiplier():.3g} or more"
    )
