"""`${NAME}` inside values, and the variables that fill a secret which the file leaves unset."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from contract.config.problems import BAD_PLACEHOLDER, MISSING_VARIABLE, KeyPath

FILLED_FROM_ENVIRONMENT: Final[Mapping[KeyPath, str]] = {
    ("database", "password"): "DB_PASSWORD",
    ("huggingface", "token"): "HF_TOKEN",
}

_PLACEHOLDER: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Substituted:
    text: str
    from_environment: bool
    reasons: tuple[str, ...]


def substitute(text: str, environ: Mapping[str, str]) -> Substituted:
    reasons: list[str] = []
    from_environment = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal from_environment
        if match.group() == "$${":
            return "${"
        name = match.group(1)
        if name is None:
            reasons.append(BAD_PLACEHOLDER.says.format())
        elif name not in environ:
            reasons.append(MISSING_VARIABLE.says.format(name=name))
        else:
            from_environment = True
            return environ[name]
        return ""

    replaced = _PLACEHOLDER.sub(replacement, text)
    return Substituted(text=replaced, from_environment=from_environment, reasons=tuple(dict.fromkeys(reasons)))


def escape(text: str) -> str:
    """The inverse of `substitute` for text that shall be taken as it is."""
    return text.replace("${", "$${")
