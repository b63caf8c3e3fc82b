"""Every kind of problem a configuration can have: what the message says, and what it means to the reader."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Final

KeyPath = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProblemKind:
    """`says` is the message, with its gaps in braces; `means` is the line of the reference."""

    says: str
    means: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`line` is None for what does not stand in the file."""

    path: KeyPath = ()
    line: int | None = None
    from_override: bool = False
    text: str

    def __str__(self) -> str:
        key = ".".join(self.path)
        if self.from_override:
            return f"--set {key}: {self.text}"
        where = f"line {self.line}" if self.line is not None else ""
        return ": ".join(part for part in (where, key, self.text) if part)


NO_FILE: Final = ProblemKind(
    says="there is no such file; instructors write one with `coordinator init`, volunteers are sent one; "
    "--config FILE or CONFIG_PATH names it",
    means="The file does not exist. Without --config and CONFIG_PATH, `config.yaml` in the current folder is read.",
)
NOT_A_FILE: Final = ProblemKind(
    says="this is a folder; name the configuration file inside it", means="A folder was given where a file belongs."
)
UNREADABLE: Final = ProblemKind(
    says="the file cannot be read: {reason}", means="The operating system refused; often a matter of permissions."
)
TOO_LARGE: Final = ProblemKind(
    says="the file has more than {limit} bytes; this is not a configuration",
    means="A configuration has a few kilobytes; a wrong file was probably named.",
)
NOT_UTF8: Final = ProblemKind(
    says="the file is not UTF-8 text (byte {position}); save it as UTF-8",
    means="Some editors save as UTF-16 or in a national encoding; choose UTF-8 when saving.",
)
EMPTY: Final = ProblemKind(
    says="the file is empty; `coordinator init` writes one with every key explained",
    means="The file holds nothing, or comments only.",
)
BAD_YAML: Final = ProblemKind(
    says="not valid YAML: {reason}", means="The text cannot be read as YAML; look at the line, and at the one above it."
)
NOT_SECTIONS: Final = ProblemKind(
    says="the file must consist of sections such as `training:` with keys below them",
    means="The file is valid YAML, but a list or a single value.",
)
GIVEN_TWICE: Final = ProblemKind(
    says="given twice; it stands on line {first} already", means="A key or section may stand once; merge the two."
)
ODD_KEY: Final = ProblemKind(says="a key must be a plain word", means="A list or a table stands where a key belongs.")
ODD_VALUE: Final = ProblemKind(
    says="{reason}", means="A value carries a YAML tag (`!!...`) or a number too long to read; write it plainly."
)
UNKNOWN_SECTION: Final = ProblemKind(
    says="unknown section; {hint}", means="No section has this name; the nearest one is suggested."
)
UNKNOWN_KEY: Final = ProblemKind(
    says="unknown key; {hint}",
    means="The section has no such key; the nearest one, or the section that has it, is suggested.",
)
NOT_A_SECTION: Final = ProblemKind(
    says="must be a section: keys on lines of their own, indented below it",
    means="A section holds a single value or a list instead of keys.",
)
NO_VALUE: Final = ProblemKind(
    says="has no value; write {expected}, or remove the line for the default ({default})",
    means="The key stands without a value and cannot be unset.",
)
WRONG_VALUE: Final = ProblemKind(
    says="must be {expected}, not {found}", means="The value has the wrong type, or is out of range."
)
UNSUITABLE: Final = ProblemKind(says="{reason}", means="The value has the right type but cannot be used.")
MISSING_VARIABLE: Final = ProblemKind(
    says="the environment variable {name} is not set", means="`${NAME}` is replaced from the environment, if it is set."
)
BAD_PLACEHOLDER: Final = ProblemKind(
    says="`${{` needs a variable's name and `}}` after it; write `$${{` where `${{` itself is meant",
    means="A `${` that is not `${NAME}`. `$${` stands for a plain `${`.",
)
BAD_OVERRIDE: Final = ProblemKind(
    says="write --set section.key=value", means="An override has no `=`, or does not name a section and a key."
)
RULE_BROKEN: Final = ProblemKind(
    says="{reason}", means="Two keys contradict each other; the message names both, and the rules are listed above."
)

PROBLEM_KINDS: Final = (
    NO_FILE,
    NOT_A_FILE,
    UNREADABLE,
    TOO_LARGE,
    NOT_UTF8,
    EMPTY,
    BAD_YAML,
    NOT_SECTIONS,
    GIVEN_TWICE,
    ODD_KEY,
    ODD_VALUE,
    UNKNOWN_SECTION,
    UNKNOWN_KEY,
    NOT_A_SECTION,
    NO_VALUE,
    WRONG_VALUE,
    UNSUITABLE,
    MISSING_VARIABLE,
    BAD_PLACEHOLDER,
    BAD_OVERRIDE,
    RULE_BROKEN,
)


def nearest(name: str, known: Iterable[str]) -> str | None:
    matches = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
