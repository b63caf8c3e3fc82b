"""What the pages tell people to paste into psql is answered, and the page of the views names all that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection, Engine, text

from contract.errors import MissingRight
from tests.integration.observers import looking_on
from tests.integration.workshop import open_workshop
from tests.servers.databases import Workshop
from worker import ledger

DOCS: Final = Path(__file__).parents[2] / "docs"
MONITORING: Final = (DOCS / "reference" / "monitoring.md").read_text("utf-8")
# Good news is an empty answer.
MAY_BE_EMPTY: Final = ("is_fine", "stalled_units", "suspects", "version % 100")
COLUMNS: Final = text("""
    SELECT table_name AS view, column_name AS name FROM information_schema.columns WHERE table_schema = 'watch'""")


def blocks(info: str) -> dict[str, str]:
    """By where each stands: what is between a fence with that behind it and the next."""
    return {
        f"{page.relative_to(DOCS).as_posix()}:{content[: block.start()].count(chr(10)) + 1}": block[1]
        for page in sorted(DOCS.rglob("*.md"))
        for content in [page.read_text("utf-8")]
        for block in re.finditer(rf"^```{info}\n(.*?)^```", content, re.M | re.S)
    }


def queries() -> dict[str, str]:
    return blocks("sql")


def sections() -> Mapping[str, str]:
    """Of the page of the views, by the view that each is about."""
    _, *pieces = re.split(r"^### (\w+)\n", MONITORING.split("\n## The views\n")[1], flags=re.M)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


@pytest.fixture(scope="module")
def people(workshop: Workshop, template: str) -> Iterator[Mapping[str, Engine]]:
    """Who asks, of a run in which something of everything has happened, and which nobody changes any more."""
    database = workshop.create(template=template)
    changes = {"training": {"mode": "async", "num_workunits_per_update": 1}}
    with open_workshop(database, changes) as shop, looking_on(database, shop.owner) as observer:
        ada, bob = shop.invite("ada"), shop.invite("bob")
        for _ in range(2):
            shop.turn()
            ada.work()
        shop.turn()
        bob.submit(bob.claim(), value=float("nan"))
        shop.turn()
        bob.claim()
        with ada.engine.begin() as conn:
            ledger.heartbeat(
                conn, worker=ada.joined.worker, leases=[], phase="computing", progress=0.5, samples_per_second=10
            )
        yield {"an observer": observer, "a volunteer": ada.engine}
    workshop.retire(database)


@pytest.fixture(params=["an observer", "a volunteer"])
def conn(people: Mapping[str, Engine], request: pytest.FixtureRequest) -> Iterator[Connection]:
    with people[request.param].connect() as connection:
        yield connection


def test_there_are_queries_for_every_question_of_a_teacher() -> None:
    assert len([place for place in queries() if place.startswith("reference/monitoring.md")]) > 15


@pytest.mark.parametrize("place", queries())
def test_a_documented_query_is_answered(conn: Connection, place: str) -> None:
    query = queries()[place].replace("'default'", "'class'")
    conn.execute(text("SET TRANSACTION READ ONLY"))
    rows = conn.exec_driver_sql(query.replace("%", "%%")).all()
    is_ada = conn.scalar(text("SELECT count(*) FROM watch.my_contribution")) == 1
    assert rows or any(word in query for word in MAY_BE_EMPTY) or ("my_contribution" in query and not is_ada)


def test_only_what_changes_something_is_left_to_an_administrator() -> None:
    for place, block in blocks("sql as an administrator").items():
        assert re.match(r"(CREATE|GRANT|ALTER|REVOKE) ", block), place


def test_every_block_of_sql_is_one_or_the_other() -> None:
    fences = {
        fence for page in DOCS.rglob("*.md") for fence in re.findall(r"^```(.*sql.*)$", page.read_text("utf-8"), re.M)
    }
    assert fences == {"sql", "sql as an administrator"}


def test_the_page_of_the_views_names_every_view_and_every_column(conn: Connection) -> None:
    there = {(row.view, row.name) for row in conn.execute(COLUMNS)}
    assert set(sections()) == {view for view, _ in there}
    named = {
        (view, name)
        for view, section in sections().items()
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == there


@pytest.mark.parametrize("statement", ["SELECT * FROM ledger.runs", "SELECT volunteer.claim_v1(1)"])
def test_an_observer_can_look_and_nothing_else(people: Mapping[str, Engine], statement: str) -> None:
    with people["an observer"].connect() as conn, pytest.raises(MissingRight):
        conn.execute(text(statement))
