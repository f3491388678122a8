"""The page for everybody: axe-core, colours that differ, answers without scrolling, tables that search and sort, or stay plain.

The damage if these break: somebody cannot read a figure, or takes one stage for another.
"""

from __future__ import annotations

import re
from decimal import Decimal
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.report import ReportFacts, make_report, write_report
from debitura_pipeline.report.stages import EXPECTED
from debitura_pipeline.settings import Settings
from tests.report.conftest import make_settings
from tests.report.maker import TableMaker, tables
from tests.report.tables import CLIENT, NOW, fill
from tests.report.test_browser import DESKTOP, opened
from tests.support.day import of_the_day

pytestmark = pytest.mark.slow

SCREEN = {"width": 390, "height": 844}
VIEWS = ((DESKTOP, "light"), (DESKTOP, "dark"), (SCREEN, "dark"), (SCREEN, "light"))
AXE = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one => [one.id, one.nodes[0].html]))"
# What may stand side by side in a chart, in its order.
NEIGHBOURS = (
    [stage.css for stage in EXPECTED],
    ["--high", "--low", "--high-2", "--low-2"],  # ages
    ["--low", "--high", "--low-2", "--grey", "--low"],  # phases, the calendar, the funnel
)
LUMINANCE = """names => {
    const linear = value => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4 };
    return names.map(name => {
        const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        const [red, green, blue] = [1, 3, 5].map(at => linear(parseInt(hex.slice(at, at + 2), 16)));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    });
}"""
SHOWN = "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].textContent.trim())"
CURRENCIES = ("EUR", "DKK", "SEK", "NOK", "GBP", "PLN", "CZK", "HUF", "CHF", "JPY")
LONG = "Allgemeine Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft mbH & Co. KGaA in Abwicklung"


def axe_faults(page: Any) -> list[Any]:
    page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found: list[Any] = page.evaluate(AXE)
    return found


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    of_the_day(VIEWS, days=2),
    ids=lambda view: view if isinstance(view, str) else str(view["width"]),
)
def test_axe_finds_nothing(
    browser: Any, filled: tuple[Settings, ReportFacts], viewport: dict[str, int], scheme: str
) -> None:
    with opened(browser, filled[1].path, viewport, scheme) as page:
        assert axe_faults(page) == []


def test_axe_finds_nothing_in_a_statement(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    """Its tables are wider than those of the page."""
    with opened(browser, make_report(filled[0], f"{CLIENT:08d}-0000", now=lambda: NOW).path, SCREEN) as page:
        assert axe_faults(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_neighbours_differ(browser: Any, filled: tuple[Settings, ReportFacts], scheme: str) -> None:
    """3 to 1 is what WCAG asks of graphics: between what touches, and against the paper."""
    with opened(browser, filled[1].path, DESKTOP, scheme) as page:
        for names in NEIGHBOURS:
            paper, *colours = page.evaluate(LUMINANCE, ["--paper", *names])
            pairs = {(one, "paper"): (colour, paper) for one, colour in zip(names, colours, strict=True)}
            pairs |= dict(zip(pairwise(names), pairwise(colours), strict=True))
            assert {pair: ratio for pair, both in pairs.items() if (ratio := contrast(*both)) < 3} == {}
    assert len({(stage.pattern, stage.css) for stage in EXPECTED}) == len(EXPECTED)
    assert all(one.pattern != other.pattern for one, other in pairwise(EXPECTED[1:]))  # without any colour, too


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_five_answers_stand_on_the_first_screen_of_a_phone(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    with opened(browser, filled[1].path, SCREEN) as page:
        questions = page.locator(".answer h2").all_text_contents()
        bottoms = [answer.bounding_box() for answer in page.locator(".answer").all()]
    how_much, when, who, missing, changed = questions
    assert (how_much, missing, changed) == ("How much?", "Is anything missing?", "What changed?")
    assert re.fullmatch(r"When will the [\d,.]+ come\?", when)
    assert re.fullmatch(r"Who pays the [\d,.]+\?", who)
    assert max(box["y"] + box["height"] for box in bottoms) <= SCREEN["height"]


def test_clients_are_searched_and_sorted_without_a_network(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    rows = "[data-table=clients] tbody tr"
    with opened(browser, filled[1].path, DESKTOP) as page:
        everybody = page.eval_on_selector_all(rows, SHOWN)
        bar = page.locator(".tools", has=page.locator("xpath=following-sibling::*[1]//table[@data-table='clients']"))
        bar.get_by_role("searchbox").fill("klient 1")
        assert sorted(page.eval_on_selector_all(rows, SHOWN)) == sorted(
            name for name in everybody if name.startswith("Klient 1")
        )
        assert bar.get_by_role("status").text_content() == f"5 of {len(everybody)}"
        bar.get_by_role("searchbox").fill("")
        heading = page.locator("[data-table=clients] thead th", has_text="Still to come")
        heading.get_by_role("button").click()
        falling = page.eval_on_selector_all(f"{rows} td:nth-child(3) data", "all => all.map(one => one.value)")
        assert [Decimal(value) for value in falling] == sorted(map(Decimal, falling), reverse=True)
        assert heading.get_attribute("aria-sort") == "descending"
        page.locator("[data-table=clients] thead th", has_text="Client").get_by_role("button").click()
        named = page.eval_on_selector_all(rows, SHOWN)
    assert [name for name in named if name.startswith("Klient")] == [f"Klient {number} A/S" for number in range(3, 15)]


def test_without_the_script_the_tables_are_plain(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    """A mail program that shows the page runs no script."""
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(filled[1].path.as_uri())
    assert page.locator("[data-table=clients] tbody tr").count() == 14
    assert page.get_by_role("searchbox").count() == page.locator("thead button").count() == 0
    context.close()


def test_many_clients_long_names_and_ten_currencies(browser: Any, tmp_path: Path) -> None:
    """A large partner's page is whole, stays in its screen, and opens at once."""
    settings = make_settings(tmp_path)
    assert settings.warehouse.path is not None
    with tables(settings.warehouse.path) as maker:
        fill(maker, months=2, clients=1700)
        _widen(maker)
    facts = write_report(settings, now=lambda: NOW)
    assert facts.path.stat().st_size < 2_500_000
    with opened(browser, facts.path, SCREEN) as page:
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == SCREEN["width"]
        assert page.locator("[data-table=clients] tbody tr").count() == 1700
        assert set(page.locator("[data-table=invoice_totals] tbody th").all_text_contents()) == set(CURRENCIES)
        assert page.get_by_text(LONG).count() > 0


def _widen(maker: TableMaker) -> None:
    """Ten currencies, and names without a place to break."""
    for place, currency in enumerate(CURRENCIES):
        where = f"WHERE hash(transaction_id) % {len(CURRENCIES)} = {place}"
        maker.connection.execute(f"UPDATE reports.invoice_draft SET currency = '{currency}' {where}")
    for table, column in (("reports.attribution_by_client", "company_name"), ("reports.payment_calendar", "payer")):
        maker.connection.execute(
            f"UPDATE {table} SET {column} = ? || {column} WHERE {column} LIKE '%1%'", [LONG.replace(" ", "")]
        )
    maker.connection.execute("UPDATE reports.attribution_gaps SET company_name = ?", [LONG])
