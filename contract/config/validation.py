"""Raw values -> a Config: unknown keys, variables, types, ranges and rules, all in one list of problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from contract.config.environment import FILLED_FROM_ENVIRONMENT, substitute
from contract.config.fields import Section
from contract.config.models import SECTIONS, Config, field_at
from contract.config.problems import (
    BAD_OVERRIDE,
    NO_VALUE,
    NOT_A_SECTION,
    RULE_BROKEN,
    UNKNOWN_KEY,
    UNKNOWN_SECTION,
    UNSUITABLE,
    WRONG_VALUE,
    KeyPath,
    Problem,
    nearest,
)
from contract.config.reading import plain_scalar, read_yaml
from contract.config.rules import RULES
from contract.config.wording import can_be_unset, choices, expectation, is_secret, shown, shown_default, takes_text
from contract.errors import ConfigError


@dataclasses.dataclass(slots=True, kw_only=True)
class Draft:
    """Values on their way to a Config. A key with a problem is taken out, so that the others can still be judged."""

    values: dict[str, object]
    lines: dict[KeyPath, int]
    problems: list[Problem]
    overridden: set[KeyPath] = dataclasses.field(default_factory=set)
    from_environment: set[KeyPath] = dataclasses.field(default_factory=set)

    def finish(self, source: str, *, overrides: Sequence[str], environ: Mapping[str, str]) -> Config:
        tables = self._known_tables()
        for override in overrides:
            self._override(tables, override)
        for section, table in tables.items():
            for key in table:
                table[key] = self._substituted(table[key], (section, key), environ)
        for (section, key), variable in FILLED_FROM_ENVIRONMENT.items():
            if tables[section].get(key) is None and environ.get(variable):
                tables[section][key] = environ[variable]
        for section, key in self._doubtful():
            tables[section].pop(key, None)
        config = Config.model_validate({section: self._section(section, table) for section, table in tables.items()})
        self._check_rules(config)
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: (problem.line is None, problem.line or 0))
            raise ConfigError([*map(str, ordered)], source)
        return config

    def _doubtful(self) -> set[tuple[str, str]]:
        paths = [problem.path for problem in self.problems]
        return {(path[0], path[1]) for path in paths if len(path) >= 2 and path[0] in SECTIONS}

    def _report(self, path: KeyPath, text: str) -> None:
        from_override = path[:2] in self.overridden
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = None if from_override else self.lines.get(known)
        self.problems.append(Problem(path=path, line=line, from_override=from_override, text=text))

    def _known_tables(self) -> dict[str, dict[str, object]]:
        tables: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
        for section, content in self.values.items():
            if section not in SECTIONS:
                self._report((section,), UNKNOWN_SECTION.says.format(hint=_section_hint(section)))
            elif isinstance(content, dict):
                for key, value in content.items():
                    if self._is_known((section, key)):
                        tables[section][key] = value
            elif content is not None:
                self._report((section,), NOT_A_SECTION.says)
        return tables

    def _is_known(self, path: KeyPath) -> bool:
        section, key = path
        if key in SECTIONS[section].model_fields:
            return True
        self._report(path, UNKNOWN_KEY.says.format(hint=_key_hint(section, key)))
        return False

    def _override(self, tables: dict[str, dict[str, object]], override: str) -> None:
        name, equals, text = override.partition("=")
        section, *keys = (part.strip() for part in name.split("."))
        if not equals or not keys or not all(keys):
            self.problems.append(Problem(path=(name,), from_override=True, text=BAD_OVERRIDE.says))
            return
        path = (section, *keys)
        self.overridden.add(path[:2])
        if section not in SECTIONS:
            self._report(path, UNKNOWN_SECTION.says.format(hint=_section_hint(section)))
            return
        if not self._is_known(path[:2]):
            return
        # An override replaces what the file says, its problems included.
        self.problems = [problem for problem in self.problems if len(keys) > 1 or problem.path[:2] != path[:2]]
        value = _override_value(text, field_at(section, keys[0]) if len(keys) == 1 else None)
        table = tables[section]
        for key in keys[:-1]:
            inner = table.get(key)
            if not isinstance(inner, dict):
                table[key] = inner = {}
            table = inner
        table[keys[-1]] = value

    def _substituted(self, value: object, path: KeyPath, environ: Mapping[str, str]) -> object:
        if isinstance(value, dict):
            return {key: self._substituted(inner, (*path, key), environ) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._substituted(inner, (*path, str(number)), environ) for number, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        found = substitute(value, environ)
        for reason in found.reasons:
            self._report(path, reason)
        if not found.from_environment:
            return found.text
        self.from_environment.add(path[:2])
        wants_text = len(path) == 2 and takes_text(field_at(path[0], path[1]))
        return found.text if wants_text else plain_scalar(found.text)

    def _section(self, section: str, table: dict[str, object]) -> Section:
        model = SECTIONS[section]
        try:
            return model.model_validate(table)
        except ValidationError as error:
            details = {str(found["loc"][0]): found for found in error.errors(include_url=False)}
        for key, found in details.items():
            self._report((section, key), self._reason((section, key), table[key], found))
        return model.model_validate({key: value for key, value in table.items() if key not in details})

    def _reason(self, path: KeyPath, value: object, found: ErrorDetails) -> str:
        field = field_at(path[0], path[1])
        if value is None:
            return NO_VALUE.says.format(expected=expectation(field), default=shown_default(field))
        if found["type"] == "value_error":
            return UNSUITABLE.says.format(reason=found["ctx"]["error"])
        return wrong_value(field, value, hidden=is_secret(field) or path in self.from_environment)

    def _check_rules(self, config: Config) -> None:
        doubtful = {f"{section}.{key}" for section, key in self._doubtful()}
        for rule in RULES:
            reason = None if doubtful.intersection(rule.keys) else rule.problem(config)
            if reason is not None:
                paths = [tuple(key.split(".")) for key in rule.keys]
                # Filed under the first key, but pointed at the first of them that the file holds.
                line = next((self.lines[path] for path in paths if path in self.lines), None)
                self.problems.append(Problem(path=paths[0], line=line, text=RULE_BROKEN.says.format(reason=reason)))


def wrong_value(field: FieldInfo, value: object, *, hidden: bool) -> str:
    found = "what it holds now (not shown here)" if hidden else shown(value)
    if takes_text(field) and isinstance(value, bool | int | float):
        found += "; put it in quotes"
    elif isinstance(value, str) and not hidden:
        suggestion = nearest(value, choices(field))
        if not isinstance(plain_scalar(value), str):
            found += "; remove the quotes"
        elif suggestion is not None:
            found += f"; did you mean {suggestion}?"
    return WRONG_VALUE.says.format(expected=expectation(field), found=found)


def _override_value(text: str, field: FieldInfo | None) -> object:
    if field is not None and is_secret(field):
        return text or None
    try:
        document = read_yaml(text)
    except yaml.YAMLError:
        return text
    value = document.values
    if document.problems:
        return text
    if field is None or not takes_text(field) or isinstance(value, str) or (value is None and can_be_unset(field)):
        return value
    return text


def _section_hint(section: str) -> str:
    near = nearest(section, SECTIONS)
    if near is not None:
        return f"did you mean {near}?"
    homes = _homes(section)
    if homes:
        return f"{section} is a key of section {' and '.join(homes)}"
    return f"the sections are {', '.join(SECTIONS)}"


def _key_hint(section: str, key: str) -> str:
    near = nearest(key, SECTIONS[section].model_fields)
    homes = _homes(key)
    hints = [f"did you mean {near}?"] if near is not None else []
    hints += [f"{key} is a key of section {' and '.join(homes)}"] if homes else []
    if hints:
        return " ".join(hints)
    anywhere = {other: home for home, model in SECTIONS.items() for other in model.model_fields}
    near = nearest(key, anywhere)
    if near is not None:
        return f"did you mean {anywhere[near]}.{near}?"
    return f"the keys of {section} are {', '.join(SECTIONS[section].model_fields)}"


def _homes(key: str) -> list[str]:
    return [section for section, model in SECTIONS.items() if key in model.model_fields]
