"""The page in a real browser: live, with the keyboard, read aloud, on a phone, and through outages."""

from __future__ import annotations

import contextlib
import io
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from contract.ids import Version
from contract.states import RunState
from coordinator.ledger import gradients, people, runs
from tests.acceptance.chromium import barriers, open_browser, visit
from tests.acceptance.test_servers_that_fail import private_database
from tests.integration.classroom import PASSWORD, Classroom, claim, join, new_run, open_classroom, submission
from tests.integration.open_house import OpenHouse, keep_sample, open_house
from tests.servers.databases import Database, Workshop
from worker import ledger

LIVE_WITHIN_SECONDS = 2.0
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def busy(workshop: Workshop, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenHouse]:
    """A house full of people, for those who only look."""
    database = workshop.create(template=template)
    with open_furnished(database) as room, open_house(room, tmp_path_factory.mktemp("busy")) as opened:
        fill(room)
        yield opened
    workshop.retire(database)


@pytest.fixture
def classroom(database: Database) -> Iterator[Classroom]:
    with open_furnished(database) as room:
        yield room


@pytest.fixture
def house(classroom: Classroom, tmp_path: Path) -> Iterator[OpenHouse]:
    with open_house(classroom, tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def open_furnished(database: Database) -> Iterator[Classroom]:
    """The run knows how much there is to learn, and how often."""
    extent = """UPDATE ledger.runs SET data = '{"num_samples": 100}', training = '{"num_epochs": 2}'"""
    with open_classroom(database) as room:
        with room.owner.begin() as conn:
            conn.execute(text(extent))
        yield room


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (60, 60), shade).save(file, "PNG")
    return file.getvalue()


def fill(room: Classroom) -> None:
    """Two people at work, one gradient merged and one refused, three versions, two pictures."""
    alice, bob = room.invite("alice"), room.invite("bob")
    room.open_units(3)
    for volunteer in (alice, bob):
        lease = claim(volunteer, join(volunteer))
        with volunteer.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission(), last_part=b"gradient")
    with room.owner.begin() as conn:
        first, second = gradients.waiting_gradients(conn, run=room.run)
        gradients.reject(conn, gradient=second.gradient, verdict="not a number")
        conn.execute(text("UPDATE ledger.volunteers SET display_name = 'Bob B.' WHERE name = 'bob'"))
    room.publish(1, loss=2.0, **{"held_out/loss": 2.5, "held_out/accuracy": 0.1})
    with room.owner.begin() as conn:
        gradients.mark_merged(conn, run=room.run, version=Version(1), gradients=[first.gradient], weights=[1.0])
    room.publish(2, loss=1.0, **{"held_out/accuracy": 0.4})
    keep_sample(room, 0, picture(40))
    keep_sample(room, 2, picture(200))


def wait_for(page: Page, selector: str, words: str | re.Pattern[str]) -> None:
    expect(page.locator(selector)).to_have_text(words)


def test_a_merge_is_seen_within_two_seconds(browser: Browser, house: OpenHouse) -> None:
    """Half of the time at least: other tests share the two cores."""
    note = """() => { window.seen = {}; const place = document.getElementById("version");
        new MutationObserver(() => { window.seen[place.textContent] ??= Date.now() / 1000; })
            .observe(place, { childList: true, characterData: true, subtree: true }); }"""
    with visit(browser, house.address) as page:
        wait_for(page, "#version", "0")
        page.evaluate(note)
        merged = {}
        for version in range(1, 6):
            house.room.publish(version, loss=1.0 / version)
            merged[str(version)] = time.time()
            wait_for(page, "#version", str(version))
        seen = page.evaluate("window.seen")
        assert statistics.median(seen[version] - at for version, at in merged.items()) < LIVE_WITHIN_SECONDS
        wait_for(page, "#loss-chart-legend", re.compile("loss *0.2"))


def test_an_empty_ledger_and_an_empty_room_are_said_honestly(
    browser: Browser, database: Database, house: OpenHouse
) -> None:
    with visit(browser, house.address) as page:
        wait_for(page, "#workers-empty", "Nobody is here yet. Volunteers run “worker join”.")
        wait_for(page, "#losses-empty", re.compile("No version has been merged yet"))
        wait_for(page, "#fate-empty", re.compile("No gradient"))
        wait_for(page, "#notice", re.compile("No coordinator leads this run"))


def test_what_it_makes_has_no_place_before_there_is_something(browser: Browser, house: OpenHouse) -> None:
    with visit(browser, house.address) as page:
        wait_for(page, "#samples-empty", "There is nothing to look at so far.")
        expect(page.locator("#samples")).to_be_hidden()
        keep_sample(house.room, 0, picture(40))
        expect(page.locator("#picture")).to_be_visible()


