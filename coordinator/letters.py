"""The small files that hold all that one person needs to come in, written all or none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from sqlalchemy import URL

from contract.errors import InvitationError
from coordinator.ledger.people import Admission


class _Dumper(yaml.SafeDumper):
    """Lines of a certificate stay lines."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


class Letters:
    """Drafts, until `hand_out` gives them their names. What was not handed out is gone with the block."""

    def __init__(self, directory: Path, *, header: str) -> None:
        self._directory, self._header = directory, header
        self._drafts: list[tuple[Path, Path]] = []

    def __enter__(self) -> Letters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for draft, _ in self._drafts:
            draft.unlink(missing_ok=True)

    def write(self, name: str, content: dict[str, Any]) -> tuple[Path, str]:
        """Where the letter will be, and what stands in it below its header."""
        file = self._directory / f"{name}.yaml"
        text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        self._drafts.append((_written(file, self._header.format(file=file.name) + text), file))
        return file, text

    def hand_out(self) -> None:
        """The logins exist by now: a draft that cannot be renamed stays, with the password in it."""
        drafts, self._drafts = self._drafts, []
        for draft, file in drafts:
            draft.replace(file)


def database_section(public: dict[str, Any], admission: Admission) -> dict[str, Any]:
    """Of a configuration: the way in for this person."""
    if "url" in public:
        url: URL = public["url"].set(drivername="postgresql", username=admission.role, password=admission.password)
        return {"embedded": False, **public, "url": url.render_as_string(hide_password=False)}
    return {"embedded": False, **public, "user": admission.role, "password": admission.password}


def _written(file: Path, content: str) -> Path:
    draft = file.with_suffix(".new")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(content)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise InvitationError(f"cannot write {file}: {error.strerror}; nobody was invited") from error
    return draft
