"""`${NAME}` inside values, variables that fill a secret which the file leaves unset, and one that a library reads."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Final

from contract.config.problems import BAD_PLACEHOLDER, MISSING_VARIABLE, KeyPath

if TYPE_CHECKING:
    from contract.config.models import Config

DASHBOARD_VARIABLE: Final = "DASHBOARD_TOKEN"
_HUB_VARIABLE: Final = "HF_TOKEN"
FILLED_FROM_ENVIRONMENT: Final[Mapping[KeyPath, str]] = {
    ("database", "password"): "DB_PASSWORD",
    ("huggingface", "token"): _HUB_VARIABLE,
    ("coordinator", "dashboard_token"): DASHBOARD_VARIABLE,
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


def export_token(config: Config, environ: MutableMapping[str, str] | None = None) -> None:
    """For the Hub's client, which knows no other way that reaches all of it. A token in the file wins."""
    token = config.huggingface.token
    if token is not None:
        (os.environ if environ is None else environ)[_HUB_VARIABLE] = token.get_secret_value()
