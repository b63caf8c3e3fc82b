"""The loop goes on: past locks that somebody holds, past a database that is full, read-only or away."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from contract.errors import DatabaseFull, DatabaseReadOnly, LockHeld
from contract.ids import Version
from coordinator.duties import police, reap, roll_call
from coordinator.duties.keep_leading import KeepLeading
from coordinator.duties.police import Police
from coordinator.duties.reap import Reap
from coordinator.duties.roll_call import RollCall
from coordinator.leadership import LEASE_SECONDS
from coordinator.ledger import versions
from coordinator.loop import Turn
from coordinator.troubles import Recovered
from tests.integration.a_loop import OFTEN, Coordinator, coordinator
from tests.integration.classroom import classroom
from tests.integration.embedded_support import needs_root
from tests.integration.two_at_once import open_transaction
from tests.servers.databases import Database
from tests.waiting import wait_until

__all__ = ["classroom", "coordinator"]

END_OTHER_SESSIONS = text("""
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()""")


def begin_reaping(coordinator: Coordinator) -> None:
    engine, run = coordinator.engine, coordinator.room.run
    coordinator.begin(
        [
            Turn(duty=Reap(engine=engine, run=run), every_seconds=OFTEN),
            Turn(duty=RollCall(engine=engine, run=run), every_seconds=OFTEN),
        ],
        beside=[Turn(duty=Police(engine=engine, fair_seconds=0), every_seconds=OFTEN)],
    )
    coordinator.next(reap.Report)


def test_a_lock_held_open_stops_one_duty_and_no_other(coordinator: Coordinator) -> None:
    begin_reaping(coordinator)
    with open_transaction(coordinator.room.owner) as psql:
        psql.execute(text("LOCK TABLE ledger.work_units"))
        error = coordinator.first(LockHeld)
        assert str(error).startswith("Somebody's open transaction holds what this statement needs; it is tried again.")
        for _ in range(2):
            coordinator.next(roll_call.Report)
            coordinator.next(police.Report)
        psql.rollback()
        coordinator.next(reap.Report)
        wait_until(lambda: coordinator.of(Recovered), what="the end of the trouble")
    assert coordinator.of(LockHeld) == [error], "told once, however often it was tried"


def test_the_police_are_not_held_up_by_a_turn_that_is(coordinator: Coordinator) -> None:
    """Whatever it waits for."""
    free, held = threading.Event(), threading.Event()

    class Stuck:
        def run_once(self) -> None:
            held.set()
            free.wait(60)

    engine = coordinator.engine
    coordinator.begin([Turn(duty=Stuck(), every_seconds=60)], [Turn(duty=Police(engine=engine), every_seconds=OFTEN)])
    assert held.wait(30)
    for _ in range(3):
        coordinator.next(police.Report)
    free.set()


def test_the_session_in_the_way_is_named_once(coordinator: Coordinator) -> None:
    begin_reaping(coordinator)
    with open_transaction(coordinator.room.owner) as psql:
        psql.execute(text("LOCK TABLE ledger.work_units"))
        pid = psql.execute(text("SELECT pg_backend_pid()")).scalar_one()
        wait_until(lambda: named(coordinator), what="a name")
        psql.rollback()
    assert set(named(coordinator)) == {(pid, coordinator.room.database.owner.role)}


def named(coordinator: Coordinator) -> list[tuple[int, str]]:
    return [(one.pid, one.login) for report in coordinator.of(police.Report) for one in report.in_the_way]


def test_a_mistake_beside_the_loop_ends_it(coordinator: Coordinator) -> None:
    class Mistaken:
        def run_once(self) -> None:
            raise ArithmeticError("a bug")

    coordinator.begin([], [Turn(duty=Mistaken(), every_seconds=OFTEN)])
    assert coordinator.ended is not None
    with pytest.raises(ArithmeticError, match="a bug"):
        coordinator.ended.result(timeout=30)
    coordinator.ended = None


def test_the_lead_is_kept_while_a_turn_takes_long(coordinator: Coordinator) -> None:
    free, held = threading.Event(), threading.Event()

    class Slow:
        def run_once(self) -> None:
            held.set()
            free.wait(60)

    beside = [Turn(duty=KeepLeading(leadership=coordinator.leadership), every_seconds=OFTEN)]
    coordinator.begin([Turn(duty=Slow(), every_seconds=60)], beside)
    assert held.wait(30)
    with coordinator.room.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.leaders SET expires_at = now() - interval '1 second'"))
    wait_until(lambda: lease_seconds_left(coordinator) > LEASE_SECONDS / 2, what="a renewal")
    free.set()


def test_a_lead_that_another_has_is_not_taken_back(coordinator: Coordinator) -> None:
    assert coordinator.leadership.hold()
    with coordinator.room.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.leaders SET holder = gen_random_uuid(), term = term + 1, expires_at = now()"))
    coordinator.leadership.renew()
    assert lease_seconds_left(coordinator) <= 0


def test_a_lead_that_was_given_up_is_not_renewed(coordinator: Coordinator) -> None:
    assert coordinator.leadership.hold()
    term = coordinator.leadership.term
    coordinator.leadership.give_up()
    # As a thread would whose turn had begun before.
    coordinator.leadership.term = term
    coordinator.leadership.renew()
    assert lease_seconds_left(coordinator) <= 0


def test_a_renewal_does_not_wait_for_the_version_that_is_being_published(coordinator: Coordinator) -> None:
    assert coordinator.leadership.hold()
    with coordinator.engine.begin() as publishing:
        coordinator.leadership.require(publishing)
        coordinator.leadership.renew()


# Of a lease that was given up it is -infinity, which PostgreSQL 16 and older cannot subtract from.
def lease_seconds_left(coordinator: Coordinator) -> float:
    with coordinator.room.owner.begin() as conn:
        left = text(
            "SELECT extract(epoch FROM greatest(expires_at, '2000-01-01') - clock_timestamp()) FROM ledger.leaders"
        )
        return float(conn.execute(left).scalar_one())


def test_a_database_that_is_read_only_for_a_while(coordinator: Coordinator) -> None:
    begin_reaping(coordinator)
    name = coordinator.room.database.name
    with coordinator.room.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as psql:
        psql.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        psql.execute(END_OTHER_SESSIONS).all()
        error = coordinator.first(DatabaseReadOnly)
        assert "accepts no writes at present" in str(error)
        # New sessions only: those that began meanwhile would stay as they are.
        psql.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        coordinator.next(reap.Report)
    wait_until(lambda: any(one.error is error for one in coordinator.of(Recovered)), what="the end of the trouble")
    assert coordinator.of(DatabaseReadOnly) == [error]


@dataclasses.dataclass(slots=True, kw_only=True)
class PublishMegabytes:
    """A version of 4 MB at every turn."""

    coordinator: Coordinator
    head: int = 0

    def run_once(self) -> int:
        new = versions.NewVersion(
            number=Version(self.head + 1), parent=Version(self.head), manifest="{}", optimizer_step=self.head,
            parts=[secrets.token_bytes(1 << 20) for _ in range(4)],
        )  # fmt: skip
        with self.coordinator.engine.begin() as conn:
            versions.publish_version(conn, run=self.coordinator.room.run, new=new)
        self.head += 1
        return self.head


@pytest.fixture
def small_disk(database: Database, superuser_connection: Connection) -> Iterator[Path]:
    """16 MB, on which the versions are stored."""
    folder = Path(tempfile.mkdtemp(prefix="barnraise-small-disk-"))
    folder.chmod(0o755)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0777", "tmpfs", folder], check=True)
    except (OSError, subprocess.CalledProcessError):
        folder.rmdir()
        pytest.skip("no tmpfs can be mounted here")
    space = f"{database.name}_small"
    try:
        data = Path(superuser_connection.execute(text("SHOW data_directory")).scalar_one())
        if not data.exists():
            pytest.skip("the server has disks of its own")
        server_account = folder / "space"
        server_account.mkdir()
        owner = data.stat()
        os.chown(server_account, owner.st_uid, owner.st_gid)
        superuser_connection.execute(text(f"CREATE TABLESPACE {space} LOCATION '{server_account}'"))
        superuser_connection.execute(text(f"ALTER TABLE ledger.model_parts SET TABLESPACE {space}"))
        yield folder
        superuser_connection.execute(text("TRUNCATE ledger.model_parts"))
        superuser_connection.execute(text("ALTER TABLE ledger.model_parts SET TABLESPACE pg_default"))
        superuser_connection.execute(text(f"DROP TABLESPACE {space}"))
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


@needs_root
def test_a_disk_that_is_full_for_a_while(coordinator: Coordinator, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(10 << 20))
    publish = PublishMegabytes(coordinator=coordinator)
    coordinator.begin([Turn(duty=publish, every_seconds=OFTEN)])
    error = coordinator.first(DatabaseFull)
    assert str(error).startswith("The database's disk is full; free some space, nothing that was accepted is lost.")
    before = publish.head
    filler.unlink()
    wait_until(lambda: publish.head > before, within_seconds=60, what="the next version")
    wait_until(lambda: coordinator.of(Recovered), what="the end of the trouble")
    coordinator.stop.set()
    torn = text("""
        SELECT count(*) FROM ledger.model_versions v
         WHERE num_bytes IS DISTINCT FROM
               (SELECT sum(octet_length(content)) FROM ledger.model_parts p WHERE p.version = v.number)""")
    with coordinator.room.owner.begin() as conn:
        assert conn.execute(torn).scalar_one() == 0
