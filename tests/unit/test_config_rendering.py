from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contract.config import (
    PROBLEM_KINDS,
    SECTIONS,
    Config,
    generated_files,
    json_schema,
    load_config,
    parse_config,
    render_reference,
    render_template,
)

ROOT = Path(__file__).parents[2]
KEYS = [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]

# Every number says what it counts, in its name or its description.
UNITS = (
    "seconds|bytes|megabytes|samples|batches|units|epochs|versions|gradients|values|channels|pixels|processes|"
    "connections|threads|steps?|share|times|multiples|probability|norm|number|epsilon|nats|rate"
)


def _parse(text: str) -> Config:
    return parse_config(text, source="rendered", environ={})


@pytest.mark.parametrize("path", list(generated_files()), ids=str)
def test_a_generated_file_is_current(path: Path) -> None:
    # `python -m contract.config` writes them anew.
    assert (ROOT / path).read_text(encoding="utf-8") == generated_files()[path]


def test_the_template_loads_to_the_defaults_exactly() -> None:
    assert load_config(ROOT / "config.yaml.template", environ={}) == Config()


def test_the_template_is_complete_for_every_yaml_reader() -> None:
    found = yaml.safe_load(render_template())
    assert [(section, key) for section, keys in found.items() for key in keys] == KEYS


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_key_has_one_comment_above_it(section: str, key: str) -> None:
    field = SECTIONS[section].model_fields[key]
    assert field.description is not None
    assert 0 < len(field.description) <= 110
    assert field.description.endswith(".")
    assert re.search(rf"^  # {re.escape(field.description)}.*\n  {key}:", render_template(), re.MULTILINE)


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_number_has_a_unit(section: str, key: str) -> None:
    field = SECTIONS[section].model_fields[key]
    if re.search(r"\b(int|float)\b", str(field.annotation)):
        assert re.search(rf"(\b|_)({UNITS})(\b|_)", f"{key} {field.description}".lower())


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_default_is_valid(section: str, key: str) -> None:
    model = SECTIONS[section]
    default = getattr(model(), key)
    assert getattr(model.model_validate({key: default}), key) == default


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.batch_size", 32),
        ("training.batches_per_work_unit", 10),
        ("training.num_workunits_per_update", 3),
        ("training.num_epochs", 50),
        ("training.learning_rate_g", 0.0002),
        ("training.learning_rate_d", 0.0002),
        ("training.beta1", 0.5),
        ("training.beta2", 0.999),
        ("worker.poll_interval", 5),
        ("worker.heartbeat_interval", 30),
        ("worker.work_unit_timeout", 300),
        ("worker.max_retries", 3),
        ("worker.num_workers_dataloader", 4),
        ("model.latent_dim", 100),
        ("model.generator_features", 64),
        ("model.discriminator_features", 64),
        ("huggingface.enabled", False),
        ("huggingface.repo_id", None),
        ("huggingface.token", None),
        ("huggingface.push_interval", 5),
        ("huggingface.private", False),
    ],
)
def test_a_default_is_the_one_that_teachers_know(key: str, value: object) -> None:
    section, name = key.split(".")
    assert getattr(getattr(Config(), section), name) == value


def test_a_config_survives_its_rendering() -> None:
    text = """\
database:
  embedded: false
  host: db.school.example
  sslmode: verify-full
  certificate: "-----BEGIN CERTIFICATE-----\\nMIIB+/=\\n-----END CERTIFICATE-----\\n"
model: {options: {depth: 3, sizes: [1, 2.5, 'no', '1e-3', null, true], '1': {}}}
training: {learning_rate_g: 2e-7, num_workunits_per_update: auto}
"""
    config = _parse(text)
    assert _parse(render_template(config)) == config


def test_a_certificate_is_rendered_line_by_line() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n"
    config = Config.model_validate({"database": {"sslmode": "verify-ca", "certificate": pem}})
    assert "  certificate: |\n    -----BEGIN CERTIFICATE-----\n    MIIB" in render_template(config)


@given(st.text(max_size=50), st.text(min_size=1, max_size=50), st.text(max_size=20))
def test_any_text_survives_its_rendering(description: str, password: str, option: str) -> None:
    config = Config.model_validate(
        {
            "run": {"description": description},
            "database": {"password": password},
            "model": {"options": {"x": option, "y": [option]}},
        }
    )
    assert _parse(render_template(config, reveal_secrets=True)) == config


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-300, max_value=1e300))
def test_any_number_survives_its_rendering(number: float) -> None:
    config = Config.model_validate({"privacy": {"epsilon_budget": number}})
    assert _parse(render_template(config)) == config


def test_secrets_are_rendered_as_variables() -> None:
    config = Config.model_validate(
        {"database": {"password": "one", "url": "postgresql://me:two@h/x"}, "huggingface": {"token": "three"}}
    )
    text = render_template(config)
    assert "  password: ${DB_PASSWORD}\n" in text
    assert "  url: ${DATABASE_URL}\n" in text
    assert "  token: ${HF_TOKEN}\n" in text


def test_an_invitation_holds_two_sections_and_its_password() -> None:
    config = Config.model_validate({"database": {"embedded": False, "password": "one"}})
    text = render_template(config, sections=("database", "worker"), reveal_secrets=True)
    assert list(yaml.safe_load(text)) == ["database", "worker"]
    assert _parse(text) == config


def test_the_schema_describes_every_key() -> None:
    schema = json.loads(json_schema())
    sections = {name: schema["$defs"][ref["$ref"].rsplit("/", 1)[1]] for name, ref in schema["properties"].items()}
    assert [(name, key) for name, section in sections.items() for key in section["properties"]] == KEYS
    assert all(key["description"] for section in sections.values() for key in section["properties"].values())
    assert all(section["additionalProperties"] is False for section in sections.values())


def test_the_reference_describes_every_key_and_problem() -> None:
    reference = render_reference()
    assert all(f"| `{key}` |" in reference for _, key in KEYS)
    assert all(f"| {kind.means} |" in reference for kind in PROBLEM_KINDS)


def test_every_row_of_the_reference_has_its_cells() -> None:
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in render_reference().splitlines() if row.startswith("|")}
    assert widths == {3, 5}
