"""Types and values in a teacher's words: one phrase serves the problems, the template and the reference."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from contract.config.fields import Wording

_PLAIN: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    SecretStr: "text",
}


def expectation(field: FieldInfo) -> str:
    """What a value must be: "a whole number, at least 1, or the word auto"."""
    return _phrase(field.annotation, field.metadata)


def can_be_unset(field: FieldInfo) -> bool:
    return types.NoneType in _alternatives(field.annotation)


def is_secret(field: FieldInfo) -> bool:
    return SecretStr in _alternatives(field.annotation)


def takes_text(field: FieldInfo) -> bool:
    """Whether any text is a possible value, so that `5432` from outside means the text, not the number."""
    return any(alternative in (str, SecretStr) for alternative in _alternatives(field.annotation))


def choices(field: FieldInfo) -> tuple[str, ...]:
    return tuple(str(choice) for choice in _literals(_alternatives(field.annotation)))


def shown_default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, float):
        return f"{default:g}"
    return "empty" if default in ("", {}, ()) else str(default)


def shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 40 else f"the text {value[:37] + '...'!r}"
    if isinstance(value, int | float):
        text = repr(value)
        return text if len(text) <= 40 else "a number of many digits"
    if isinstance(value, Mapping):
        return "a table of keys"
    if isinstance(value, list | tuple):
        items = ", ".join(item if isinstance(item, str) else shown(item) for item in value[:10])
        return f"the list [{items}]" if len(items) <= 40 and len(value) <= 10 else "a long list"
    return f"a value of type {type(value).__name__}"


def _alternatives(annotation: object) -> list[object]:
    """The members of a union, bare of their annotations."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(annotation) for inner in _alternatives(member)]
    return [annotation]


def _literals(alternatives: Iterable[object]) -> list[object]:
    return [
        choice
        for alternative in alternatives
        if typing.get_origin(alternative) is typing.Literal
        for choice in typing.get_args(alternative)
    ]


def _phrase(annotation: object, metadata: Iterable[object]) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return _phrase(inner, [*metadata, *more])
    marks = [mark for found in metadata for mark in (found.metadata if isinstance(found, FieldInfo) else [found])]
    words = [mark.text for mark in marks if isinstance(mark, Wording)]
    if words:
        return words[-1]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        return ", or ".join(_phrase(member, marks) for member in members)
    return ", ".join([_kind(annotation), *_bounds(marks)])


def _kind(annotation: object) -> str:
    if isinstance(annotation, type) and annotation in _PLAIN:
        return _PLAIN[annotation]
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        words = [str(choice) for choice in typing.get_args(annotation)]
        return f"the word {words[0]}" if len(words) == 1 else f"one of {', '.join(words)}"
    if origin is dict or annotation is dict:
        return "a table of names and values"
    if origin in (list, tuple):
        items = [item for item in typing.get_args(annotation) if item is not Ellipsis]
        return (
            f"a list, each item {' or '.join(dict.fromkeys(_phrase(item, []) for item in items))}"
            if items
            else "a list"
        )
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section"
    return f"a {getattr(annotation, '__name__', annotation)}"


def _bounds(marks: Iterable[object]) -> list[str]:
    phrases = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
    return [
        phrase.format(getattr(mark, name))
        for mark in marks
        for name, phrase in phrases.items()
        if getattr(mark, name, None) is not None
    ]
