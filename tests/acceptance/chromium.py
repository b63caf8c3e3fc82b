"""Debian's Chromium, driven by Playwright: what a person sees, and whatever the browser complains of."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing that asks anybody on the internet for anything.
_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
]  # fmt: skip
# Those that the WCAG's levels A and AA ask for.
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    found = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(
    browser: Browser, address: str, *, width: int = 1280, height: int = 800, may_complain: bool = False, **options: Any
) -> Iterator[Page]:
    """A visitor of their own, with an empty memory. What the browser complains of fails the test."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda request: _stays_here(request.url, address, complaints))
    page.goto(address)
    yield page
    context.close()
    assert may_complain or complaints == []


def _stays_here(url: str, address: str, complaints: list[str]) -> None:
    if not url.startswith(address.split("?")[0]):
        complaints.append(f"the page asks for {url}")


def barriers(page: Page) -> str:
    """What stands in the way of people who do not see, or do not point; empty when nothing does."""
    results = Axe().run(page, options=_RULES)
    return str(results.generate_report()) if results.violations_count else ""
