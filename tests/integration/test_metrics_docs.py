"""Whatever the dashboard for Grafana, the alerts and the how-to name is in the exposition, and the other way round."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from coordinator.metrics.scraping import look
from tests.integration.workshop import open_workshop
from tests.servers.databases import Database

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (FOLDER / "grafana.md").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
ALERTS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus-alerts.yml").read_text("utf-8"))
_NAME = re.compile(r"barnraise_[a-z_]+")
_SELECTOR = re.compile(r"(barnraise_[a-z_]+)\{([^}]*)\}")
_COLUMNS = 24


@pytest.fixture(scope="module")
def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    notes = [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    choices = [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    alerts = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return [*panels, *notes, *choices, *alerts]


@pytest.fixture
def exposed(database: Database) -> Iterator[dict[str, set[str]]]:
    """The labels of each sample's name."""
    with open_workshop(database, {"training": {"mode": "async", "num_workunits_per_update": 1}}) as shop:
        ada = shop.invite("ada")
        shop.turn()
        ada.work()
        shop.turn()
        found: dict[str, set[str]] = {}
        for metric in look(shop.owner, per_volunteer=True).metrics:
            for sample in metric.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        yield found


def test_every_metric_that_is_asked_for_exists(exposed: dict[str, set[str]], expressions: list[str]) -> None:
    asked = {name for expression in expressions for name in _NAME.findall(expression)}
    assert len(asked) > 20
    # Nothing is known of the time to go before a minute's speed is.
    assert asked - exposed.keys() <= {"barnraise_eta_seconds"}


def test_every_label_that_is_asked_for_exists(exposed: dict[str, set[str]], expressions: list[str]) -> None:
    asked = [
        (name, label.split("=")[0].rstrip("~!").strip())
        for expression in expressions
        for name, labels in _SELECTOR.findall(expression)
        for label in labels.split(",")
    ]
    assert len(asked) > 20
    assert [(name, label) for name, label in asked if name in exposed and label not in exposed[name]] == []


def test_the_page_lists_what_there_is(exposed: dict[str, set[str]]) -> None:
    listed = dict(re.findall(r"^\| `(barnraise_[a-z_]+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    labels = {name: set(re.findall("`([a-z]+)`", said)) for name, said in listed.items()}
    assert labels.pop("barnraise_eta_seconds") == {"run"}
    exposed.pop("barnraise_eta_seconds", None)
    assert labels == exposed


def test_the_page_holds_the_dashboard() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(shown) == DASHBOARD


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= _COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_each_panel_has_a_number_a_title_and_queries_of_its_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


def test_the_data_source_is_chosen_by_whoever_imports_it() -> None:
    named = {json.dumps(target["datasource"]) for panel in DASHBOARD["panels"] for target in (panel, *panel["targets"])}
    assert named == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert DASHBOARD["templating"]["list"][0]["name"] == "datasource"
