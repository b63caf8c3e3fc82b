from __future__ import annotations

import pytest

from contract.config import RULES, SECTIONS, Config, parse_config
from contract.errors import ConfigError


def _problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, source="test.yaml", environ={})
    return list(caught.value.problems)


BROKEN = [
    (
        "worker: {work_unit_timeout: 80}",
        "worker.work_unit_timeout: 80 is less than 3 times worker.heartbeat_interval (30)",
    ),
    (
        "worker: {heartbeat_interval: 101}",
        "worker.work_unit_timeout: 300 is less than 3 times worker.heartbeat_interval",
    ),
    (
        "training: {mode: local, local_seconds: 600}",
        "training.local_seconds: 600 is not less than training.round_deadline (600)",
    ),
    ("staleness: {max_staleness: 4}", "staleness.min_staleness: 5 is more than staleness.max_staleness (4)"),
    ("huggingface: {enabled: true, token: x}", "huggingface.repo_id: is not set, but huggingface.enabled is true"),
    ("huggingface: {enabled: true, repo_id: a/b}", "huggingface.token: is not set, but huggingface.enabled is true"),
    ("database: {url: 'postgresql://h/x'}", "database.url: is set, but database.embedded is true"),
    ("database: {sslmode: verify-full}", "database.sslmode: verify-full needs database.certificate"),
    (
        "database: {certificate: ca.pem}",
        "database.certificate: is set, but database.sslmode (prefer) never looks at it",
    ),
    (
        "database: {certificate: system, sslmode: require}",
        "database.sslmode: require is too weak for database.certificate: system",
    ),
    ("privacy: {enabled: true}\naggregation: {rule: krum}", "privacy.enabled: is true, but how much one work unit"),
    (
        "privacy: {enabled: true}\naggregation: {before: [clip]}",
        "privacy.enabled: is true, but how much one work unit can sway aggregation.rule mean after clip",
    ),
    (
        "privacy: {enabled: true}\ntraining: {gradient_clip_norm: 1.0}",
        "training.gradient_clip_norm: 1 has no effect with privacy.enabled",
    ),
    (
        "privacy: {enabled: true, delta: 0.1}\ndata: {num_samples: 10}",
        "privacy.delta: 0.1 must be less than 1 / data.num_samples (1 / 10)",
    ),
    ("aggregation: {num_byzantine: 1}", "aggregation.num_byzantine: 1 is more than aggregation.rule mean withstands"),
    (
        "aggregation: {num_byzantine: 2, rule: median}",
        "aggregation.num_byzantine: 2 of training.num_workunits_per_update (3) is half or more",
    ),
    (
        "coordinator: {volunteer_idle_transaction_seconds: 61}",
        "coordinator.volunteer_idle_transaction_seconds: 61 is more than coordinator.volunteer_transaction_seconds",
    ),
    (
        "coordinator: {max_gradient_megabytes: 2}",
        "coordinator.max_part_megabytes: 4 is more than coordinator.max_gradient_megabytes (2)",
    ),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_rule_names_both_keys(text: str, said: str) -> None:
    (problem,) = _problems(text)
    assert problem.split(": ", 1)[1].startswith(said)


def test_every_rule_is_broken_by_one_of_these() -> None:
    problems = [problem for text, _ in BROKEN for problem in _problems(text)]
    for rule in RULES:
        assert any(all(key in problem for key in rule.keys[:2]) for problem in problems), rule.means


@pytest.mark.parametrize(
    "text",
    [
        "worker: {work_unit_timeout: 90}",
        "worker: {heartbeat_interval: 0.2, work_unit_timeout: 1}",
        "staleness: {min_staleness: 0, max_staleness: 0}",
        "huggingface: {enabled: true, repo_id: a/b, token: x}",
        "database: {embedded: false, url: 'postgresql://a,b:6000/x?target_session_attrs=read-write'}",
        "database: {sslmode: verify-ca, certificate: ca.pem}",
        "database: {sslmode: verify-full, certificate: system}",
        "privacy: {enabled: true}",
        "aggregation: {num_byzantine: 1, rule: median}",
        "aggregation: {num_byzantine: 9, rule: krum}\ntraining: {num_workunits_per_update: auto}",
    ],
)
def test_a_rule_that_holds_says_nothing(text: str) -> None:
    assert isinstance(parse_config(text, source="test.yaml", environ={}), Config)


def test_a_rule_over_a_broken_key_says_nothing() -> None:
    (problem,) = _problems("worker: {heartbeat_interval: -5, work_unit_timeout: 1}")
    assert problem.startswith("line 1: worker.heartbeat_interval: must be")


def test_a_broken_rule_points_at_the_key_that_the_file_holds() -> None:
    (problem,) = _problems("worker:\n  name: x\n  heartbeat_interval: 200\n")
    assert problem.startswith("line 3: worker.work_unit_timeout: ")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.means)
def test_a_rule_is_over_keys_that_exist(rule: object) -> None:
    keys = getattr(rule, "keys")  # noqa: B009
    assert len(keys) > 1
    for key in keys:
        section, name = key.split(".")
        assert name in SECTIONS[section].model_fields
