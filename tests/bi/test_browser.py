"""The dashboards in headless Chromium: readable for everybody on every screen, and in touch with this machine only."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from tests.bi.running import PAGES, served
from tests.bi.world import publish_two_nights
from tests.support.day import of_the_day

pytestmark = pytest.mark.slow

# As in the navigation of `bi/app.py`.
TITLES = (
    "Overview",
    "Revenue",
    "Pipeline and calendar",
    "Attribution and gaps",
    "Recovery",
    "Onboarding",
    "Data quality",
)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = ((DESKTOP, "light"), (PHONE, "dark"))
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


class Tab:
    """A tab in which the dashboards are opened once: a link of the navigation takes a fraction of what loading them takes."""

    def __init__(self, context: Any, address: str) -> None:
        self._page = context.new_page()
        self._page.goto(address)
        self._page.get_by_role("heading", level=1).wait_for()
        self._page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))

    def open(self, title: str) -> None:
        link = self._page.get_by_test_id("stSidebarNavLink").filter(has_text=title)
        link.dispatch_event("click")  # on a phone, the navigation is outside of the screen
        self._page.get_by_role("heading", level=1, name=title, exact=True).wait_for()

    def faults(self, viewport: dict[str, int], scheme: str) -> list[Any]:
        """What axe finds, and whether the page is wider than the screen."""
        self._page.set_viewport_size(viewport)
        self._page.emulate_media(color_scheme=scheme)
        self._page.wait_for_function(AT_REST)
        self._page.wait_for_function(IN_THEME, arg=scheme == "dark")
        found: list[Any] = self._page.evaluate(AXE)
        if not self._page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            found.append("wider than the screen")
        return found


def test_every_page_is_accessible_and_asks_nobody_else(browser: Any, address: str) -> None:
    """Streamlit's own parts included: none of its faults is left out."""
    context = browser.new_context(viewport=DESKTOP)
    asked: set[str] = set()
    context.on("request", lambda request: asked.add(request.url))
    faults, titles = {}, of_the_day(TITLES, days=2)
    try:
        tab = Tab(context, address)
        for number, title in enumerate(titles):
            tab.open(title)
            for viewport, scheme in (
                LOOKS if number % 2 == 0 else reversed(LOOKS)
            ):  # each page begins as the last one ended
                faults[title, scheme] = tab.faults(viewport, scheme)
    finally:
        context.close()
    assert len(faults) == len(LOOKS) * len(titles) and len(TITLES) == len(PAGES)
    assert {look: found for look, found in faults.items() if found} == {}
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
