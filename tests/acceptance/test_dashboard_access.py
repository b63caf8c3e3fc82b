"""Who is let in, and what no answer goes without."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.classroom import Classroom, open_classroom
from tests.integration.open_house import OpenHouse, open_house
from tests.servers.databases import Workshop

TOKEN = "barn-door-barn-door"
PATHS = ("/", "/api/runs", "/api/runs/class", "/api/runs/class/live", "/api/runs/class/samples/1", "/static/page.js")


@pytest.fixture(scope="module")
def room(workshop: Workshop, template: str) -> Iterator[Classroom]:
    """One for all: nobody here changes anything."""
    database = workshop.create(template=template)
    with open_classroom(database) as opened:
        yield opened
    workshop.retire(database)


@pytest.fixture(scope="module")
def closed(room: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenHouse]:
    with open_house(room, tmp_path_factory.mktemp("closed"), dashboard_token=TOKEN) as house:
        yield house


@pytest.fixture(scope="module")
def local(room: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenHouse]:
    with open_house(room, tmp_path_factory.mktemp("local")) as house:
        yield house


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_who_has_no_token_is_told_nothing(closed: OpenHouse) -> None:
    for path in PATHS:
        answer = closed.get(path)
        assert (answer.status_code, "class" in answer.text.replace('class="', "")) == (401, False), path


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer  {TOKEN}"},
        {"authorization": basic(TOKEN)},
    ],
)
def test_a_script_shows_its_token_in_a_header(closed: OpenHouse, headers: dict[str, str]) -> None:
    assert closed.get("/api/runs", **headers).json()["runs"][0]["run"] == "class"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer barn-door"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": "Bearer"},
        {"authorization": basic("")},
        {"authorization": "Basic %%%"},
        {"authorization": TOKEN},
        {"cookie": "barnraise_1=x; barnraise=y"},
    ],
)
def test_a_wrong_token_opens_nothing(closed: OpenHouse, headers: dict[str, str]) -> None:
    assert closed.get("/api/runs", **headers).status_code == 401


def test_the_link_sets_a_cookie_and_leaves_the_address(closed: OpenHouse) -> None:
    with httpx2.Client(base_url=closed.address) as browser:
        answer = browser.get("/", params={"run": "class", "token": TOKEN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?run=class")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        assert browser.get("/").status_code == 200
        assert browser.get("/api/runs").status_code == 200


def test_a_token_may_have_any_letters(room: Classroom, tmp_path: Path) -> None:
    with open_house(room, tmp_path, dashboard_token="амбар; амбар; амбар") as house:
        link = house.page.link.partition("/?")[2]
        with httpx2.Client(base_url=house.address) as browser:
            assert browser.get(f"/?{link}").status_code == 303
            assert browser.get("/api/runs").status_code == 200


def test_the_link_leads_nowhere_else(closed: OpenHouse) -> None:
    answer = closed.get(f"//elsewhere.example/?token={TOKEN}")
    assert answer.headers["location"] == "/elsewhere.example/"


def test_a_wrong_token_in_the_link_is_asked_for_again(closed: OpenHouse) -> None:
    answer = closed.get("/?token=wrong-wrong-wrong-wrong")
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "wrong" not in answer.text


def test_beyond_this_computer_a_token_is_made_and_the_link_holds_it(room: Classroom, tmp_path: Path) -> None:
    with open_house(room, tmp_path, host="0.0.0.0") as house:  # noqa: S104  on purpose
        token = house.page.serving.access.token
        assert token is not None and len(token) >= 20
        assert all(f"?token={token}" in line for line in house.page.told()[1:])
        assert house.get("/api/runs").status_code == 401
        assert house.get("/api/runs", authorization=f"Bearer {token}").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8400"])
def test_on_this_computer_its_own_names_need_no_token(local: OpenHouse, host: str) -> None:
    assert local.get("/api/runs", host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8400", "", "[::2]"])
def test_a_name_that_only_leads_here_is_refused(local: OpenHouse, host: str) -> None:
    answer = local.get("/api/runs", host=host)
    assert answer.status_code in (400, 421)
    assert "class" not in answer.text


@pytest.mark.parametrize("path", [*PATHS[:3], "/static/page.js", "/nowhere", "/alive", "/api/runs/class/samples/7"])
def test_no_answer_goes_without_its_headers(local: OpenHouse, path: str) -> None:
    headers = local.get(path).headers
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_a_refusal_has_the_headers_too(closed: OpenHouse) -> None:
    assert "frame-ancestors 'none'" in closed.get("/").headers["content-security-policy"]


def test_what_looks_whether_it_lives_needs_no_token(closed: OpenHouse) -> None:
    assert closed.get("/alive").text == "alive\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(local: OpenHouse, method: str) -> None:
    for path in ("/", "/api/runs", "/api/runs/class"):
        assert httpx2.request(method, local.address + path).status_code == 405


@pytest.mark.parametrize(
    ("path", "kind"), [("/static/page.js", "text/javascript"), ("/static/page.css", "text/css"), ("/", "text/html")]
)
def test_whatever_the_system_takes_scripts_for_they_are_scripts(
    local: OpenHouse, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    monkeypatch.setitem(mimetypes.types_map, ".js", "text/plain")
    assert local.get(path).headers["content-type"] == f"{kind}; charset=utf-8"


@pytest.mark.parametrize("path", ["/static/../access.py", "/static/%2e%2e/access.py", "/static/..%2faccess.py"])
def test_nothing_but_the_page_is_served(local: OpenHouse, path: str) -> None:
    assert local.get(path).status_code == 404