def test_everything_is_shown(browser: Browser, busy: OpenHouse) -> None:
    with visit(browser, busy.address) as page:
        expect(page.locator("#workers-table tbody tr")).to_have_count(2)
        expect(page.locator("#leaders-table tbody tr")).to_have_count(1)
        wait_for(page, "#leaders-table tbody th", re.compile("alice"))
        wait_for(page, "#fate-list", re.compile(r"moved the model1 \(50%\).*refused for what it holds1 \(50%\)"))
        expect(page.locator("#loss-chart canvas")).to_have_count(1)
        expect(page.locator("#loss-chart")).to_have_attribute("aria-label", re.compile("loss: 2 at version 1, 1 at"))
        wait_for(page, "#measure-table tbody tr:last-child", "20.4")
        wait_for(page, "#events-list li:first-child", re.compile("a gradient of Bob B. was refused: not a number"))
        wait_for(page, "#bar-words", re.compile("epoch 1 of 2"))
        page.locator("#theme").click()
        wait_for(page, "#loss-chart-legend", re.compile("loss1.*loss, held out2.5"))


def test_the_slider_goes_through_time_and_back_to_the_newest(browser: Browser, house: OpenHouse) -> None:
    fill(house.room)
    with visit(browser, house.address) as page:
        wait_for(page, "#sample-words", re.compile("^version 2,.*the newest$"))
        page.locator("#slider").focus()
        page.keyboard.press("ArrowLeft")
        wait_for(page, "#sample-words", re.compile("^version 0,"))
        expect(page.locator("#picture")).to_have_attribute("alt", re.compile("version 0"))
        keep_sample(house.room, 1, picture(90))
        expect(page.locator("#slider")).to_have_attribute("max", "2")
        wait_for(page, "#sample-words", re.compile("^version 0,"))
        page.locator("#newest").press("Enter")
        wait_for(page, "#sample-words", re.compile("^version 2,.*the newest$"))


def test_what_a_model_writes_is_shown_as_text(browser: Browser, house: OpenHouse) -> None:
    keep_sample(house.room, 0, HOSTILE.encode(), "text/plain")
    with visit(browser, house.address) as page:
        wait_for(page, "#writing", HOSTILE)
        assert page.evaluate("window.hacked") is None


def test_names_and_reasons_are_never_read_as_markup(browser: Browser, house: OpenHouse) -> None:
    with house.room.owner.begin() as conn:
        admission = people.invite(conn, name="mallory", password=PASSWORD, display_name=HOSTILE)
        runs.set_run_state(conn, run=house.room.run, state=RunState.PAUSED, reason=HOSTILE)
        conn.execute(text("UPDATE ledger.runs SET workload = :name"), {"name": HOSTILE})
    mallory = house.room.engine_of(admission)
    joined = join(mallory, HOSTILE[:100])
    with mallory.begin() as conn:
        ledger.leave(conn, worker=joined.worker, reason=HOSTILE)
    house.room.publish(1, **{"loss" + HOSTILE[:80]: 1.0, HOSTILE[:90]: 2.0})
    with visit(browser, house.address) as page:
        wait_for(page, "#workers-table tbody th", re.compile("<img src=x"))
        wait_for(page, "#notice", re.compile("<script>"))
        expect(page.locator("#events-list li").first).to_contain_text("<img")
        expect(page.locator("#loss-chart-legend")).to_contain_text("<img")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src='x']").count() == 0


