"""`compression.codec: auto` over real lines: what is picked, and what the run takes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

import pytest
import torch
from sqlalchemy import Engine, text

from contract.compressors import CODECS, blob_manifest
from contract.compressors.feedback import Feedback
from contract.compressors.ladder import codecs_of
from contract.config.training_sections import Aggregation, Compression
from contract.database import engine_for
from contract.tensors import Manifest
from contract.workloads.base import GradientResult
from coordinator.ladder import settled_codec
from tests.integration.classroom import Classroom, claim, classroom, join
from tests.integration.slow_line import slow_line
from tests.integration.test_slow_lines import login_through
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database
from worker.feedback import Sender
from worker.heartbeat import Heartbeat, Holdings
from worker.pipeline import Behind, Result, Surroundings
from worker.uplink import Uplink

__all__ = ["classroom"]

UNIT_SECONDS = 0.5
# A megabyte as it is.
GRADIENT = {"w": torch.linspace(-1.0, 1.0, 250_000)}
MANIFEST = Manifest.of(GRADIENT)
LADDER = codecs_of(settled_codec(Compression(codec="auto"), Aggregation()))


def sent(classroom: Classroom, engine: Engine, *, times: int) -> list[str]:
    """The codecs that one worker after another took, of gradients that it says took half a second each to compute."""
    ada = classroom.invite("ada")
    joined, holdings = join(ada), Holdings()
    classroom.open_units(times)
    delivered = threading.Semaphore(0)
    here = Surroundings(
        engine=engine, joined=joined, holdings=holdings, stop=threading.Event(), report=pytest.fail,
        heartbeat=Heartbeat(ada, joined.worker, holdings, every_seconds=60),
    )  # fmt: skip
    feedback = Feedback(manifest=MANIFEST, buffers=(), decay=0.95, max_age=20)
    uplink = Uplink([blob_manifest(codec, MANIFEST).blob_bytes for codec in LADDER])
    sender = Sender(feedback, codecs=LADDER, uplink=uplink, file=None, fates=deque())
    behind = Behind(here, sender, lambda _result, _encoded: delivered.release())
    behind.start()
    for _ in range(times):
        gradient = GradientResult(tensors=GRADIENT, losses={"loss": 0.5}, num_samples=10)
        behind.deliver(Result(lease=claim(ada, joined), gradient=gradient, seconds=UNIT_SECONDS))
        assert delivered.acquire(timeout=60)
    behind.finish()
    with classroom.owner.begin() as conn:
        return list(conn.execute(text("SELECT codec FROM watch.gradients ORDER BY gradient")).scalars())


def test_a_fast_line_carries_every_value(classroom: Classroom) -> None:
    with slow_line(classroom.database.server, bytes_per_second=1e9) as port:
        engine = engine_for(login_through(classroom, port), application="worker")
        codecs = sent(classroom, engine, times=5)
        engine.dispose()
    assert (codecs[0], codecs[-1]) == ("int8", "none")


def test_a_slow_line_carries_what_hides_behind_a_unit(classroom: Classroom) -> None:
    with slow_line(classroom.database.server, bytes_per_second=200_000) as port:
        engine = engine_for(login_through(classroom, port), application="worker")
        codecs = sent(classroom, engine, times=4)
        engine.dispose()
    # 250 kB take more than a second, 60 kB a third of one.
    assert codecs == ["int8", "topk", "topk", "topk"]


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    changes = {"training": {"num_workunits_per_update": 1}, "compression": {"codec": "auto"}}
    with open_workshop(database, changes) as made:
        yield made


def test_what_is_on_the_ladder_is_merged(shop: Workshop) -> None:
    ada = shop.invite("ada")
    shop.turn()
    for codec in LADDER:
        ada.submit(ada.claim(), codec=codec)
        assert shop.turn().merged == 1


def test_a_codec_that_is_not_the_runs_is_refused_and_says_so(database: Database) -> None:
    changes = {"training": {"num_workunits_per_update": 1}, "compression": {"codec": "fp16"}}
    with open_workshop(database, changes) as shop:
        ada = shop.invite("ada")
        shop.turn()
        ada.submit(ada.claim(), codec=CODECS.build("none"))
        (verdict,) = shop.turn().refused
        assert verdict == "sent in a codec that this run does not take: none, not fp16"
        ada.submit(ada.claim(), codec=CODECS.build("fp16"))
        assert shop.turn().merged == 1
