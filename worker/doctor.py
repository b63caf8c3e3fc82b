"""Whether this computer can take part, and what to do where it cannot."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterator

from sqlalchemy import text

from contract.config import Config
from contract.database import SCHEMA_REVISION, make_engine, revision_of
from contract.errors import BarnraiseError

_CLOCK_TOLERANCE_SECONDS = 120
_CLOCK = text("SELECT clock_timestamp()")
_MISSING_FUNCTIONS = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
     WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = to_regnamespace('volunteer') AND p.proname = name
                          AND has_function_privilege(p.oid, 'EXECUTE'))""")
_RUN = text("SELECT state, num_workers FROM watch.progress WHERE run = :run")
_FUNCTIONS = ("join_v1", "claim_v1", "heartbeat_v1", "fetch_manifest_v1", "fetch_part_v1", "upload_part_v1",
              "submit_v1", "release_v1", "leave_v1")  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    good: bool
    text: str


def examine(config: Config) -> list[Finding]:
    try:
        return list(_examine(config))
    except BarnraiseError as error:
        return [Finding(good=False, text=str(error))]


def _examine(config: Config) -> Iterator[Finding]:
    engine = make_engine(config.database, application="worker doctor")
    began = time.monotonic()
    with engine.connect() as conn:
        there = conn.execute(_CLOCK).scalar_one()
        milliseconds = 1000 * (time.monotonic() - began)
        url = engine.url
        yield Finding(good=True, text=f"{url.host or 'the database'} answers, and knows {url.username}")
        yield Finding(good=True, text=f"login and a first answer took {milliseconds:.0f} ms")
        revision = revision_of(conn)
        if revision is None or int(revision) < int(SCHEMA_REVISION):
            yield Finding(
                good=False,
                text=f"the ledger is at revision {revision or 'none'}, this Barnraise needs {SCHEMA_REVISION}; "
                "ask the instructor to run `coordinator migrate`",
            )
            return
        missing = list(conn.execute(_MISSING_FUNCTIONS, {"names": list(_FUNCTIONS)}).scalars())
        yield Finding(
            good=not missing,
            text=f"you may not call {', '.join(missing)}; your invitation may be revoked, ask the instructor"
            if missing
            else "you may do all that a volunteer does",
        )
        run = conn.execute(_RUN, {"run": config.run.name}).one_or_none()
        yield Finding(
            good=True,
            text=f"run {config.run.name} is {run.state}, with {run.num_workers} workers"
            if run
            else f"run {config.run.name} has not begun yet",
        )
        apart = abs((there - datetime.datetime.now(datetime.UTC)).total_seconds())
        yield Finding(
            good=True,
            text="this computer's clock agrees with the database's"
            if apart < _CLOCK_TOLERANCE_SECONDS
            else f"note: this computer's clock is {apart:.0f} s off; nothing here depends on it, its logs will mislead",
        )
