"""The dashboards in headless Chromium: readable for everybody on every screen, and in touch with this machine only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from tests.bi.running import PAGES, served
from tests.bi.world import publish_two_nights

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = ((DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"))
AXE = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one => [one.id, one.nodes[0].html]))"
AT_REST = "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"


IN_THEME = """dark => dark === (
    getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor === 'rgb(18, 22, 24)')"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    publish_two_nights(folder)
    with served(folder) as url:
        yield url


def pages_of_today() -> tuple[str, ...]:
    """Every other page, the others tomorrow; all of them with `EVERY_PAGE=1`."""
    return PAGES if os.environ.get("EVERY_PAGE") else PAGES[datetime.now(UTC).toordinal() % 2 :: 2]


def test_every_page_is_accessible_and_asks_nobody_else(browser: Any, address: str) -> None:
    """Streamlit's own parts included: none of its faults is left out."""
    context = browser.new_context(viewport=DESKTOP)
    asked: set[str] = set()
    faults = []
    try:
        page = context.new_page()
        page.on("request", lambda request: asked.add(request.url))
        axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
        for name in pages_of_today():
            page.goto(f"{address}/{name}" if name != PAGES[0] else address)
            page.get_by_role("heading", level=1).wait_for()
            page.evaluate(axe)
            for viewport, scheme in LOOKS:
                page.set_viewport_size(viewport)
                page.emulate_media(color_scheme=scheme)
                page.wait_for_function(AT_REST)
                page.wait_for_function(IN_THEME, arg=scheme == "dark")
                faults += [(name, viewport["width"], scheme, *fault) for fault in page.evaluate(AXE)]
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        context.close()
    assert faults == []
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()


def test_a_click_shows_the_rows_behind_a_figure(browser: Any, address: str) -> None:
    context = browser.new_context(viewport=DESKTOP)
    try:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Rows of Earned and paid").click()
        page.get_by_text("3 transactions, 121.10 USD").wait_for()
    finally:
        context.close()
