"""YAML text -> plain values, with the line of every key and every slip that YAML itself would swallow."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

import yaml

from contract.config.problems import GIVEN_TWICE, ODD_KEY, ODD_VALUE, KeyPath, Problem

# Twelve sections of keys with a free table in some of them: a deeper file is an attack or a mistake.
MAX_DEPTH: Final = 20

_TAG: Final = "tag:yaml.org,2002:"
# YAML 1.2's core forms, not PyYAML's 1.1: `no` and `on` are words, `22:00` is no number, `2e-4` is one.
SCALAR_FORMS: Final = {
    "bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    "int": (re.compile(r"^[-+]?[0-9][0-9_]*$"), "-+0123456789"),
    "float": (
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        "-+.0123456789",
    ),
    "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
}


class _Loader(yaml.SafeLoader):
    """Safe, and without anchors: a few nested aliases can stand for gigabytes."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            reason = "anchors and aliases (& and *) are not supported; write the value out, or put it in quotes"
        elif self.depth >= MAX_DEPTH:
            reason = "nested too deeply"
        else:
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node
        # The stubs know another Mark than the one that this loader, in pure Python, makes.
        raise yaml.MarkedYAMLError(problem=reason, problem_mark=event.start_mark)  # type: ignore[arg-type]


_Loader.yaml_implicit_resolvers = {}
for _name, (_form, _first) in SCALAR_FORMS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", _form, list(_first))


@dataclasses.dataclass(slots=True, kw_only=True)
class Document:
    """`values` is None for a text without content."""

    values: object = None
    lines: dict[KeyPath, int] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def read_yaml(text: str) -> Document:
    """Raises yaml.YAMLError when the text is not YAML; `yaml_reason` puts that into words."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    document = Document()
    if node is not None:
        document.values = _value(node, (), document)
    return document


def _value(node: yaml.Node, path: KeyPath, document: Document) -> object:
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        return _table(node, path, document)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(item, (*path, str(number)), document) for number, item in enumerate(node.value)]
    try:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node.tag.removeprefix(_TAG), node.value)
        reason = "YAML tags (!) are not supported; write the value plainly, or put it in quotes"
    except ValueError as error:
        reason = str(error)
    line = node.start_mark.line + 1
    document.problems.append(Problem(path=path, line=line, text=ODD_VALUE.says.format(reason=reason)))
    return None


def _scalar(kind: str, text: str) -> object:
    if kind == "str":
        return text
    if kind not in SCALAR_FORMS:
        raise ValueError("YAML tags (!) are not supported; write the value plainly, or put it in quotes")
    if not SCALAR_FORMS[kind][0].match(text) or len(text) > 100:
        raise ValueError("cannot be read as a number or a word; put it in quotes if it is text")
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text.replace("_", ""))
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return None


def plain_scalar(text: str) -> object:
    """What this text would mean in a file, written without quotes."""
    for kind, (form, _) in SCALAR_FORMS.items():
        if form.match(text):
            return _scalar(kind, text) if len(text) <= 100 else text
    return text


def _table(node: yaml.MappingNode, path: KeyPath, document: Document) -> dict[str, object]:
    table: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem(path=path, line=line, text=ODD_KEY.says))
            continue
        key = key_node.value
        inner = (*path, key)
        if key in table:
            text = GIVEN_TWICE.says.format(first=document.lines[inner])
            document.problems.append(Problem(path=inner, line=line, text=text))
            continue
        document.lines[inner] = line
        table[key] = _value(value_node, inner, document)
    return table


def yaml_reason(error: yaml.YAMLError) -> tuple[int | None, str]:
    """The line and the reason, without the snippet of text that PyYAML would show: it may hold a password."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "the text breaks off"
        if "'\\t'" in reason:
            reason = "a tab character; indent with spaces"
        elif "mapping values are not allowed" in reason:
            reason = "a colon where none can stand; is the line above indented alike, and is text with `: ` in quotes?"
        elif "expected a single document" in reason or "but found another document" in reason:
            reason = "a second document (---); a configuration is one"
        return (None if mark is None else mark.line + 1), reason
    return None, "the text holds a character that YAML does not allow"
