"""One transaction is open while another connection acts, in an order that the test decides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, text

from tests.waiting import wait_until

T = TypeVar("T")
_IS_BLOCKED = text("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = :pid AND NOT granted)")


@contextlib.contextmanager
def open_transaction(engine: Engine) -> Iterator[Connection]:
    """Rolled back at the end of the block, unless it was committed."""
    with engine.connect() as conn:
        yield conn


@contextlib.contextmanager
def blocked(watcher: Connection, conn: Connection, action: Callable[[], T]) -> Iterator[Future[T]]:
    """Runs the action in a thread, and goes on once the server says that it waits for a lock."""
    pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(action)
        wait_until(
            lambda: future.done() or watcher.execute(_IS_BLOCKED, {"pid": pid}).scalar_one(),
            what="the statement's wait for a lock",
        )
        assert not future.done(), "nothing held the statement up"
        yield future
