"""Rules over two or more keys. Each message names both, and says what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

from contract.config.models import Config


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`keys` starts with the key that the message is filed under; `problem` answers None when the rule holds."""

    keys: tuple[str, ...]
    means: str
    problem: Callable[[Config], str | None]


def _lease_outlasts_heartbeats(config: Config) -> str | None:
    worker = config.worker
    if worker.work_unit_timeout >= 3 * worker.heartbeat_interval:
        return None
    return (
        f"{worker.work_unit_timeout} is less than 3 times worker.heartbeat_interval ({worker.heartbeat_interval:g}); "
        "one lost heartbeat would hand the unit to somebody else, and it would be computed twice"
    )


def _staleness_bounds_are_ordered(config: Config) -> str | None:
    staleness = config.staleness
    if staleness.min_staleness <= staleness.max_staleness:
        return None
    return f"{staleness.min_staleness} is more than staleness.max_staleness ({staleness.max_staleness})"


def _local_units_end_in_their_round(config: Config) -> str | None:
    training = config.training
    if training.mode != "local" or training.local_seconds is None or training.local_seconds < training.round_deadline:
        return None
    return (
        f"{training.local_seconds:g} is not less than training.round_deadline ({training.round_deadline:g}); "
        "the round of a slow worker would be closed before it ends its steps"
    )


def _hub_has_a_repository(config: Config) -> str | None:
    if not config.huggingface.enabled or config.huggingface.repo_id is not None:
        return None
    return "is not set, but huggingface.enabled is true; write the repository as owner/name"


def _hub_has_a_token(config: Config) -> str | None:
    if not config.huggingface.enabled or config.huggingface.token is not None:
        return None
    return "is not set, but huggingface.enabled is true; set it, or the environment variable HF_TOKEN"


def _url_is_not_embedded(config: Config) -> str | None:
    if config.database.url is None or not config.database.embedded:
        return None
    return "is set, but database.embedded is true; set database.embedded: false to use the server of the URL"


def _verification_has_a_certificate(config: Config) -> str | None:
    database = config.database
    if not database.sslmode.startswith("verify-") or database.certificate is not None or database.url is not None:
        return None
    return (
        f"{database.sslmode} needs database.certificate: the server's certificate, "
        "or the word system for one that the machine trusts already"
    )


def _certificate_is_verified(config: Config) -> str | None:
    database = config.database
    if (
        database.certificate is None
        or database.url is not None
        or database.sslmode not in ("disable", "allow", "prefer")
    ):
        return None
    return (
        f"is set, but database.sslmode ({database.sslmode}) never looks at it; "
        "set database.sslmode: verify-ca or verify-full"
    )


def _system_certificates_need_full_verification(config: Config) -> str | None:
    database = config.database
    if database.certificate != "system" or database.url is not None or database.sslmode not in ("require", "verify-ca"):
        return None
    return f"{database.sslmode} is too weak for database.certificate: system; set database.sslmode: verify-full"


def _privacy_takes_the_mean(config: Config) -> str | None:
    chosen = " after ".join([config.aggregation.rule, *reversed(config.aggregation.before)])
    if not config.privacy.enabled or chosen == "mean":
        return None
    return (
        f"is true, but how much one work unit can sway aggregation.rule {chosen} is not known; "
        "take aggregation.rule: mean, with nothing in aggregation.before"
    )


def _privacy_clips_by_itself(config: Config) -> str | None:
    if not config.privacy.enabled or config.training.gradient_clip_norm is None:
        return None
    return (
        f"{config.training.gradient_clip_norm:g} has no effect with privacy.enabled, where privacy.clip_norm "
        f"({config.privacy.clip_norm:g}) clips all parameters together; unset it"
    )


def _delta_is_small_enough(config: Config) -> str | None:
    num_samples = config.data.num_samples
    if not config.privacy.enabled or num_samples is None or config.privacy.delta < 1 / num_samples:
        return None
    return f"{config.privacy.delta:g} must be less than 1 / data.num_samples (1 / {num_samples}) to promise anything"


def _mean_stops_nobody(config: Config) -> str | None:
    if config.aggregation.num_byzantine == 0 or config.aggregation.rule != "mean":
        return None
    return (
        f"{config.aggregation.num_byzantine} is more than aggregation.rule mean withstands (0); "
        "choose a robust rule such as median or multi_krum"
    )


