"""Runs the .sql files beside it, verbatim."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from alembic import op


def run_files(names: Iterable[str]) -> None:
    # no_parameters: text() would trip over the colons of JSON, a plain exec_driver_sql over every percent sign.
    bind = op.get_bind().execution_options(no_parameters=True)
    for name in names:
        bind.exec_driver_sql(resources.files("migrations").joinpath(name).read_text(encoding="utf-8"))
