"""`coordinator export --csv`: the record of a run as three tables, all from one moment, whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine

from contract.errors import BarnraiseError
from coordinator.contributions import Contribution, contributions
from coordinator.ledger import people, records, views
from coordinator.spreadsheet import Cell, write_table

CONTRIBUTIONS: Final = "contributions.csv"
UNITS: Final = "units.csv"
LOSSES: Final = "losses.csv"
FILES: Final = (CONTRIBUTIONS, UNITS, LOSSES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    file: Path
    num_rows: int


def export(engine: Engine, *, run: str, folder: Path) -> list[Exported]:
    """Nothing that is there is replaced; when anything goes wrong, nothing is left."""
    # One moment for all three: units merged in between would be in one table and not in the other.
    reading = engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with reading as conn, conn.begin(), _drafts(folder) as drafts:
        records.require_run(conn, run=run)
        counts = {name: _write(conn, run, drafts / name) for name in FILES}
        _refuse_to_replace(folder)
        for name in FILES:
            (drafts / name).rename(folder / name)
    return [Exported(file=folder / name, num_rows=count) for name, count in counts.items()]


@contextlib.contextmanager
def _drafts(folder: Path) -> Iterator[Path]:
    """A folder inside of `folder`, so that its files only need to be renamed. It goes, and `folder` too if it is new
    and stays empty."""
    drafts: Path | None = None
    is_new = False
    try:
        _refuse_to_replace(folder)
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        drafts = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
        yield drafts
    except OSError as error:
        raise BarnraiseError(_problem(folder, error)) from error
    finally:
        if drafts is not None:
            shutil.rmtree(drafts, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _refuse_to_replace(folder: Path) -> None:
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise BarnraiseError(
            f"{folder} holds {' and '.join(there)} already, and nothing is replaced; "
            "name another folder, or remove what is there"
        )


def _problem(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {folder} is full, nothing was exported; make space, or name a folder on another disk"
    return f"{folder} cannot be written: {error.strerror or error}; nothing was exported"


def _write(conn: Connection, run: str, file: Path) -> int:
    if file.name == UNITS:
        return write_table(file, *_table(records.UnitRecord, records.unit_records(conn, run=run)))
    if file.name == LOSSES:
        return write_table(file, *_table(records.LossRecord, records.loss_records(conn, run=run)))
    found = contributions(
        places=views.leaderboard(conn, run=run),
        accepted=views.acceptance(conn, run=run),
        sent=views.sent_bytes(conn, run=run),
        invited=people.roster(conn) if records.sees_everything(conn) else (),
    )
    return write_table(file, *_table(Contribution, found))


def _table(record: type[Any], rows: Iterable[Any]) -> tuple[list[str], Iterator[list[Cell]]]:
    names = [field.name for field in dataclasses.fields(record)]
    return [f"{name}_utc" if name.endswith("_at") or name == "at" else name for name in names], (
        [getattr(row, name) for name in names] for row in rows
    )
