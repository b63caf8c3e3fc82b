"""A Config -> commented YAML; the models -> reference and JSON Schema. The fields' descriptions are the one source."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from contract.config.environment import FILLED_FROM_ENVIRONMENT, escape
from contract.config.models import SECTIONS, Config
from contract.config.problems import PROBLEM_KINDS
from contract.config.reading import SCALAR_FORMS
from contract.config.rules import RULES
from contract.config.wording import choices, expectation, shown_default

TEMPLATE_FILE: Final = Path("config.yaml.template")
REFERENCE_FILE: Final = Path("docs/reference/config.md")
SCHEMA_FILE: Final = Path("docs/reference/config.schema.json")

_HEADER: Final = """\
# Barnraise configuration. Every key is here with its default; a key or section that is left out has it too.
# ${NAME} inside a value is replaced from the environment; $${ stands for a plain ${.
# `coordinator check --config FILE` tells what is wrong with this file.
"""
# PEM and the like: lines that a literal block keeps as they are.
_BLOCK_TEXT: Final = re.compile(r"(?:[A-Za-z0-9+/=-][A-Za-z0-9+/= -]*\n)+")


class _Dumper(yaml.SafeDumper):
    """Quotes whatever PyYAML's own reader or ours would take for something else than text."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # In single quotes PyYAML writes line breaks (U+0085 is one) that do not come back as they were.
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_text)

for _name, (_form, _first) in SCALAR_FORMS.items():
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _form, list(_first))


def render_template(
    config: Config | None = None, *, sections: Sequence[str] = tuple(SECTIONS), reveal_secrets: bool = False
) -> str:
    """`reveal_secrets` is for an invitation, which has to carry its password; otherwise a secret is a `${NAME}`."""
    config = Config() if config is None else config
    blocks = [_HEADER]
    for section in sections:
        model = SECTIONS[section]
        values = getattr(config, section)
        lines = [f"# {_summary(model)}", f"{section}:"]
        for key, field in model.model_fields.items():
            lines.append(f"  # {_comment(field)}")
            lines.append(f"  {key}: {_rendered((section, key), getattr(values, key), reveal_secrets)}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def json_schema() -> str:
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def render_reference() -> str:
    parts = [
        "# Configuration",
        f"Written by `python -m contract.config` from the models; change those, not this page. `{TEMPLATE_FILE}` holds "
        f"every key with its default, and `{SCHEMA_FILE.name}` beside this page lets an editor complete and check "
        "the file (put `# yaml-language-server: $schema=PATH` on its first line).",
        "`--config FILE` names the file; without it the environment variable `CONFIG_PATH` does, else it is "
        "`config.yaml` in the current folder. Every key may be left out. A volunteer's file holds the sections "
        "`database` and `worker` alone. `--set section.key=value` overrides a key on the command line, and may be "
        "given several times. `${NAME}` inside a value is replaced from the environment, `$${` stands for a plain "
        "`${`. " + " ".join(_filled(path, name) for path, name in FILLED_FROM_ENVIRONMENT.items()),
        "The file is YAML 1.2: `true` and `false` are the only truth values, `2e-4` is a number, and anchors, aliases "
        "and tags are not supported.",
    ]
    for section, model in SECTIONS.items():
        rows = [
            (f"`{key}`", expectation(field), f"`{shown_default(field)}`", _described(field))
            for key, field in model.model_fields.items()
        ]
        parts += [f"## {section}", _summary(model), _table(("key", "value", "default", "meaning"), rows)]
    parts += [
        "## Rules over several keys",
        _table(("keys", "rule"), [(", ".join(f"`{key}`" for key in rule.keys), rule.means) for rule in RULES]),
        "## What can be wrong",
        "All problems of a file are told at once, with the line and the key where there is one; the exit code is 2.",
        _table(
            ("message", "meaning"),
            [(_shape(kind.says), kind.means) for kind in PROBLEM_KINDS],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def generated_files() -> dict[Path, str]:
    """What `python -m contract.config` writes, by path from the root of the repository."""
    return {TEMPLATE_FILE: render_template(), REFERENCE_FILE: render_reference(), SCHEMA_FILE: json_schema()}


def _summary(model: type) -> str:
    return inspect.cleandoc(model.__doc__ or model.__name__)


def _described(field: FieldInfo) -> str:
    assert field.description is not None, "every key has a description; a test proves it"
    return field.description


def _comment(field: FieldInfo) -> str:
    words = choices(field)
    return _described(field) + (f" One of {', '.join(words)}." if len(words) > 1 else "")


def _rendered(path: tuple[str, str], value: object, reveal_secrets: bool) -> str:
    if isinstance(value, SecretStr):
        if not reveal_secrets:
            variable = FILLED_FROM_ENVIRONMENT.get(path, "_".join(path).upper())
            return f"${{{variable}}}"
        value = value.get_secret_value()
    if isinstance(value, str) and _BLOCK_TEXT.fullmatch(value):
        return "|\n" + "".join(f"    {line}\n" for line in value.splitlines()).removesuffix("\n")
    return _flow(_escaped(value))


def _flow(value: object) -> str:
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        # A key that was written as 5 shall not come back as 5.0.
        return int(value)
    return value


def _filled(path: tuple[str, ...], variable: str) -> str:
    return f"`{variable}` fills `{'.'.join(path)}` where that is unset."


def _shape(says: str) -> str:
    """A message with its gaps named, as it can stand in a table."""
    with_gaps = re.sub(r"(?<!\{)\{([a-z_]+)\}(?!\})", r"*\1*", says)
    return with_gaps.replace("{{", "{").replace("}}", "}").replace("|", r"\|")


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
