"""A hint arrives at once; one that is lost costs a wait, never more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from contract.database import CHANNEL, Notifications, engine_for
from tests.servers.databases import Database
from tests.waiting import wait_until

LONG = 60.0
_LISTENERS = text("""
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'barnraise listener' AND query LIKE 'LISTEN%'""")
_HINT = text("SELECT pg_notify(:channel, :payload)")


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = engine_for(database.url(), application="test")
    yield engine
    engine.dispose()


@pytest.fixture
def listener(database: Database) -> Iterator[Engine]:
    engine = engine_for(database.url(), application="listener")
    yield engine
    engine.dispose()


@pytest.fixture
def notifications(listener: Engine) -> Iterator[Notifications]:
    notifications = Notifications(listener)
    yield notifications
    notifications.close()


def hint(engine: Engine, payload: str) -> None:
    with engine.begin() as conn:
        conn.execute(_HINT, {"channel": CHANNEL, "payload": payload})


def listeners(engine: Engine) -> list[int]:
    with engine.begin() as conn:
        return list(conn.execute(_LISTENERS).scalars())


def test_nothing_comes_when_nothing_is_said(notifications: Notifications) -> None:
    assert notifications.wait(0) == []
    assert notifications.wait(0.05) == []


def test_a_hint_ends_the_wait(engine: Engine, notifications: Notifications) -> None:
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(notifications.wait, LONG)
        wait_until(lambda: listeners(engine), what="the listener")
        hint(engine, "units 1")
        assert waiting.result(timeout=LONG) == ["units 1"]
        assert time.monotonic() - began < LONG / 2


def test_a_hint_that_came_between_two_waits_is_not_lost(engine: Engine, notifications: Notifications) -> None:
    notifications.wait(0)
    hint(engine, "units 1")
    hint(engine, "head 1 2")
    heard: list[str] = []

    def hear() -> bool:
        heard.extend(notifications.wait(0.05))
        return len(heard) == 2

    wait_until(hear, what="both hints")
    assert heard == ["units 1", "head 1 2"]


def test_a_listener_keeps_one_connection(engine: Engine, notifications: Notifications) -> None:
    for _ in range(5):
        notifications.wait(0)
    assert len(listeners(engine)) == 1


def test_a_broken_connection_is_made_anew(engine: Engine, notifications: Notifications) -> None:
    notifications.wait(0)
    (pid,) = listeners(engine)
    with engine.begin() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    assert notifications.wait(LONG) == [], "whoever waits looks again"
    notifications.wait(0)
    assert listeners(engine) not in ([], [pid])
    hint(engine, "units 1")
    assert notifications.wait(LONG) == ["units 1"]


def test_while_the_database_is_away_waiting_is_all(database: Database, engine: Engine, listener: Engine) -> None:
    notifications = Notifications(listener)
    notifications.wait(0)
    (pid,) = listeners(engine)
    with engine.begin() as conn:
        conn.execute(text(f"ALTER DATABASE {database.name} CONNECTION LIMIT 0"))
        conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    assert notifications.wait(LONG) == []
    began = time.monotonic()
    assert notifications.wait(0.2) == []
    assert time.monotonic() - began >= 0.2, "no busy loop"
    with engine.begin() as conn:
        conn.execute(text(f"ALTER DATABASE {database.name} CONNECTION LIMIT -1"))
    notifications.wait(0)
    assert len(listeners(engine)) == 1
    notifications.close()


def test_behind_a_pooler_nobody_listens(engine: Engine, listener: Engine) -> None:
    notifications = Notifications(listener, pooler=True)
    began = time.monotonic()
    assert notifications.wait(0.1) == []
    assert time.monotonic() - began >= 0.1
    assert listeners(engine) == []
    notifications.close()


@pytest.mark.parametrize("pooler", [False, True])
def test_close_ends_a_wait_in_another_thread(engine: Engine, listener: Engine, pooler: bool) -> None:
    notifications = Notifications(listener, pooler=pooler)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(notifications.wait, LONG)
        if not pooler:
            wait_until(lambda: listeners(engine), what="the listener")
        notifications.close()
        assert waiting.result(timeout=LONG) == []
        assert time.monotonic() - began < LONG / 2
    wait_until(lambda: not listeners(engine), what="the end of its connection")
    assert notifications.wait(LONG) == [], "and every later one"