def test_the_keyboard_reaches_everything(browser: Browser, busy: OpenHouse) -> None:
    with visit(browser, busy.address) as page:
        wait_for(page, "#version", "2")
        expect(page.locator("#through")).to_be_visible()
        focused = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
        order = []
        for _ in range(14):
            page.keyboard.press("Tab")
            order.append(page.evaluate(focused))
        assert order[:7] == ["skip", "theme", "big", "play", "slider", "newest", "log"]
        page.locator(".skip").focus()
        expect(page.locator(".skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        assert page.evaluate(focused) == "main"
        page.locator("#log").press("Space")
        expect(page.locator("#log")).to_be_checked()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "where the focus is can be seen"


@pytest.mark.parametrize(
    ("query", "width", "scheme"), [("", 1280, "light"), ("?type=big", 1920, "dark"), ("", 360, "dark")]
)
def test_nothing_stands_in_anybodys_way(browser: Browser, busy: OpenHouse, query: str, width: int, scheme: str) -> None:
    with visit(browser, f"{busy.address}/{query}", width=width, height=900, color_scheme=scheme) as page:
        wait_for(page, "#version", "2")
        expect(page.locator("#picture")).to_be_visible()
        expect(page.locator("#loss-chart canvas")).to_be_visible()
        assert barriers(page) == ""


def test_a_barrier_is_seen(browser: Browser) -> None:
    with visit(browser, "about:blank") as page:
        page.set_content("<html lang=en><title>.</title><main><p style='color:#999;background:#aaa'>grey</p></main>")
        assert "contrast" in barriers(page)


def test_a_change_of_state_is_read_aloud(browser: Browser, house: OpenHouse) -> None:
    with visit(browser, house.address) as page:
        wait_for(page, "#state", "running")
        with house.room.owner.begin() as conn:
            runs.set_run_state(conn, run=house.room.run, state=RunState.PAUSED, reason="a break")
        wait_for(page, "#state", "paused")
        wait_for(page, "[role=status][aria-live=polite]", re.compile("paused: a break"))


def test_a_phone_scrolls_in_one_direction_only(browser: Browser, house: OpenHouse) -> None:
    with house.room.owner.begin() as conn:
        admission = people.invite(conn, name="x" * 40, password=PASSWORD, display_name="Wolfeschlegelstein" * 10)
    fill(house.room)
    join(house.room.engine_of(admission), "n" * 100)
    house.room.publish(3, **{"loss_" + "g" * 90: 1.0})
    with visit(browser, house.address, width=320, height=700) as page:
        expect(page.locator("#workers-table tbody tr")).to_have_count(3)
        wait_for(page, "#version", "3")
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_a_projector_shows_it_all_on_one_screen(browser: Browser, busy: OpenHouse) -> None:
    with visit(browser, f"{busy.address}/?type=big", width=1920, height=1080) as page:
        wait_for(page, "#sample-words", re.compile("^version 2"))
        assert page.evaluate("document.documentElement.scrollHeight") == 1080
        for shown in ("#version", "#picture", "#loss-chart", "#leaders-table"):
            expect(page.locator(shown)).to_be_in_viewport(ratio=1)
        assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('#leaders-table td')).fontSize)") >= 24


def test_dark_and_light_follow_the_system_until_somebody_chooses(browser: Browser, house: OpenHouse) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with visit(browser, house.address, color_scheme="dark") as page:
        wait_for(page, "#version", "0")
        dark = page.evaluate(ground)
        page.emulate_media(color_scheme="light")
        expect(page.locator("#theme")).to_have_attribute("aria-pressed", "false")
        assert page.evaluate(ground) != dark
        page.locator("#theme").press("Enter")
        assert page.evaluate(ground) == dark
        page.reload()
        assert page.evaluate(ground) == dark
        expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")


def test_another_run_is_chosen_by_name(browser: Browser, house: OpenHouse) -> None:
    with house.room.owner.begin() as conn:
        runs.create_run(conn, new_run("second"))
    with visit(browser, house.address) as page:
        wait_for(page, "#run-name", "class")
        page.get_by_label("Run", exact=True).select_option("second")
        wait_for(page, "#run-name", "second")
        assert "run=second" in page.url


def test_a_link_with_a_token_opens_and_a_lost_one_is_asked_for(
    browser: Browser, classroom: Classroom, tmp_path: Path
) -> None:
    with open_house(classroom, tmp_path, dashboard_token="barn-door-barn-door") as house:
        with visit(browser, f"{house.address}/?token=barn-door-barn-door") as page:
            wait_for(page, "#run-name", "class")
            assert "token" not in page.url
        with visit(browser, house.address, may_complain=True) as page:
            wait_for(page, "h1", "A token is needed")
            assert barriers(page) == ""
            page.get_by_label("Token").fill("barn-door-barn-door")
            page.keyboard.press("Enter")
            wait_for(page, "#run-name", "class")


def test_the_page_outlasts_a_restart_of_the_database(browser: Browser, tmp_path: Path) -> None:
    with (
        private_database(synchronous_commit="on") as (keeper, database),
        open_classroom(database) as room,
        open_house(room, tmp_path) as house,
        visit(browser, house.address) as page,
    ):
        wait_for(page, "#version", "0")
        keeper.crash()
        wait_for(page, "#notice", re.compile("The database has been away since"))
        wait_for(page, "#version", "0")
        keeper.restart()
        room.owner.dispose()
        expect(page.locator("#notice")).not_to_contain_text("away")
        room.publish(1)
        wait_for(page, "#version", "1")


def test_the_page_outlasts_a_restart_of_its_server(browser: Browser, classroom: Classroom, tmp_path: Path) -> None:
    with open_house(classroom, tmp_path) as house:
        port = house.page.serving.access.port
        visiting = visit(browser, house.address, may_complain=True)
        page = visiting.__enter__()
        wait_for(page, "#line-words", "live")
    wait_for(page, "#notice", re.compile("This page has lost its server"))
    classroom.publish(1)
    with open_house(classroom, tmp_path, port=port):
        wait_for(page, "#version", "1")
        wait_for(page, "#line-words", "live")
        visiting.__exit__(None, None, None)
