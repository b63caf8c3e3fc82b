"""A file, overrides and the environment -> a Config, or every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from contract.config.models import Config
from contract.config.problems import (
    BAD_YAML,
    EMPTY,
    NO_FILE,
    NOT_A_FILE,
    NOT_SECTIONS,
    NOT_UTF8,
    TOO_LARGE,
    UNREADABLE,
)
from contract.config.reading import Document, read_yaml, yaml_reason
from contract.config.validation import Draft
from contract.errors import ConfigError

MAX_FILE_BYTES: Final = 1 << 20
DEFAULT_FILE: Final = "config.yaml"


def load_config(
    path: Path | None, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Config:
    """`path` None takes $CONFIG_PATH, else ./config.yaml; `overrides` are `section.key=value` with values in YAML."""
    environ = os.environ if environ is None else environ
    file = find_config_file(path, environ)
    return parse_config(_read(file), source=str(file), overrides=overrides, environ=environ)


def parse_config(
    text: str, *, source: str, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Config:
    """As `load_config`, for text that did not come from a file, such as a join token."""
    document = _parse(text, source)
    if document.values is None and not document.problems:
        raise ConfigError([EMPTY.says], source)
    if not isinstance(document.values, dict):
        raise ConfigError([*map(str, document.problems)] or [NOT_SECTIONS.says], source)
    draft = Draft(values=document.values, lines=document.lines, problems=document.problems)
    return draft.finish(source, overrides=overrides, environ=os.environ if environ is None else environ)


def find_config_file(path: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """Where `load_config` reads; paths inside the configuration are relative to this file's folder."""
    if path is not None:
        return path
    environ = os.environ if environ is None else environ
    return Path(environ.get("CONFIG_PATH") or DEFAULT_FILE)


def resolve_path(value: str, *, config_file: Path | None) -> Path:
    """A path of the configuration, made absolute from the folder of the file that holds it."""
    folder = Path.cwd() if config_file is None else config_file.absolute().parent
    return folder / Path(value).expanduser()


def _read(file: Path) -> str:
    source = str(file)
    try:
        with file.open("rb") as stream:
            # One byte more than allowed tells a file that is too large without reading all of it.
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError([NO_FILE.says], source) from None
    except OSError as error:
        # Windows answers "permission denied" to the opening of a folder.
        reasons = [NOT_A_FILE.says if file.is_dir() else UNREADABLE.says.format(reason=error.strerror or error)]
        raise ConfigError(reasons, source) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([TOO_LARGE.says.format(limit=MAX_FILE_BYTES)], source)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([NOT_UTF8.says.format(position=error.start)], source) from None


def _parse(text: str, source: str) -> Document:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        line, reason = yaml_reason(error)
    # Raised outside of the handler: the YAML error quotes the text, and the text may hold a password.
    where = "" if line is None else f"line {line}: "
    raise ConfigError([where + BAD_YAML.says.format(reason=reason)], source)
