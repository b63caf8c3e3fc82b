"""A volunteer whose line is slow is no idler: what takes long to arrive is not ended half-way."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import torch
from sqlalchemy import URL, text

from contract.compressors import CODECS
from contract.compressors.feedback import Feedback
from contract.database import engine_for
from contract.tensors import Manifest
from contract.workloads.base import GradientResult
from coordinator.duties.police import Police
from coordinator.ledger import gradients
from tests.integration.classroom import PASSWORD, Classroom, claim, classroom, join
from tests.integration.slow_line import slow_line
from tests.servers.server import Login
from tests.waiting import wait_until
from worker.feedback import Sender
from worker.heartbeat import Heartbeat, Holdings
from worker.pipeline import Behind, Result, Surroundings
from worker.uplink import Uplink

__all__ = ["classroom"]

PART_BYTES = 1 << 20
# psycopg prepares a statement when it comes for the sixth time. Then it is sent in one piece with its bytes, and the
# server knows of no statement before the last of them is there.
NUM_PARTS = 10
SHORT = 0.2


def login_through(classroom: Classroom, port: int) -> URL:
    login = Login(role=classroom.database.role_name("ada"), password=PASSWORD)
    return classroom.database.url(login).set(host="127.0.0.1", port=port)


def test_an_upload_over_a_slow_line_arrives(classroom: Classroom) -> None:
    ada = classroom.invite("ada")
    classroom.open_units(1)
    joined, holdings = join(ada), Holdings()
    lease = claim(ada, joined)
    troubles: list[str] = []
    delivered = threading.Event()
    with slow_line(classroom.database.server, bytes_per_second=3_000_000) as port:
        # A part takes three times as long as a transaction may stand idle.
        impatient = {"options": "-c idle_in_transaction_session_timeout=100ms"}
        engine = engine_for(login_through(classroom, port).update_query_dict(impatient), application="worker")
        here = Surroundings(
            engine=engine, joined=dataclasses.replace(joined, max_part_bytes=PART_BYTES), holdings=holdings,
            stop=threading.Event(), report=troubles.append,
            heartbeat=Heartbeat(ada, joined.worker, holdings, every_seconds=60),
        )  # fmt: skip
        gradient = GradientResult(
            tensors={"w": torch.zeros(NUM_PARTS * PART_BYTES // 4)}, losses={"loss": 0.5}, num_samples=10
        )
        feedback = Feedback(manifest=Manifest.of(gradient.tensors), buffers=(), decay=1.0, max_age=0)
        sender = Sender(feedback, codecs=[CODECS.build("none")], uplink=Uplink([1]), file=None, fates=deque())
        behind = Behind(here, sender, lambda _result, _encoded: delivered.set())
        behind.start()
        behind.deliver(Result(lease=lease, gradient=gradient, seconds=1.0))
        assert delivered.wait(60), troubles
        behind.finish()
        engine.dispose()
    assert troubles == []
    with classroom.owner.begin() as conn:
        (waiting,) = gradients.waiting_gradients(conn, run=classroom.run)
        assert waiting.num_parts == NUM_PARTS + 1, "the header makes one more"


def test_a_slow_upload_has_ten_times_as_long(classroom: Classroom) -> None:
    classroom.invite("ada")
    police = Police(engine=classroom.owner, transaction_seconds=SHORT, idle_seconds=SHORT)
    under_way = text("""
        SELECT pid FROM pg_stat_activity
         WHERE pid = :pid AND state = 'active' AND wait_event = 'ClientRead'
           AND query_start < clock_timestamp() - make_interval(secs => :seconds)""")

    def has_lasted(pid: int, seconds: float) -> bool:
        with classroom.owner.begin() as conn:
            return conn.execute(under_way, {"pid": pid, "seconds": seconds}).scalar_one_or_none() is not None

    with slow_line(classroom.database.server, bytes_per_second=300_000) as port, ThreadPoolExecutor(1) as pool:
        url = login_through(classroom, port)
        connection = psycopg.connect(
            host=url.host, port=url.port, user=url.username, password=url.password, dbname=url.database, autocommit=True
        )
        with contextlib.closing(connection) as ada:
            sent = pool.submit(ada.execute, "SELECT length(%b)", (bytes(3_000_000),))
            pid = ada.info.backend_pid
            wait_until(lambda: has_lasted(pid, 2 * SHORT), what="an upload under way")
            assert police.run_once().ended == ()
            (ended,) = wait_until(lambda: police.run_once().ended, what="an end to patience")
            assert (ended.pid, ended.seconds >= 10 * SHORT) == (pid, True)
            with pytest.raises(psycopg.Error):
                sent.result(timeout=30)
