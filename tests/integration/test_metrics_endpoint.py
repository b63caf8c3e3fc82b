"""/metrics: what the ledger holds, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as from_openmetrics
from prometheus_client.parser import text_string_to_metric_families as from_text
from sqlalchemy import Engine, make_url, text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from contract.database import engine_for
from contract.ids import Version
from coordinator.dashboard.access import Access, Guard
from coordinator.ledger import versions
from coordinator.metrics.families import families
from coordinator.metrics.readings import Readings, RunReading, read
from coordinator.metrics.scraping import Found, Scraping, look
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database

HOSTILE = 'x"} 1\nbarnraise_up 0\\{\u2028\x1b é'
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {"training": {"mode": "async", "num_workunits_per_update": 1}}) as made:
        ada, bob = made.invite("ada"), made.invite("bob")
        made.turn()
        for person in (ada, bob, ada):
            person.work()
            made.turn()
        bob.leave()
        yield made


@pytest.fixture
def observer(shop: Workshop) -> Engine:
    """A volunteer sees what an observer does."""
    return shop.invite("eve").engine


@pytest.fixture
def away() -> Iterator[Engine]:
    engine = engine_for(make_url("postgresql+psycopg://nobody@127.0.0.1:9/nothing"), application="test")
    yield engine
    engine.dispose()


def samples_of(body: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in from_text(body)
        for sample in family.samples
    }


def exposed(found: Found) -> str:
    registry = CollectorRegistry()
    registry.register(found)
    return generate_latest(registry).decode()


def value(samples: Samples, name: str, /, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def answered(scraping: Scraping, *, accept: str = "", times: int = 1) -> list[Response]:
    async def ask() -> list[Response]:
        scope = {"type": "http", "headers": [(b"accept", accept.encode())]}
        return list(await asyncio.gather(*(scraping.answer(Request(scope)) for _ in range(times))))

    return asyncio.run(ask())


def test_the_figures_are_the_ledgers(shop: Workshop, observer: Engine) -> None:
    samples = samples_of(exposed(look(observer)))
    assert value(samples, "barnraise_up") == 1
    for state, number in shop.rows("SELECT state, count(*) FROM ledger.work_units GROUP BY state"):
        assert value(samples, "barnraise_units", run="class", state=str(state)) == number
    ((merged,),) = shop.rows("SELECT sum(num_samples) FROM ledger.gradients WHERE state = 'merged'")
    assert value(samples, "barnraise_samples_merged_total", run="class") == merged == 12
    ((size,),) = shop.rows("SELECT sum(num_bytes) FROM ledger.gradients")
    assert value(samples, "barnraise_bytes_total", run="class", kind="coded") == size
    assert value(samples, "barnraise_version", run="class") == 3
    assert value(samples, "barnraise_loss", run="class", name="loss") == 1
    assert value(samples, "barnraise_acceptance_ratio", run="class") == 1
    assert value(samples, "barnraise_gradients_total", run="class", fate="merged") == 3
    assert value(samples, "barnraise_leader_present", run="class") == 1
    # Ada and eve are here, bob has left.
    assert value(samples, "barnraise_workers", run="class", state="present") == 2
    assert value(samples, "barnraise_workers_left_total", run="class") == 1
    assert value(samples, "barnraise_run_state", run="class", state="running") == 1
    assert value(samples, "barnraise_run_state", run="class", state="paused") == 0
    ((at,),) = shop.rows("SELECT extract(epoch FROM max(created_at))::float8 FROM ledger.model_versions")
    assert value(samples, "barnraise_last_merge_timestamp_seconds", run="class") == pytest.approx(at)
    assert value(samples, "barnraise_step_seconds", run="class", step="merge", quantile="0.95") >= 0
    assert value(samples, "barnraise_database_size_bytes") > 1e6
    assert value(samples, "barnraise_database_table_size_bytes", table="work_units") > 0
    assert value(samples, "barnraise_database_fine", item="size of the database") == 1


def test_nobody_is_named_unless_it_is_asked_for(shop: Workshop, observer: Engine) -> None:
    assert "ada" not in exposed(look(observer))
    samples = samples_of(exposed(look(observer, per_volunteer=True)))
    assert value(samples, "barnraise_volunteer_units_merged_total", run="class", volunteer="ada") == 2
    assert value(samples, "barnraise_volunteer_workers", run="class", volunteer="bob") == 0


def test_a_run_that_ended_long_ago_is_not_told_again(shop: Workshop, observer: Engine) -> None:
    ended = "UPDATE ledger.runs SET state = 'finished', finished_at = now() - interval '1 minute'"
    with shop.owner.begin() as conn:
        conn.execute(text(ended))
    samples = samples_of(exposed(look(observer)))
    assert value(samples, "barnraise_run_state", run="class", state="finished") == 1
    with shop.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.runs SET finished_at = now() - interval '61 minutes'"))
    assert "barnraise_run_state{" not in exposed(look(observer))


def test_names_that_a_volunteer_invents_later_are_no_series(shop: Workshop, observer: Engine) -> None:
    with shop.owner.begin() as conn:
        for number in range(4, 40):
            new = versions.NewVersion(
                number=Version(number), parent=Version(number - 1), manifest="{}", optimizer_step=number, parts=[b"w"]
            )
            versions.publish_version(conn, run=shop.run, new=new)
            invented = {f"invented_{number}_{n}": 1.0 for n in range(16)}
            versions.record_metrics(conn, run=shop.run, version=Version(number), metrics={"loss": 0.5, **invented})
    with observer.connect() as conn:
        (run,) = read(conn).runs
    # Those that are among the first figures of the run; there are never more.
    assert len(run.losses) < 64
    assert {loss.name: loss.value for loss in run.losses}["loss"] == 0.5
    assert "invented_39_0" not in {loss.name for loss in run.losses}


def test_many_scrapes_cost_one_look(shop: Workshop, observer: Engine) -> None:
    scraping = Scraping(observer)
    answers = answered(scraping, times=50)
    assert {answer.status_code for answer in answers} == {200}
    assert scraping.num_looks == 1


def test_openmetrics_is_spoken_where_it_is_asked_for(observer: Engine) -> None:
    (answer,) = answered(Scraping(observer), accept="application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert answer.media_type is not None
    assert answer.media_type.startswith("application/openmetrics-text")
    names = {family.name for family in from_openmetrics(bytes(answer.body).decode())}
    assert {"barnraise_up", "barnraise_samples_merged", "barnraise_step_seconds"} <= names


def test_a_database_that_is_away_is_an_answer(away: Engine) -> None:
    (answer,) = answered(Scraping(away))
    assert answer.status_code == 200
    assert samples_of(bytes(answer.body).decode()) == {("barnraise_up", frozenset()): 0}


def test_a_fault_of_ours_is_no_answer() -> None:
    with pytest.raises(AttributeError):
        answered(Scraping(None))  # type: ignore[arg-type]  which is the fault


def test_hostile_names_are_only_names(shop: Workshop, observer: Engine) -> None:
    with observer.connect() as conn:
        found = read(conn, per_volunteer=True)
    (run,) = found.runs
    hostile = hostile_copy(run)
    metrics = tuple(families(dataclasses.replace(found, runs=[hostile])))
    samples = samples_of(exposed(Found(metrics)))
    assert ("barnraise_up", frozenset()) not in samples
    assert value(samples, "barnraise_units", run=HOSTILE, state="merged") == 3
    assert value(samples, "barnraise_loss", run=HOSTILE, name=HOSTILE) == 1
    assert value(samples, "barnraise_volunteer_units_merged_total", run=HOSTILE, volunteer=HOSTILE) == 2


def hostile_copy(run: RunReading) -> RunReading:
    return dataclasses.replace(
        run,
        progress=dataclasses.replace(run.progress, run=HOSTILE, workload=HOSTILE),
        losses=[dataclasses.replace(loss, name=HOSTILE) for loss in run.losses[:1]],
        places=[dataclasses.replace(place, volunteer=HOSTILE) for place in run.places[:1]],
    )


def test_an_empty_ledger_has_a_database_all_the_same(database: Database, owner_engine: Engine) -> None:
    with owner_engine.connect() as conn:
        found = read(conn)
    assert isinstance(found, Readings)
    assert not found.runs
    samples = samples_of(exposed(Found(tuple(families(found)))))
    assert value(samples, "barnraise_database_connections") >= 1


@pytest.mark.parametrize(
    ("authorization", "status"), [("", 401), ("Bearer wrong", 401), ("Bearer 0123456789abcdef", 200)]
)
def test_beyond_this_computer_the_token_opens_it(observer: Engine, authorization: str, status: int) -> None:
    app = Guard(Starlette(routes=[Scraping(observer).route()]), Access(token="0123456789abcdef", port=8400))
    assert status_of(app, authorization) == status


def status_of(app: Any, authorization: str) -> int:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/metrics", "raw_path": b"/metrics", "query_string": b"",
        "root_path": "", "scheme": "http", "headers": [(b"authorization", authorization.encode())],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return int(sent[0]["status"])
