"""A run with real processes on a real server, and the hands that interrupt it at a place of the test's choosing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text

from tests.acceptance.invariants import check_ledger
from tests.project import Project
from tests.servers.databases import Database
from tests.servers.server import connect
from tests.waiting import wait_until

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RUN = "default"
PEOPLE = ("ada", "bob")
NUM_UPDATES = 12
TINY: Mapping[str, Mapping[str, object]] = {
    "run": {"seed": 7},
    "model": {"name": "mlp", "options": {"image_size": 16, "hidden_features": 32}},
    "data": {"name": "glyphs", "num_samples": NUM_UPDATES * 2 * 64},
    "training": {
        "batch_size": 32,
        "batches_per_work_unit": 2,
        "num_workunits_per_update": 2,
        "num_epochs": 1,
        "spare_units": 0,
        "learning_rate_g": 0.003,
    },
    "worker": {"heartbeat_interval": 1, "work_unit_timeout": 4, "poll_interval": 0.5},
}
# Each gate has a row of its own, which its trigger asks for and the test holds.
_GATE = """
    CREATE TABLE IF NOT EXISTS public.gates (id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY);
    CREATE OR REPLACE FUNCTION public.pass_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM FROM public.gates WHERE id = CAST(TG_ARGV[0] AS integer) FOR KEY SHARE;
        RETURN NEW;
    END
    $$;"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One process of the play. What it says goes to a file, so that it never waits for a reader."""

    process: subprocess.Popen[str]
    log: Path

    def said(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def kill(self) -> None:
        """As the power does: no signal handler, no goodbye."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A statement of somebody's transaction at which all who come wait until it is opened."""

    stage: Stage
    keeper: Connection
    pid: int

    def wait_for(self) -> None:
        """Until somebody has come."""
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND :pid = ANY (pg_blocking_pids(pid)))"
        self.stage.wait_for(lambda: self.stage.value(waiting, pid=self.pid), "somebody at the gate")

    def person(self) -> str:
        """Whose worker waits here."""
        query = """
            SELECT v.name FROM pg_stat_activity a JOIN ledger.volunteers v ON v.role_name = a.usename
             WHERE :pid = ANY (pg_blocking_pids(a.pid)) ORDER BY a.query_start LIMIT 1"""
        return str(self.stage.value(query, pid=self.pid))

    def statement(self) -> str:
        """Of the first who waits here."""
        query = (
            "SELECT query FROM pg_stat_activity WHERE :pid = ANY (pg_blocking_pids(pid)) ORDER BY query_start LIMIT 1"
        )
        return str(self.stage.value(query, pid=self.pid))

    def open(self) -> None:
        self.keeper.rollback()

    def forget(self) -> None:
        """The server that kept the gate is gone."""
        self.keeper.invalidate()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    project: Project
    owner: Engine
    actors: list[Actor]

    def start(self, name: str, *arguments: str, program: str = "coordinator") -> Actor:
        log = self.project.folder / f"{name}-{len(self.actors)}.log"
        environment = {"BARNRAISE_HOME": str(self.project.folder / "home"), "PYTHONUNBUFFERED": "1", **ONE_THREAD}
        actor = Actor(process=self.project.start(*arguments, program=program, output=log, **environment), log=log)
        self.actors.append(actor)
        return actor

    def coordinator(self, *arguments: str) -> Actor:
        return self.start("coordinator", "start", *arguments)

    def leading(self, *arguments: str) -> Actor:
        """A coordinator that has found or made the run, so that workers may come."""
        actor = self.coordinator(*arguments)
        leads = "SELECT true FROM ledger.leaders WHERE expires_at > clock_timestamp()"
        self.wait_for(lambda: self.value(leads), "a leading coordinator")
        return actor

    def assemble(self) -> tuple[Actor, Actor, Actor]:
        """A leading coordinator, ada and bob: no unit is handed out before both are there."""
        with self.gate("runs", "UPDATE", "NEW.next_position > OLD.next_position") as gate:
            coordinator = self.leading()
            ada, bob = self.worker("ada"), self.worker("bob")
            gate.wait_for()
            self.wait_for(lambda: self.value("SELECT count(*) = 2 FROM ledger.workers"), "both workers")
        return coordinator, ada, bob

    def worker(self, person: str) -> Actor:
        return self.start(person, "join", "--config", f"invitations/{person}.yaml", program="worker")

    def value(self, query: str, **values: object) -> Any:
        with self.owner.connect() as conn:
            return conn.execute(text(query), {"run": RUN, **values}).scalar()

    def execute(self, statement: str, **values: object) -> None:
        with self.owner.begin() as conn:
            conn.execute(text(statement), values)

    def head(self) -> int:
        return int(self.value("SELECT head_version FROM ledger.runs WHERE name = :run") or 0)

    def wait_for(self, condition: Any, what: str, within_seconds: float = 120) -> Any:
        """With what everybody said, when it does not come."""
        try:
            return wait_until(condition, within_seconds=within_seconds, what=what)
        except AssertionError as error:
            logs = "\n".join(f"--- {actor.log.name}\n{actor.said()[-3000:]}" for actor in self.actors)
            raise AssertionError(f"{error}\n{logs}") from None

    def wait_for_version(self, version: int, within_seconds: float = 120) -> None:
        self.wait_for(lambda: self.head() >= version, f"version {version}", within_seconds)

    def unit_of(self, person: str) -> int:
        """What a person's worker submits just now, or else computes."""
        leased = """
            SELECT min(u.id) FROM ledger.work_units u JOIN ledger.workers w ON w.id = u.worker_id
              JOIN ledger.volunteers v ON v.id = w.volunteer_id WHERE u.state = 'leased' AND v.name = :person"""
        unit = self.value(leased, person=person)
        assert unit is not None, f"{person} holds no unit"
        return int(unit)

    def holder_of(self, unit: int) -> str:
        """Whose worker had the unit last."""
        holder = """
            SELECT v.name FROM ledger.work_units u JOIN ledger.workers w ON w.id = u.worker_id
              JOIN ledger.volunteers v ON v.id = w.volunteer_id WHERE u.id = :unit"""
        return str(self.value(holder, unit=unit))

    def end_sessions(self, person: str | None = None) -> None:
        """The server gives up on the connections of all processes, or on a person's."""
        role = self.value("SELECT role_name FROM ledger.volunteers WHERE name = :person", person=person)
        end = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'barnraise %%'
               AND usename = coalesce(%s, usename)"""
        with connect(self.project.database.superuser_url) as admin:
            admin.execute(end, [role])

    def end_leadership(self) -> None:
        """As though the lease of a leader who is gone had run out: a test need not wait for it."""
        self.execute("UPDATE ledger.leaders SET expires_at = '-infinity'")

    def finish(
        self, *, num_updates: int | None = NUM_UPDATES, within_seconds: float = 150, is_whole: bool = True
    ) -> None:
        """The run completes, all who still live go home content, and the ledger stands."""
        over = "SELECT true FROM ledger.runs WHERE name = :run AND state = 'finished'"
        self.wait_for(lambda: self.value(over), "the end of the run", within_seconds)
        for actor in self.actors:
            if actor.process.returncode is None:
                self.wait_for(lambda actor=actor: actor.process.poll() is not None, f"the end of {actor.log.name}")
                assert actor.process.returncode == 0, actor.said()
            assert not re.search("Traceback|: unexpected ", actor.said()), actor.said()
        with self.owner.connect() as conn:
            check_ledger(conn, RUN, is_whole=is_whole)
        assert num_updates is None or self.head() == num_updates

    @contextlib.contextmanager
    def gate(self, table: str, when: str, condition: str = "true", *, at_commit: bool = False) -> Iterator[Gate]:
        """Stands before each row that `when` (INSERT, UPDATE) and `condition` (of NEW) name, or before its commit."""
        constraint, moment, timing = (
            ("CONSTRAINT", "AFTER", "DEFERRABLE INITIALLY DEFERRED") if at_commit else ("", "BEFORE", "")
        )
        with self.owner.begin() as conn:
            conn.exec_driver_sql(_GATE)
            gate = conn.exec_driver_sql("INSERT INTO public.gates DEFAULT VALUES RETURNING id").scalar_one()
        with self.owner.connect() as keeper:
            keeper.exec_driver_sql(f"SELECT FROM public.gates WHERE id = {gate} FOR UPDATE")
            with self.owner.begin() as conn:
                conn.exec_driver_sql(
                    f"CREATE {constraint} TRIGGER gate_{gate} {moment} {when} ON ledger.{table} {timing}"
                    f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION public.pass_gate({gate})"
                )
            yield Gate(stage=self, keeper=keeper, pid=_pid(keeper))
            # Open for good. To take it down would mean to wait for whoever sleeps with a lock on the table.
            keeper.rollback()

    @contextlib.contextmanager
    def halt_before(self, version: int) -> Iterator[Gate]:
        """A run of a few milliseconds an update would be over before anything could befall it."""
        with self.gate("model_versions", "INSERT", f"NEW.number = {version}") as gate:
            gate.wait_for()
            yield gate

    @contextlib.contextmanager
    def locked(self, table: str, *, behind: Gate) -> Iterator[Gate]:
        """Nobody reads or writes the table, as soon as who stands in the gate, which opens, has gone on."""
        with self.owner.connect() as keeper, ThreadPoolExecutor(1) as pool:
            pid = _pid(keeper)
            asked = pool.submit(keeper.exec_driver_sql, f"LOCK TABLE ledger.{table} IN ACCESS EXCLUSIVE MODE")
            waits = "SELECT true FROM pg_locks WHERE pid = :pid AND NOT granted"
            self.wait_for(lambda: self.value(waits, pid=pid), "the test in the line for the lock")
            behind.open()
            asked.result(timeout=60)
            yield Gate(stage=self, keeper=keeper, pid=pid)


def _pid(conn: Connection) -> int:
    pid: int = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return pid


@contextlib.contextmanager
def open_stage(
    folder: Path, database: Database, sections: Mapping[str, Mapping[str, object]] = TINY, *, through: int | None = None
) -> Iterator[Stage]:
    """`through` is the port of a network between the processes and their database."""
    project = Project(folder=folder, database=database)
    project.write_config(sections, **({} if through is None else {"host": "127.0.0.1", "port": through}))
    assert project.run("invite", *PEOPLE).code == 0
    owner = create_engine(database.url(), pool_pre_ping=True)
    stage = Stage(project=project, owner=owner, actors=[])
    try:
        yield stage
    finally:
        for actor in stage.actors:
            if actor.process.poll() is None:
                actor.kill()
        owner.dispose()
