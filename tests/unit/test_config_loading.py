from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.config import Config, find_config_file, load_config, parse_config, resolve_path
from contract.errors import ConfigError


def _load(text: str, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Config:
    return parse_config(text, source="test.yaml", overrides=overrides, environ={} if environ is None else environ)


def _problems(text: str, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, overrides=overrides, environ=environ)
    return list(caught.value.problems)


# the file


def test_a_key_that_is_left_out_has_its_default() -> None:
    config = _load("training: {batch_size: 8}\n")
    assert config == Config.model_validate({"training": {"batch_size": 8}})
    assert config.training.num_epochs == 50


def test_a_volunteers_file_has_two_sections() -> None:
    text = "database:\n  embedded: false\n  host: 10.0.0.5\nworker:\n  device: cpu\n"
    assert _load(text).database.host == "10.0.0.5"


def test_a_section_without_keys_is_a_section_of_defaults() -> None:
    assert _load("training:\nworker:\n") == Config()


def test_the_file_is_found_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("run: {seed: 4}\n")
    assert load_config(file, environ={"CONFIG_PATH": "elsewhere.yaml"}).run.seed == 4


def test_without_a_path_the_variable_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("run: {seed: 5}\n")
    assert load_config(None, environ={"CONFIG_PATH": str(file)}).run.seed == 5


def test_without_a_path_or_variable_the_current_folder_is_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("run: {seed: 6}\n")
    monkeypatch.chdir(tmp_path)
    assert load_config(None, environ={}).run.seed == 6
    assert find_config_file(None, {}) == Path("config.yaml")


def test_a_path_inside_the_file_is_relative_to_the_file(tmp_path: Path) -> None:
    assert resolve_path("state", config_file=tmp_path / "config.yaml") == tmp_path / "state"
    assert resolve_path(str(tmp_path), config_file=Path("config.yaml")) == tmp_path
    assert resolve_path("~/x", config_file=None) == Path.home() / "x"


def _refused(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={})
    assert caught.value.source == str(file)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_a_missing_file_is_one_clear_problem(tmp_path: Path) -> None:
    assert "there is no such file" in _refused(tmp_path / "none.yaml")


def test_a_folder_is_one_clear_problem(tmp_path: Path) -> None:
    assert "this is a folder" in _refused(tmp_path)


def test_a_file_that_is_not_utf8_is_one_clear_problem(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes("run: {description: Übung}".encode("latin-1"))
    assert _refused(file) == "the file is not UTF-8 text (byte 19); save it as UTF-8"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xef\xbb\xbfrun:\r\n  seed: 7\r\n")
    assert load_config(file, environ={}).run.seed == 7


def test_a_large_file_is_one_clear_problem(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * ((1 << 20) + 1))
    assert "more than 1048576 bytes" in _refused(file)


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file_is_one_clear_problem(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    assert "the file is empty" in _refused(file)


@pytest.mark.parametrize("content", ["[1, 2]", "hello", "5"])
def test_a_file_without_sections_is_one_clear_problem(content: str) -> None:
    assert _problems(content) == ["the file must consist of sections such as `training:` with keys below them"]


# YAML


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run:\n\tseed: 1\n", "line 2: not valid YAML: a tab character; indent with spaces"),
        ("run:\n  seed: 1\n   name: x\n", "line 3: not valid YAML: a colon where none can stand"),
        ("run: {seed: 1\n", "line 2: not valid YAML:"),
        ("run: {}\n---\nrun: {}\n", "not valid YAML: a second document (---); a configuration is one"),
        ("run: {name: \x01}\n", "not valid YAML: the text holds a character that YAML does not allow"),
        ("a: &x [1]\n", "line 1: not valid YAML: anchors and aliases"),
        ("run: {name: *x}\n", "line 1: not valid YAML: anchors and aliases"),
        ("a: " + "[" * 50, "line 1: not valid YAML: nested too deeply"),
    ],
)
def test_bad_yaml_is_one_problem_with_its_line(text: str, said: str) -> None:
    (problem,) = _problems(text)
    assert said in problem


def test_an_alias_bomb_takes_no_memory() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    tracemalloc.start()
    _problems(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_deep_nesting_up_to_the_size_limit_is_refused() -> None:
    assert "nested too deeply" in _problems("[" * (1 << 20))[0]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!binary", "!secret", "!!set", "!!int", "!!omap"])
def test_a_yaml_tag_is_a_problem(tag: str) -> None:
    (problem,) = _problems(f"run: {{description: {tag} 'x'}}\n")
    assert problem.startswith("line 1: run.description: ")


def test_a_key_given_twice_is_a_problem_with_both_lines() -> None:
    assert _problems("training:\n  batch_size: 1\n  batch_size: 2\n") == [
        "line 3: training.batch_size: given twice; it stands on line 2 already"
    ]


def test_a_section_given_twice_is_a_problem() -> None:
    assert _problems("run: {seed: 1}\nrun: {seed: 2}\n") == ["line 2: run: given twice; it stands on line 1 already"]


def test_a_key_that_is_no_word_is_a_problem() -> None:
    assert _problems("run:\n  [a, b]: 1\n") == ["line 2: run: a key must be a plain word"]


@pytest.mark.parametrize("name", ["no", "on", "yes", "off", "n", "y"])
def test_words_of_old_yaml_are_words(name: str) -> None:
    assert _load(f"worker: {{name: {name}}}\n").worker.name == name


@pytest.mark.parametrize(("text", "value"), [("2e-4", 2e-4), ("1_000", 1000), ("+.5", 0.5), ("1.E+2", 100)])
def test_numbers_are_written_as_teachers_write_them(text: str, value: float) -> None:
    assert _load(f"training: {{learning_rate_g: {text}}}\n").training.learning_rate_g == value


@given(st.text(max_size=300))
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    try:
        _load(text)
    except ConfigError as error:
        assert error.problems


# unknown names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: {batchsize: 3}", "line 1: training.batchsize: unknown key; did you mean batch_size?"),
        ("training: {latent_dim: 3}", "line 1: training.latent_dim: unknown key; latent_dim is a key of section model"),
        (
            "huggingface: {batch_size: 3}",
            "line 1: huggingface.batch_size: unknown key; batch_size is a key of section training and worker",
        ),
        ("run: {latentdim: 3}", "line 1: run.latentdim: unknown key; did you mean model.latent_dim?"),
        ("run: {zzz: 3}", "line 1: run.zzz: unknown key; the keys of run are name, seed, description"),
        ("trainning: {}", "line 1: trainning: unknown section; did you mean training?"),
        ("num_epochs: 3", "line 1: num_epochs: unknown section; num_epochs is a key of section training"),
        ("5: 3", "line 1: 5: unknown section; the sections are database, run, model"),
    ],
)
def test_an_unknown_name_suggests_a_known_one(text: str, said: str) -> None:
    (problem,) = _problems(text)
    assert problem.startswith(said)


