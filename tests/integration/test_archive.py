"""What is asked for now and then is answered from memory while the database has other worries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text

from contract.database import engine_for
from contract.errors import DatabaseUnreachable
from coordinator.dashboard.archive import Archive
from tests.integration.classroom import Classroom, classroom
from tests.waiting import wait_until

__all__ = ["classroom"]

_WAITS = text("SELECT count(*) FROM pg_locks WHERE relation = 'ledger.samples'::regclass AND NOT granted")


def test_whoever_asks_for_the_runs_does_not_wait_for_a_sample_that_does_not_come(classroom: Classroom) -> None:
    archive = Archive(classroom.owner)
    archive.runs()
    with ThreadPoolExecutor(2) as visitors, classroom.owner.connect() as conn:
        conn.execute(text("LOCK TABLE ledger.samples IN ACCESS EXCLUSIVE MODE"))
        sample = visitors.submit(archive.sample, "class", 0)
        wait_until(lambda: conn.execute(_WAITS).scalar_one(), what="that somebody waits for a sample")
        try:
            assert [run.run for run in visitors.submit(archive.runs).result(timeout=10)] == ["class"]
        finally:
            conn.rollback()
        assert sample.result(timeout=10) is None


def test_that_the_database_is_away_is_found_out_once_for_all_who_ask() -> None:
    engine = engine_for(make_url("postgresql+psycopg://nobody@127.0.0.1:9/nothing"), application="test")
    archive = Archive(engine)
    with pytest.raises(DatabaseUnreachable) as first:
        archive.runs()
    with pytest.raises(DatabaseUnreachable) as second:
        archive.runs()
    assert second.value is first.value
