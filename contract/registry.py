"""The small read-only table that every kind of plug-in uses.

A member is a frozen dataclass with a `name` and a default for every option. What a name means never changes: a blob
stores the name of its codec and is decoded by it, years later.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from contract.config import nearest, wrong_value
from contract.errors import ConfigError


class Named(Protocol):
    name: ClassVar[str]


MemberT = TypeVar("MemberT", bound=Named)

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Registry(Generic[MemberT]):
    """Construction raises TypeError or ValueError for a programmer's slip; the rest raises ConfigError for a user's."""

    def __init__(self, kind: str, *members: type[MemberT]) -> None:
        self.kind = kind
        by_name: dict[str, type[MemberT]] = {}
        for member in members:
            _require_well_made(kind, member)
            if member.name in by_name:
                raise ValueError(
                    f"two {kind}s are named {member.name}: {by_name[member.name].__name__}, {member.__name__}"
                )
            by_name[member.name] = member
        self._members: Mapping[str, type[MemberT]] = MappingProxyType(by_name)

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}: {', '.join(self._members)})"

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[type[MemberT]]:
        return iter(self._members.values())

    def __contains__(self, name: object) -> bool:
        return name in self._members

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def get(self, name: str) -> type[MemberT]:
        if name in self._members:
            return self._members[name]
        raise ConfigError([f"unknown {self.kind} {name!r}; {_suggestion(name, self.names)}"])

    def options(self, name: str) -> tuple[str, ...]:
        """What may be set of this member."""
        return tuple(_option_types(self.get(name)))

    def build(self, name: str, options: Mapping[str, object] | None = None) -> MemberT:
        member = self.get(name)
        types = _option_types(member)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for option, value in (options or {}).items():
            try:
                values[option] = _checked(option, value, types)
            except ValueError as error:
                problems.append(f"{self.kind} {name}: option {option}: {error}")
        if problems:
            raise ConfigError(problems)
        try:
            return member(**values)
        except (TypeError, ValueError) as error:
            # What the member's own __post_init__ has to say about its options.
            raise ConfigError([f"{self.kind} {name}: {error}"]) from error


def _checked(option: str, value: object, types: Mapping[str, Any]) -> object:
    if option not in types:
        raise ValueError(f"unknown option; {_suggestion(option, tuple(types))}")
    try:
        # Options are JSON wherever they are kept (config, ledger, blob), and as JSON a list may become a tuple while
        # everything else stays strict. NaN and infinity are no JSON, and no options either.
        return TypeAdapter(types[option]).validate_json(json.dumps(value, allow_nan=False), strict=True)
    except (ValidationError, TypeError, ValueError):
        field = FieldInfo.from_annotation(types[option])
    raise ValueError(wrong_value(field, value, hidden=False))


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known)
    return (f"did you mean {near}? " if near is not None else "") + f"known: {', '.join(known) or 'none'}"


def _require_well_made(kind: str, member: type[Any]) -> None:
    who = f"{kind} {member.__name__}"
    name = getattr(member, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TypeError(f"{who} needs a ClassVar `name` of lower-case letters, digits and underscores")
    # Looked for in the class itself: a subclass of a frozen dataclass that is no dataclass would pass otherwise.
    parameters = member.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise TypeError(f"{who} must be a frozen dataclass")
    for field in dataclasses.fields(member):
        if field.name == "name":
            raise TypeError(f"{who}: `name` must be a ClassVar, or an option could rename it")
        if not field.init:
            continue
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise TypeError(f"{who}: option {field.name} needs a default")
    _option_types(member)


def _option_types(member: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(member, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(member) if field.init}