# types and ranges


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "database.port",
            "'5432'",
            "a whole number, at least 1, at most 65535, not the text '5432'; remove the quotes",
        ),
        ("database.port", "70000", "a whole number, at least 1, at most 65535, not 70000"),
        ("database.embedded", "maybe", "true or false, not the text 'maybe'"),
        ("database.host", "''", "a host name or address without spaces, not the text ''"),
        ("database.name", "5", "a name of at most 63 letters, not 5; put it in quotes"),
        ("training.batch_size", "0", "a whole number, at least 1, not 0"),
        ("training.batch_size", "2.5", "a whole number, at least 1, not 2.5"),
        ("training.batch_size", "true", "a whole number, at least 1, not true"),
        ("training.batch_size", "[1]", "a whole number, at least 1, not the list [1]"),
        ("training.batch_size", "{a: 1}", "a whole number, at least 1, not a table of keys"),
        ("training.num_workunits_per_update", "autoo", "or the word auto, not the text 'autoo'; did you mean auto?"),
        ("training.num_workunits_per_update", "0", "a whole number, at least 1, or the word auto, not 0"),
        ("training.mode", "synch", "one of sync, async, local, not the text 'synch'; did you mean sync?"),
        ("training.learning_rate_g", ".nan", "a number, more than 0, not nan"),
        ("training.learning_rate_g", ".inf", "a number, more than 0, not inf"),
        ("training.beta1", "1", "a number, at least 0, less than 1, not 1"),
        ("model.name", "'../x'", "a name of letters"),
        ("model.options", "[1]", "a table of names and values, not the list [1]"),
        ("worker.hours", "22-26", "a span of hours such as 22:00-06:00 or 22-6, not the text '22-26'"),
        ("worker.device", "gpu", "auto, cpu, mps, or cuda"),
        ("coordinator.max_part_megabytes", "17", "a whole number, at least 1, at most 16, not 17"),
        ("huggingface.repo_id", "me", "a repository such as `owner/name`, not the text 'me'"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(key: str, value: str, said: str) -> None:
    section, name = key.split(".")
    (problem,) = _problems(f"{section}:\n  {name}: {value}\n")
    assert problem.startswith(f"line 2: {key}: must be ")
    assert said in problem


def test_a_number_too_long_to_read_is_a_problem() -> None:
    assert "cannot be read as a number" in _problems(f"run: {{seed: {'9' * 5000}}}\n")[0]


def test_a_key_without_a_value_is_a_problem() -> None:
    assert _problems("training:\n  batch_size:\n") == [
        "line 2: training.batch_size: has no value; write a whole number, at least 1, "
        "or remove the line for the default (32)"
    ]


def test_a_key_that_can_be_unset_may_stand_without_a_value() -> None:
    assert _load("data:\n  num_samples:\n").data.num_samples is None


def test_a_section_that_holds_a_value_is_a_problem() -> None:
    assert _problems("run: 5")[0].startswith("line 1: run: must be a section")


def test_a_private_key_is_no_certificate() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\\nMIIsecretMII\\n-----END PRIVATE KEY-----\\n"
    (problem,) = _problems(f'database: {{sslmode: verify-ca, certificate: "{pem}"}}')
    assert "holds a private key" in problem
    assert "MIIsecretMII" not in problem


def test_a_certificate_that_was_cut_short_is_a_problem() -> None:
    (problem,) = _problems('database: {sslmode: verify-ca, certificate: "-----BEGIN CERTIFICATE-----\\nMII"}')
    assert "was it cut short?" in problem


def test_all_problems_come_in_one_message_in_the_order_of_the_file() -> None:
    text = """\
database:
  passwrod: x
  port: many
training:
  batchsize: 3
  num_epochs: 0
worker:
  heartbeat_interval: 200
huggingface:
  enabled: true
  private: ${NOWHERE}
nonsense: 1
"""
    problems = _problems(text, overrides=["training.beta1=2"])
    assert [problem.split(":")[0] for problem in problems] == [
        "line 2",
        "line 3",
        "line 5",
        "line 6",
        "line 8",
        "line 10",
        "line 10",
        "line 11",
        "line 12",
        "--set training.beta1",
    ]


# what loading costs


def test_configuration_imports_neither_torch_nor_a_driver() -> None:
    code = (
        "import sys, contract.config, contract.registry;"
        "sys.exit(bool({'torch', 'sqlalchemy', 'psycopg', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loading_the_template_is_quick() -> None:
    template = (Path(__file__).parents[2] / "config.yaml.template").read_text(encoding="utf-8")
    started = time.perf_counter()
    _load(template)
    assert time.perf_counter() - started < 0.5
