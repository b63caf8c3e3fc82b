from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate import pages
from tests.unit.pages import ROOT, all_pages, anchors, is_elsewhere, links, name_of


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == pages()[path], "run `make docs`"


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text("utf-8")):
        if is_elsewhere(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.is_relative_to(ROOT) and target.exists()
        if not is_there or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    assert not broken


def test_every_page_can_be_found_from_the_first() -> None:
    found, to_read = set(), [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while to_read:
        page = to_read.pop()
        if page in found or not page.exists():
            continue
        found.add(page)
        targets = [link.partition("#")[0] for link in links(page.read_text("utf-8")) if not is_elsewhere(link)]
        to_read += [path for target in targets if (path := (page.parent / target).resolve()).suffix == ".md"]
    lost = [name_of(page) for page in all_pages() if page not in found]
    assert not lost
