"""A view of schema `watch` as a list of records, each with the columns that its class names."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from sqlalchemy import Connection, TextClause, text

Record = TypeVar("Record")


def select(kind: type[Any], view: str, rest: str) -> TextClause:
    columns = ", ".join(field.name for field in dataclasses.fields(kind))
    return text(f"SELECT {columns} FROM watch.{view} {rest}")  # noqa: S608  constants of ours


def records(conn: Connection, kind: type[Record], statement: TextClause, **values: object) -> list[Record]:
    found = conn.execute(statement, values)
    names = tuple(found.keys())
    # A row's own mapping looks each name up anew, which takes milliseconds for a thousand rows.
    return [kind(**dict(zip(names, row, strict=True))) for row in found.all()]
