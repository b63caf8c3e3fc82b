"""The database itself fails: killed with a submit under way, read-only for a while, its disk full for a while."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.acceptance.stage import Stage, open_stage
from tests.servers.databases import Database, Workshop, begin_session
from tests.servers.embedded import Keeper, kept_server, wheel_binaries
from tests.servers.server import connect, server_at
from tests.servers.template import harden_template, migrate_template

# Each starts four processes, and shares two cores with other tests.
pytestmark = pytest.mark.timeout(600)

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@contextlib.contextmanager
def private_database(**settings: str) -> Iterator[tuple[Keeper, Database]]:
    with kept_server(wheel_binaries(), **settings) as (url, keeper):
        server = server_at(make_url(url), backend="a server of the test's own", disposable=True)
        with contextlib.closing(Workshop(server, begin_session(server), "main")) as workshop:
            database = workshop.create(template=workshop.template(migrate_template, harden_template))
        yield keeper, database


@needs_proc
def test_a_run_outlasts_a_server_killed_inside_a_submit(tmp_path: Path) -> None:
    # What was committed must be on its way to the disk: the other tests' server would forget its last moments.
    with (
        private_database(synchronous_commit="on") as (keeper, database),
        open_stage(tmp_path, database) as stage,
    ):
        stage.assemble()
        with stage.gate("gradients", "UPDATE", "NEW.state = 'submitted' AND NEW.base_version = 3") as gate:
            gate.wait_for()
            keeper.crash()
            gate.forget()
            keeper.restart()
        stage.finish()


def test_a_run_outlasts_a_read_only_database(stage: Stage) -> None:
    coordinator, *workers = stage.assemble()
    name = sql.Identifier(stage.project.database.name)
    with connect(stage.project.database.superuser_url.set(database="postgres")) as admin:
        with stage.halt_before(3):
            admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
            stage.end_sessions()
        words = "accepts no writes at present"
        stage.wait_for(lambda: words in coordinator.said(), "the coordinator's word")
        stage.wait_for(lambda: any(words in worker.said() for worker in workers), "a worker's word")
        # Sessions that were opened meanwhile stay read-only for as long as they live.
        admin.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    stage.finish()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    # Open to the server's account, which pytest's tmp_path is not.
    folder = Path(tempfile.mkdtemp(prefix="barnraise-tests-", dir="/tmp"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=777", "tmpfs", folder], check=False)
    try:
        if mounted.returncode:
            pytest.skip("this machine lets nobody make a small disk")
        yield folder
    finally:
        # Lazily: a server that was killed may be leaving still.
        subprocess.run(["umount", "--lazy", folder], check=False)
        folder.rmdir()


def fill_the_disk(admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE public.ballast (content text)")
    load = "INSERT INTO public.ballast SELECT repeat('x', 1000) FROM generate_series(1, %s)"
    for num_rows in (1000, 10, 1):
        with contextlib.suppress(psycopg.errors.DiskFull):
            while True:
                admin.execute(load, [num_rows])


def test_a_run_outlasts_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    with private_database() as (_, database):
        place = small_disk / "tables"
        place.mkdir()
        with connect(database.server.admin) as admin:
            row = admin.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
            assert row is not None
            # As whom the server runs, its own files know.
            owner = Path(row[0].splitlines()[1]).stat()
            os.chown(place, owner.st_uid, owner.st_gid)
            admin.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(place))))
            admin.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE small").format(sql.Identifier(database.name)))
        with open_stage(tmp_path, database) as stage, connect(database.superuser_url) as admin:
            stage.assemble()
            with stage.halt_before(3):
                fill_the_disk(admin)
            stage.wait_for(lambda: any("disk is full" in actor.said() for actor in stage.actors), "somebody's word")
            admin.execute("DROP TABLE public.ballast")
            stage.finish()