def _honest_gradients_are_the_majority(config: Config) -> str | None:
    n, f = config.training.num_workunits_per_update, config.aggregation.num_byzantine
    if n == "auto" or config.aggregation.rule == "mean" or n > 2 * f:
        return None
    return (
        f"{f} of training.num_workunits_per_update ({n}) is half or more; no rule withstands that, "
        f"which needs n > 2f: at least {2 * f + 1} work units per update"
    )


def _idle_ends_before_the_whole(config: Config) -> str | None:
    coordinator = config.coordinator
    if coordinator.volunteer_idle_transaction_seconds <= coordinator.volunteer_transaction_seconds:
        return None
    return (
        f"{coordinator.volunteer_idle_transaction_seconds} is more than coordinator.volunteer_transaction_seconds "
        f"({coordinator.volunteer_transaction_seconds}), which ends the session first"
    )


def _gradient_holds_a_part(config: Config) -> str | None:
    coordinator = config.coordinator
    if coordinator.max_part_megabytes <= coordinator.max_gradient_megabytes:
        return None
    return (
        f"{coordinator.max_part_megabytes} is more than coordinator.max_gradient_megabytes "
        f"({coordinator.max_gradient_megabytes}): a part cannot be larger than the whole"
    )


RULES: Final = (
    Rule(
        keys=("worker.work_unit_timeout", "worker.heartbeat_interval"),
        means="The lease is at least 3 heartbeats long, or one lost heartbeat makes a unit run twice.",
        problem=_lease_outlasts_heartbeats,
    ),
    Rule(
        keys=("staleness.min_staleness", "staleness.max_staleness"),
        means="The smallest bound is not above the largest.",
        problem=_staleness_bounds_are_ordered,
    ),
    Rule(
        keys=("training.local_seconds", "training.round_deadline"),
        means="In local, a slow worker ends its steps before its round is closed.",
        problem=_local_units_end_in_their_round,
    ),
    Rule(
        keys=("huggingface.repo_id", "huggingface.enabled"),
        means="Pushing to the Hub needs a repository.",
        problem=_hub_has_a_repository,
    ),
    Rule(
        keys=("huggingface.token", "huggingface.enabled"),
        means="Pushing to the Hub needs a token.",
        problem=_hub_has_a_token,
    ),
    Rule(
        keys=("database.url", "database.embedded"),
        means="A URL names a server, embedded starts one: choose.",
        problem=_url_is_not_embedded,
    ),
    Rule(
        keys=("database.sslmode", "database.certificate"),
        means="verify-ca and verify-full need a certificate to verify against.",
        problem=_verification_has_a_certificate,
    ),
    Rule(
        keys=("database.certificate", "database.sslmode"),
        means="A certificate is looked at from sslmode require on; below, it would give false comfort.",
        problem=_certificate_is_verified,
    ),
    Rule(
        keys=("database.sslmode", "database.certificate"),
        means="The machine's own certificates need verify-full: anybody can have one of those for a host of their own.",
        problem=_system_certificates_need_full_verification,
    ),
    Rule(
        keys=("privacy.enabled", "aggregation.rule", "aggregation.before"),
        means="Privacy is accounted for with the mean alone.",
        problem=_privacy_takes_the_mean,
    ),
    Rule(
        keys=("training.gradient_clip_norm", "privacy.enabled", "privacy.clip_norm"),
        means="With privacy enabled, its own clip norm is the only one.",
        problem=_privacy_clips_by_itself,
    ),
    Rule(
        keys=("privacy.delta", "data.num_samples", "privacy.enabled"),
        means="With privacy enabled, delta is less than 1 / number of samples.",
        problem=_delta_is_small_enough,
    ),
    Rule(
        keys=("aggregation.num_byzantine", "aggregation.rule"),
        means="The mean withstands no hostile gradient.",
        problem=_mean_stops_nobody,
    ),
    Rule(
        keys=("aggregation.num_byzantine", "training.num_workunits_per_update", "aggregation.rule"),
        means="Every robust rule needs n > 2f gradients; several need more, and say so.",
        problem=_honest_gradients_are_the_majority,
    ),
    Rule(
        keys=("coordinator.volunteer_idle_transaction_seconds", "coordinator.volunteer_transaction_seconds"),
        means="A transaction may not stand idle for longer than it may last.",
        problem=_idle_ends_before_the_whole,
    ),
    Rule(
        keys=("coordinator.max_part_megabytes", "coordinator.max_gradient_megabytes"),
        means="A part is not larger than the whole.",
        problem=_gradient_holds_a_part,
    ),
)
