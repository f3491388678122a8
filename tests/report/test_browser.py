"""The page as a reader meets it, in headless Chromium: figures, network, phone, dark, paper.

The damage if these break: a partner reads a wrong, clipped or unreadable figure, or the page calls somebody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline.report import ReportFacts, write_report
from debitura_pipeline.settings import Settings
from tests.report.conftest import make_settings
from tests.report.maker import tables
from tests.report.tables import HOSTILE

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 375, "height": 812}
CHARTS = 9
FIGURES = "nodes => Object.fromEntries(nodes.map(node => [node.dataset.figure, node.value]))"
NUMBERS = """table => [...table.tBodies[0].rows].map(row => [row.cells[0].textContent.trim(),
    ...[...row.cells].slice(1).map(cell => cell.querySelector('data')?.value ?? null)])"""
CLIPPED = """() => [...document.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.left < frame.left - 2 || box.right > innerWidth;
    }).map(text => text.textContent);
})"""
LUMINANCE = """() => {
    const channel = value => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4 };
    const luminance = colour => {
        const [red, green, blue] = colour.match(/[\\d.]+/g).map(Number);
        return 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
    };
    const paper = luminance(getComputedStyle(document.body).backgroundColor);
    const places = 'h1,h2,p,dt,dd,th,td,caption,summary,a:not(.skip),figcaption,.legend li,.verdict,.unit,.stake span,footer';
    return [...document.querySelectorAll(places), ...document.querySelectorAll('svg.wide text')].map(node => {
        const style = getComputedStyle(node);
        const ink = luminance(node instanceof SVGElement ? style.fill : style.color);
        return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), node.tagName + ' ' + node.textContent.slice(0, 30)];
    });
}"""


@contextmanager
def opened(browser: Any, path: Path, viewport: dict[str, int], scheme: str = "light") -> Iterator[Any]:
    """The page in a context of its own; at the end, nothing but the file was asked for and the console stayed empty."""
    requests: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    try:
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        yield page
    finally:
        context.close()
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert complaints == []


def test_figures_in_the_browser_equal_the_warehouse(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    settings, facts = filled
    with opened(browser, facts.path, DESKTOP) as page:
        shown = page.eval_on_selector_all("[data-figure]", FIGURES)
        by_client = page.eval_on_selector("[data-table=top_clients]", NUMBERS)
        by_month = page.eval_on_selector("[data-table=revenue_by_month_and_stage]", NUMBERS)
        by_stage = page.eval_on_selector("[data-table=revenue_pipeline]", NUMBERS)
    connection = duckdb.connect(str(settings.warehouse.path), read_only=True)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()

    ((paid, disputed),) = rows(
        "SELECT sum(referral_fee_usd) FILTER (revenue_stage = 'Paid'), "
        "sum(referral_fee_usd) FILTER (revenue_stage = 'Disputed') FROM reports.revenue_by_client"
    )
    assert (Decimal(shown["paid_usd"]), Decimal(shown["disputed_usd"])) == (paid, disputed)
    wanted = rows(
        "SELECT company_name, fee_total_usd FROM reports.attribution_by_client ORDER BY fee_total_usd DESC, creditor_id LIMIT 10"
    )
    assert wanted[0][0] == HOSTILE
    assert [(row[0], Decimal(row[1])) for row in by_client] == wanted
    months = rows(
        "SELECT strftime(max(month), '%b %Y'), sum(referral_fee_usd) FILTER (revenue_stage <> 'Disputed') "
        "FROM reports.revenue_by_client GROUP BY month_label ORDER BY month_label DESC"
    )
    assert [(row[0], Decimal(row[-2])) for row in by_month] == months
    sums = rows("SELECT sum(referral_fee_usd) FROM reports.revenue_pipeline GROUP BY stage_order ORDER BY stage_order")
    assert [Decimal(row[1]) for row in by_stage] == [usd for (usd,) in sums]
    connection.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_a_phone(browser: Any, filled: tuple[Settings, ReportFacts], scheme: str) -> None:
    with opened(browser, filled[1].path, PHONE, scheme) as page:
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [375, 375]
        assert page.evaluate(CLIPPED) == []
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('svg.narrow text')].map(text => text.getBoundingClientRect().height))"
        )
        assert smallest >= 10  # pixels of a line: the phone's own picture is shown, not the wide one shrunk
        assert page.evaluate("[...document.querySelectorAll('svg.wide')].some(svg => svg.checkVisibility())") is False


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(browser: Any, filled: tuple[Settings, ReportFacts], scheme: str) -> None:
    """4.5 to 1 is what WCAG asks of small text."""
    with opened(browser, filled[1].path, DESKTOP, scheme) as page:
        measured = page.evaluate(LUMINANCE)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert len(measured) > 200
    assert [found for found in measured if found[0] < 4.5] == []
    assert (max(int(part) for part in paper[4:-1].split(", ")[:3]) < 60) == (scheme == "dark")


def test_pictures_follow_dark_and_light(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    """A colour baked into the picture would vanish on the other paper."""
    colours = []
    for scheme in ("light", "dark"):
        with opened(browser, filled[1].path, DESKTOP, scheme) as page:
            colours.append(
                page.eval_on_selector(
                    "#revenue svg.wide path[fill='var(--stage-paid)']", "node => getComputedStyle(node).fill"
                )
            )
    assert colours[0] != colours[1]


def test_pictures_have_words_for_those_who_do_not_see_them(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    with opened(browser, filled[1].path, DESKTOP) as page:
        names = [image.get_attribute("aria-labelledby").split() for image in page.get_by_role("img").all()]
        assert len(names) == CHARTS
        for title, description in names:
            assert page.locator(f"#{title}").text_content()
            words = page.locator(f"#{description}").text_content()
            assert "USD" in words or "%" in words or description.startswith(("chart-outcomes", "chart-onboarding"))
        assert page.locator("figure details table").count() == CHARTS


def test_page_prints(browser: Any, filled: tuple[Settings, ReportFacts]) -> None:
    with opened(browser, filled[1].path, DESKTOP, "dark") as page:
        pdf = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.set_viewport_size({"width": 680, "height": 1000})  # what A4 leaves between its margins
        assert page.evaluate(CLIPPED) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") >= 3


def test_empty_page_opens_too(browser: Any, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert settings.warehouse.path is not None
    with tables(settings.warehouse.path):
        pass
    with opened(browser, write_report(settings).path, PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        assert page.get_by_text("No transactions yet").is_visible()
