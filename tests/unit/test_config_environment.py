from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from contract.config import Config, parse_config
from contract.errors import ConfigError


def _load(text: str, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Config:
    return parse_config(text, source="test.yaml", overrides=overrides, environ={} if environ is None else environ)


def _problems(text: str, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, overrides=overrides, environ=environ)
    return list(caught.value.problems)


# the environment


def test_a_variable_is_replaced_inside_text() -> None:
    config = _load("run: {description: 'by ${WHO}, for ${WHO}'}", environ={"WHO": "Ada"})
    assert config.run.description == "by Ada, for Ada"


def test_a_variable_can_hold_a_number_or_a_truth_value() -> None:
    config = _load("database: {port: '${P}', pooler: '${B}'}", environ={"P": "6000", "B": "true"})
    assert (config.database.port, config.database.pooler) == (6000, True)


def test_a_variable_for_text_stays_text() -> None:
    assert _load("worker: {name: '${N}'}", environ={"N": "007"}).worker.name == "007"


def test_a_variable_is_not_read_as_yaml() -> None:
    config = _load("run: {description: '${D}'}", environ={"D": "a: [1, ${X} #"})
    assert config.run.description == "a: [1, ${X} #"


def test_variables_are_replaced_deep_inside_options() -> None:
    config = _load("model: {options: {a: ['${A}', x]}}", environ={"A": "3"})
    assert config.model.options == {"a": [3, "x"]}


def test_a_missing_variable_names_key_and_variable() -> None:
    assert _problems("data:\n  path: ${HOME_OF_DATA}/x") == [
        "line 2: data.path: the environment variable HOME_OF_DATA is not set"
    ]


def test_two_dollars_stand_for_a_plain_one() -> None:
    assert _load("run: {description: '$${HOME} $5 $$'}").run.description == "${HOME} $5 $$"


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A-b}", "${A"])
def test_a_broken_placeholder_is_a_problem(text: str) -> None:
    (problem,) = _problems(f"run: {{description: 'x {text}'}}", environ={"A": "1"})
    assert "needs a variable's name" in problem


def test_secrets_are_filled_from_the_environment_where_unset() -> None:
    config = _load("run:\n", environ={"DB_PASSWORD": "one", "HF_TOKEN": "two"})
    assert config.database.password is not None
    assert config.database.password.get_secret_value() == "one"
    assert config.huggingface.token is not None
    assert config.huggingface.token.get_secret_value() == "two"


def test_a_secret_in_the_file_goes_before_the_environment() -> None:
    config = _load("database: {password: file}", environ={"DB_PASSWORD": "environment"})
    assert config.database.password is not None
    assert config.database.password.get_secret_value() == "file"


def test_an_empty_variable_fills_no_secret() -> None:
    assert _load("run:\n", environ={"DB_PASSWORD": ""}).database.password is None


# overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.batch_size=64", "training.batch_size", 64),
        ("training.num_workunits_per_update=auto", "training.num_workunits_per_update", "auto"),
        ("database.pooler=true", "database.pooler", True),
        ("data.num_samples=null", "data.num_samples", None),
        ("worker.name=007", "worker.name", "007"),
        ("worker.name='7'", "worker.name", "7"),
        ("worker.name=", "worker.name", None),
        ("run.description=", "run.description", ""),
        ("run.description=a: b = c", "run.description", "a: b = c"),
        ("run.description=[x", "run.description", "[x"),
        ("model.options={a: 1}", "model.options", {"a": 1}),
        ("model.options.b.c=2.5", "model.options", {"depth": 1, "b": {"c": 2.5}}),
    ],
)
def test_an_override_replaces_what_the_file_says(override: str, path: str, value: object) -> None:
    config = _load("training: {batch_size: 8}\nmodel: {options: {depth: 1}}", overrides=[override])
    section, key = path.split(".")
    assert getattr(getattr(config, section), key) == value


def test_a_password_in_an_override_is_taken_as_it_is() -> None:
    config = _load("run:\n", overrides=["database.password=#1: [x"])
    assert config.database.password is not None
    assert config.database.password.get_secret_value() == "#1: [x"


def test_the_last_override_wins() -> None:
    assert _load("run:\n", overrides=["run.seed=1", "run.seed=2"]).run.seed == 2


def test_an_override_mends_a_problem_of_the_file() -> None:
    assert _load("run:\n  seed: !x y\n", overrides=["run.seed=1"]).run.seed == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training", "--set training: write --set section.key=value"),
        ("training=3", "--set training: write --set section.key=value"),
        ("training.=3", "--set training.: write --set section.key=value"),
        ("=3", "--set : write --set section.key=value"),
        ("training.batchsize=3", "--set training.batchsize: unknown key; did you mean batch_size?"),
        ("trainin.batch_size=3", "--set trainin.batch_size: unknown section; did you mean training?"),
        ("training.batch_size=x", "--set training.batch_size: must be a whole number, at least 1, not the text 'x'"),
        (
            "training.batch_size.x=3",
            "--set training.batch_size: must be a whole number, at least 1, not a table of keys",
        ),
    ],
)
def test_a_wrong_override_is_told_like_a_wrong_key(override: str, said: str) -> None:
    assert _problems("run:\n", overrides=[override]) == [said]


# secrets

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"database: {{password: {SECRET}}}",
        f"database: {{embedded: false, url: 'postgresql://me:{SECRET}@host/x'}}",
        f"huggingface: {{token: {SECRET}}}",
    ],
)
def test_a_secret_is_not_shown_by_a_config(text: str) -> None:
    config = _load(text)
    assert SECRET not in repr(config) + str(config) + repr(config.model_dump()) + config.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        f"database: {{password: [{SECRET}]}}",
        f"database: {{password: {{{SECRET}: 1}}}}",
        f"database: {{url: 'mysql://me:{SECRET}@host/x'}}",
        f"database: {{url: 'postgresql://me:{SECRET}@ho st/x', nonsense: 1}}",
        f"database: {{passwrod: {SECRET}}}",
        f"database: {{password: !{SECRET} x}}",
        f"database: {{password: *{SECRET}}}",
        f"database: {{password: &{SECRET} x}}",
        f"database: {{password: %{SECRET}}}",
        f"database: {{password: '{SECRET}}}",
        f'database:\n  password: "{SECRET}\n  port: 1',
        f"database:\n  password: {SECRET}: x\n",
        f"database: {SECRET}",
        "database: {port: '${DB_PASSWORD}'}",
        "database: {sslmode: '${DB_PASSWORD}'}",
        f"database: {{password: {SECRET}, port: 0}}",
    ],
)
def test_a_secret_is_not_shown_by_an_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(text, environ={"DB_PASSWORD": SECRET})
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


def test_a_secret_override_is_not_shown_by_an_error() -> None:
    (problem,) = _problems("run:\n", overrides=[f"database.passwd={SECRET}"])
    assert SECRET not in problem
