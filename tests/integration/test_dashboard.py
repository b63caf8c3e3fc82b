"""What the page's JSON says, and to how many at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Connection, make_url, text

from contract.database import engine_for
from contract.errors import AddressInUse, BarnraiseError
from contract.states import RunState
from coordinator.dashboard.access import Access
from coordinator.dashboard.archive import Archive
from coordinator.dashboard.reader import Reader
from coordinator.dashboard.serving import Serving, listen
from coordinator.ledger import runs
from coordinator.ledger.showing import ShownWorker, shown_workers
from tests.integration.classroom import Classroom, claim, classroom, join, new_run
from tests.integration.open_house import OpenHouse, keep_sample, open_house
from tests.waiting import wait_until
from worker import ledger

__all__ = ["classroom"]

SECTIONS = {
    "now", "link", "run", "workers", "events", "stalled_units", "losses", "samples", "leaderboard", "acceptance",
    "bytes", "throughput", "timings", "suspects",
}  # fmt: skip
PNG = b"\x89PNG" + bytes(range(256)) * 40


@pytest.fixture
def house(classroom: Classroom, tmp_path: Path) -> Iterator[OpenHouse]:
    with open_house(classroom, tmp_path) as opened:
        yield opened


def test_a_look_has_every_section(house: OpenHouse) -> None:
    assert set(house.look()) == SECTIONS


def test_a_look_that_brings_nothing_new_is_not_sent_again(house: OpenHouse) -> None:
    tag = house.get("/api/runs/class").headers["etag"]
    assert house.get("/api/runs/class", if_none_match=tag).status_code == 304
    house.room.publish(1)
    wait_until(lambda: house.get("/api/runs/class", if_none_match=tag).status_code == 200)


def test_the_page_looks_as_an_observer(house: OpenHouse) -> None:
    house.look()
    sessions = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'barnraise dashboard'"
    with house.room.owner.connect() as conn:
        (login,) = conn.execute(text(sessions)).scalars()
        assert "_OBSERVER_dashboard-" in login
        assert not conn.execute(
            text("SELECT pg_has_role(:role, 'barnraise_volunteers', 'MEMBER')"), {"role": login}
        ).scalar()


def test_the_login_is_kept_for_the_next_start(classroom: Classroom, tmp_path: Path) -> None:
    roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE current_database() || '\\_OBSERVER%'"
    for _ in range(2):
        with open_house(classroom, tmp_path) as house:
            house.look()
    with classroom.owner.connect() as conn:
        assert conn.execute(text(roles)).scalar_one() == 1
    mode = (tmp_path / ".barnraise" / "secrets" / "dashboard.json").stat().st_mode
    assert os.name != "posix" or mode & 0o077 == 0, "others may read the password"


def test_a_file_that_was_changed_by_somebody_makes_a_new_login(classroom: Classroom, tmp_path: Path) -> None:
    kept = tmp_path / ".barnraise" / "secrets" / "dashboard.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"nonsense": 1}', "utf-8")
    with open_house(classroom, tmp_path) as house:
        assert house.look()["run"]["run"] == "class"


def test_a_volunteers_own_login_does_as_well(classroom: Classroom, tmp_path: Path) -> None:
    volunteer = classroom.invite("ada")
    serving = Serving(engine=volunteer, listeners=[], access=Access(token=None, port=0))
    assert [run.run for run in Archive(serving.engine).runs()] == ["class"]


def test_the_runs_are_listed_and_one_is_chosen(house: OpenHouse) -> None:
    with house.room.owner.begin() as conn:
        runs.create_run(conn, dataclasses.replace(new_run(), name="second"))
    listed = wait_until(lambda: (found := house.get("/api/runs").json())["runs"][1:] and found)
    assert [run["run"] for run in listed["runs"]] == ["second", "class"]
    assert listed["chosen"] == "class"


@pytest.mark.parametrize("path", ["/api/runs/other", "/api/runs/other/live", "/api/runs/class/samples/1"])
def test_what_is_not_there_is_said_so(house: OpenHouse, path: str) -> None:
    answer = house.get(path)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_a_version_beyond_all_numbers_has_no_sample(house: OpenHouse) -> None:
    assert house.get(f"/api/runs/class/samples/{10**30}").status_code == 404


def test_a_sample_is_served_as_it_was_kept(house: OpenHouse) -> None:
    keep_sample(house.room, 0, PNG)
    answer = house.get("/api/runs/class/samples/0")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    again = house.get("/api/runs/class/samples/0", if_none_match=answer.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


def test_a_text_is_served_as_text_and_packed(house: OpenHouse) -> None:
    keep_sample(house.room, 0, ("<script>alert(1)</script>" * 100).encode(), "text/plain")
    answer = house.get("/api/runs/class/samples/0", accept_encoding="gzip")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"


def workers_of(room: Classroom) -> list[ShownWorker]:
    with room.owner.connect() as conn:
        return shown_workers(conn, run="class", most=10)


def test_a_worker_is_seen_with_what_it_has_in_hand(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(2)
    joined = join(alice)
    claim(alice, joined)
    (worker,) = workers_of(classroom)
    assert (worker.display_name, worker.is_present, worker.num_units) == ("alice", True, 1)


def test_who_is_here_stands_before_who_was(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    joined = join(alice)
    join(bob)
    with alice.begin() as conn:
        ledger.leave(conn, worker=joined.worker, reason="bedtime")
    assert [(worker.volunteer, worker.left_reason) for worker in workers_of(classroom)] == [
        ("bob", None),
        ("alice", "bedtime"),
    ]


def test_a_viewer_is_told_of_a_merge_and_then_only_what_changed(house: OpenHouse) -> None:
    with house.news() as news:
        assert next(news)["run"]["head_version"] == 0
        house.room.publish(1, loss=0.5)
        told = next(one for one in news if one.get("run", {}).get("head_version") == 1)
    assert "workers" not in told and "leaderboard" not in told


def test_a_hundred_viewers_cost_the_database_no_more_than_one(house: OpenHouse) -> None:
    """Each is told of the merge, by one look of one reader."""

    async def view(told: asyncio.Queue[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.page.serving.access.port)
        writer.write(b"GET /api/runs/class/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for version in (0, 1):
            async for line in reader:
                if b'"head_version":%d' % version in line:
                    break
            told.put_nowait(version)
        writer.close()

    async def all_of_them() -> int:
        told: asyncio.Queue[int] = asyncio.Queue()
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(view(told))
            for _ in range(100):
                assert await told.get() == 0
            connections = await asyncio.to_thread(count)
            await asyncio.to_thread(house.room.publish, 1)
            for _ in range(100):
                assert await told.get() == 1
        return connections

    def count() -> int:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'barnraise dashboard'"
        with house.room.owner.connect() as conn:
            return int(conn.execute(text(sessions)).scalar_one())

    assert asyncio.run(all_of_them()) <= 4


def test_a_viewer_who_does_not_read_is_dropped(classroom: Classroom) -> None:
    """And costs no memory meanwhile: what was not sent is not kept for them."""
    looks = itertools.count()

    def look(_conn: Connection, _run: str) -> dict[str, bytes]:
        return {"much": b'"%d%s"' % (next(looks), b"x" * 8_000_000)}

    (listener,) = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    serving = Serving(
        engine=classroom.owner, listeners=[listener], access=Access(token=None, port=port), look=look,
        slowest_seconds=0.5,
    )  # fmt: skip
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=serving.run, args=(stop,), kwargs={"ready": ready.set})
    thread.start()
    assert ready.wait(10)
    with socket.create_connection(("127.0.0.1", port)) as viewer:
        viewer.sendall(b"GET /api/runs/class/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        viewer.settimeout(10)
        with pytest.raises(ConnectionError):
            wait_until(lambda: viewer.recv(1, socket.MSG_PEEK) and viewer.send(b"\r\n") == 0)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_ends_the_page_and_is_not_shown_as_the_last_look_for_ever(classroom: Classroom) -> None:
    def look(_conn: Connection, _run: str) -> dict[str, bytes]:
        raise KeyError("nobody expected that")

    (listener,) = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    serving = Serving(engine=classroom.owner, listeners=[listener], access=Access(token=None, port=port), look=look)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serving.run, threading.Event())
        with contextlib.suppress(httpx2.HTTPError):
            httpx2.get(f"http://127.0.0.1:{port}/api/runs/class", timeout=10)
        with pytest.raises(BarnraiseError, match="a fault of its own"):
            served.result(timeout=10)


def test_nobody_looks_at_the_database_while_nobody_looks_at_the_page(classroom: Classroom) -> None:
    """And nobody listens, because the server keeps for a listener all that they were told."""
    query = """
        SELECT count(*) FROM pg_stat_activity WHERE application_name = 'barnraise test' AND query LIKE 'LISTEN%'"""
    looks = 0

    def look(_conn: Connection, _run: str) -> dict[str, bytes]:
        nonlocal looks
        looks += 1
        return {}

    async def watch() -> None:
        reader.start(asyncio.get_running_loop())
        for _ in range(2):
            await reader.channel("class").refreshed(patience_seconds=10)
            await asyncio.to_thread(wait_until, lambda: listeners() == 1)
            await asyncio.to_thread(wait_until, lambda: listeners() == 0)
        await asyncio.to_thread(reader.close)

    def listeners() -> int:
        with classroom.owner.connect() as conn:
            return int(conn.execute(text(query)).scalar_one())

    reader = Reader(classroom.owner, look, kept_seconds=0.5)
    asyncio.run(watch())
    assert 2 <= looks < 10


def test_a_page_that_nobody_looked_at_ends_without_the_database() -> None:
    (listener,) = listen("127.0.0.1", 0)
    url = make_url(f"postgresql+psycopg://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing")
    reader = Reader(engine_for(url, application="test"), lambda _conn, _run: {})

    async def open_and_close() -> None:
        reader.start(asyncio.get_running_loop())
        await asyncio.to_thread(reader.close)

    with closing(listener):
        asyncio.run(open_and_close())
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_page_tells_that_the_database_is_away_and_that_it_is_back(house: OpenHouse) -> None:
    role = house.page.serving.engine.url.username
    with house.room.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as conn, house.news() as news:
        assert next(news)["link"]["database"] == "here"
        conn.exec_driver_sql(f'ALTER ROLE "{role}" NOLOGIN')
        conn.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :r"), {"r": role})
        away = next(one["link"] for one in news if "link" in one)
        assert away["database"] == "away" and away["since"]
        # What the server said names the login, and stays in the house.
        assert role not in away["problem"]
        conn.exec_driver_sql(f'ALTER ROLE "{role}" LOGIN')
        assert next(one["link"] for one in news if "link" in one)["database"] == "here"


def test_a_run_that_is_paused_is_told_at_once(house: OpenHouse) -> None:
    with house.news() as news:
        next(news)
        with house.room.owner.begin() as conn:
            runs.set_run_state(conn, run=house.room.run, state=RunState.PAUSED, reason="a break")
        told = next(one["run"] for one in news if one.get("run", {}).get("state") == "paused")
    assert told["state_reason"] == "a break"


def test_a_port_that_is_taken_is_said_so() -> None:
    with closing(listen("127.0.0.1", 0)[0]) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(AddressInUse, match=f"another program listens at 127.0.0.1 port {taken}"):
            listen("127.0.0.1", taken)


def test_an_address_that_is_not_ours_is_said_so() -> None:
    with pytest.raises(AddressInUse, match=r"cannot be served at 192\.0\.2\.77"):
        listen("192.0.2.77", 0)


def test_the_end_of_the_page_ends_its_streams(classroom: Classroom, tmp_path: Path) -> None:
    ended = threading.Event()
    with open_house(classroom, tmp_path) as house:
        opened = threading.Event()

        def view() -> None:
            with house.news() as news:
                for _ in news:
                    opened.set()
            ended.set()

        viewer = threading.Thread(target=view)
        viewer.start()
        assert opened.wait(10)
    viewer.join(10)
    assert ended.is_set()
