"""A quiet PostgreSQL of the benchmarks' own, with a ledger on it.

Durable (fsync on, data on a real disk), and but for two sizes set as it was shipped, autovacuum included.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Engine, create_engine, make_url, text

from contract.database import engine_for
from contract.ids import RunId, Version
from contract.states import RunState
from coordinator.ledger import people, runs, units, versions
from coordinator.migrating import migrate
from tests.servers.embedded import Postgres, wheel_binaries

SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
}
PASSWORD: Final = secrets.token_urlsafe(16)
OWNER: Final = "bench_owner"
_UNITS_AT_ONCE: Final = 50_000

# The owner's own shortcut to many workers: who joins is not measured, and a volunteer may bring sixteen.
_JOIN_MANY = text("""
    INSERT INTO ledger.workers (volunteer_id, run_id, role_name, name, protocol)
    SELECT v.id, :run, v.role_name, 'bench', 1
      FROM ledger.volunteers v, generate_series(1, :num) WHERE v.role_name = :role
    RETURNING id""")
_HEARTBEATS = text("""
    INSERT INTO ledger.heartbeats (worker_id)
    SELECT id FROM ledger.workers w WHERE NOT EXISTS (SELECT FROM ledger.heartbeats h WHERE h.worker_id = w.id)""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BenchServer:
    admin: URL
    binaries: Path

    def url(self, database: str, role: str | None = None) -> URL:
        url = self.admin.set(database=database)
        return url if role is None else url.set(username=role, password=PASSWORD)

    def create_database(self, name: str, owner: str | None = None) -> None:
        owned = "" if owner is None else f" OWNER {owner}"
        self.administrate(f"CREATE DATABASE {name}{owned} ENCODING 'UTF8' TEMPLATE template0")

    def administrate(self, statement: str, database: str = "postgres") -> None:
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def pgbench(self, url: URL, *arguments: str, folder: Path | None = None) -> str:
        """What it printed; the password goes through the environment, where other users do not see it."""
        program = shutil.which("pgbench", path=str(self.binaries))
        if program is None:
            raise FileNotFoundError(f"there is no pgbench in {self.binaries}")
        login = [f"--host={url.host}", f"--port={url.port}", f"--username={url.username}"]
        done = subprocess.run(
            [program, *login, *arguments, str(url.database)],
            env={**os.environ, "PGPASSWORD": str(url.password)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"pgbench {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BenchLedger:
    """A migrated ledger whose owner is no superuser, a running run, and one volunteer with many workers."""

    server: BenchServer
    database: str
    owner: Engine
    run: RunId
    role: str
    workers: range

    @property
    def volunteer_url(self) -> URL:
        return self.server.url(self.database, self.role)

    @contextlib.contextmanager
    def volunteer(self) -> Iterator[Engine]:
        engine = engine_for(self.volunteer_url, application="benchmark")
        try:
            yield engine
        finally:
            engine.dispose()

    def open_units(self, number: int) -> None:
        """The owner's function, in large bites."""
        for first in range(0, number, _UNITS_AT_ONCE):
            new = units.NewUnit(epoch=0, first_sample=0, num_samples=320, seed=first)
            with self.owner.begin() as conn:
                units.open_units(conn, run=self.run, units=[new] * min(_UNITS_AT_ONCE, number - first))

    def execute(self, statement: str, values: Mapping[str, object] | None = None) -> int:
        with self.owner.begin() as conn:
            return conn.execute(text(statement), values or {}).rowcount

    def scalar(self, statement: str) -> int:
        with self.owner.connect() as conn:
            return int(conn.execute(text(statement)).scalar_one())

    def vacuum(self) -> None:
        self.server.administrate("VACUUM ANALYZE", self.database)


@contextlib.contextmanager
def quiet_server(settings: Mapping[str, str] = SETTINGS) -> Iterator[BenchServer]:
    with contextlib.ExitStack() as stack:
        home, store = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="barnraise-bench-", dir=real_disk())))
            for _ in range(2)
        )
        postgres = Postgres(wheel_binaries(), home=home, store=store, settings=settings)
        url = make_url(postgres.start()).set(drivername="postgresql+psycopg")
        stack.callback(postgres.stop)
        server = BenchServer(admin=url, binaries=postgres.binaries)
        server.administrate(f"CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'")
        yield server


@contextlib.contextmanager
def bench_ledger(server: BenchServer, name: str = "ledger", *, num_workers: int = 1) -> Iterator[BenchLedger]:
    server.create_database(name, OWNER)
    owner = engine_for(server.url(name, OWNER), application="benchmark")
    try:
        migrate(owner)
        with owner.begin() as conn:
            run = runs.create_run(conn, _NEW_RUN)
            first = versions.NewVersion(
                number=Version(0), parent=None, manifest="{}", optimizer_step=0, parts=[b"weights"]
            )
            versions.publish_version(conn, run=run, new=first)
            runs.set_run_state(conn, run=run, state=RunState.RUNNING)
            admission = people.invite(conn, name="bench", password=PASSWORD, connection_limit=64)
            values = {"run": run, "num": num_workers, "role": admission.role}
            workers = conn.execute(_JOIN_MANY, values).scalars().all()
            conn.execute(_HEARTBEATS)
        yield BenchLedger(
            server=server,
            database=name,
            owner=owner,
            run=run,
            role=admission.role,
            workers=range(min(workers), max(workers) + 1),
        )
    finally:
        owner.dispose()


_NEW_RUN: Final = runs.NewRun(
    name="bench",
    mode="async",
    workload="none",
    workload_options={},
    data={},
    training={},
    seed=0,
    num_gradients_per_update=16,
)


def real_disk() -> str | None:
    """The system's temporary folder may lie in memory, where fsync costs nothing."""
    lasting = Path("/var/tmp")  # noqa: S108
    return str(lasting) if sys.platform != "win32" and lasting.is_dir() else None
