"""The page of all partners: the figures of each partner's own page, and readable by everybody on any screen.

The damage if these break: two pages say two amounts, or the partner that needs a look is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.fleet import FleetFacts
from debitura_pipeline.formats import format_amount
from debitura_pipeline.report import ReportFacts
from debitura_pipeline.settings import Settings
from tests.report.reading import PageTable, read_answers, read_printed, read_tables
from tests.report.tables import NOW
from tests.report.test_accessible import SCREEN, VIEWS, axe_faults
from tests.report.test_browser import DESKTOP, opened
from tests.support.fleet import fleet_of, publish_file, record_nights

COUNT = 40
LONG = "kreditorenschutz-verein-hamburg-von-1871"
NAMES = """rows => rows.filter(row => !row.hidden)
    .map(row => (row.cells[0].querySelector('a') ?? row.cells[0]).textContent)"""
OVERLAP = """table => { const [head, first] = [table.tHead.rows[0].cells[0], table.tBodies[0].rows[3].cells[0]];
    return [head, first].map(cell => Math.round(cell.getBoundingClientRect().left)); }"""


@pytest.fixture(scope="module")
def fleet(filled: tuple[Settings, ReportFacts], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetFacts]:
    """Forty partners with the same figures; one is late, one has published nothing."""
    settings, report = filled
    assert settings.warehouse.path is not None
    root = tmp_path_factory.mktemp("fleet")
    names = [LONG, *(f"p{number:02d}" for number in range(1, COUNT))]
    (root / "partners.toml").write_text(
        "\n".join(
            f'[{name}]\nenvironment = "production"\napi_key_variable = "KEY_{place}"'
            for place, name in enumerate(names)
        )
    )
    first = root / "data" / LONG
    record_nights(
        first, NOW - timedelta(hours=40), is_proven=False, reason="transactions: 3 windows changed while they were read"
    )
    publish_file(first, settings.warehouse.path, NOW)
    (first / "reports").mkdir()
    (first / "reports" / report.path.name).write_bytes(report.path.read_bytes())
    for name in names[1:-1]:
        record_nights(root / "data" / name, NOW)
        for folder in ("published", "reports"):
            (root / "data" / name / folder).symlink_to(first / folder)
    yield fleet_of(root, NOW)


@pytest.fixture(scope="module")
def tables(fleet: FleetFacts) -> dict[str, PageTable]:
    return read_tables(fleet.page.read_text())


def test_amounts_are_those_of_the_partners_own_page(
    fleet: FleetFacts, tables: dict[str, PageTable], filled: tuple[Settings, ReportFacts]
) -> None:
    own = filled[1].path.read_text()
    periods = {row[0]: row[1] for row in read_tables(own)["revenue_summary"].rows}
    answers, printed = read_answers(own), read_printed(own)
    for row in tables["partners"].rows:
        amounts = [None if cell == "–" else Decimal(cell) for cell in row[5:]]
        is_there = "nothing" not in row[0]
        wanted = [Decimal(periods["Last month"]), Decimal(periods["This month so far"]), answers["to-come"]]
        assert amounts == (wanted if is_there else [None] * 3)
    assert f">{format_amount(printed['to-come'])}<" in fleet.page.read_text()
    assert len(tables["partners"].rows) == COUNT


def test_names_lead_to_the_partners_own_pages(fleet: FleetFacts, browser: Any) -> None:
    with opened(browser, fleet.page, DESKTOP) as page:
        links = page.eval_on_selector_all("[data-table=partners] a", "all => all.map(one => one.href)")
    assert len(links) == COUNT - 1
    assert all(Path(link.removeprefix("file://")).is_file() for link in links)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("viewport", "scheme"), VIEWS, ids=lambda view: view if isinstance(view, str) else str(view["width"])
)
def test_axe_finds_nothing(browser: Any, fleet: FleetFacts, viewport: dict[str, int], scheme: str) -> None:
    with opened(browser, fleet.page, viewport, scheme) as page:
        assert axe_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


@pytest.mark.slow
def test_a_phone_shows_the_answers_at_once_and_keeps_names_in_sight(browser: Any, fleet: FleetFacts) -> None:
    with opened(browser, fleet.page, SCREEN) as page:
        bottoms = [answer.bounding_box() for answer in page.locator(".answer").all()]
        assert len(bottoms) == 3
        assert max(box["y"] + box["height"] for box in bottoms) <= SCREEN["height"]
        table = page.locator("[data-table=partners]")
        before = table.evaluate(OVERLAP)
        page.evaluate("document.querySelector('#partners .scroll').scrollLeft = 300")
        assert page.evaluate("document.querySelector('#partners .scroll').scrollLeft") == 300
        assert table.evaluate(OVERLAP) == before == [16, 16]


@pytest.mark.slow
def test_partners_are_searched_and_sorted(browser: Any, fleet: FleetFacts) -> None:
    rows = "[data-table=partners] tbody tr"
    with opened(browser, fleet.page, DESKTOP) as page:
        assert page.eval_on_selector_all(rows, NAMES)[:3] == [f"p{COUNT - 1} nothing published", LONG, "p01"]
        bar = page.locator("#partners .tools")
        bar.get_by_role("searchbox").fill("late")
        assert page.eval_on_selector_all(rows, NAMES) == [LONG]
        bar.get_by_role("searchbox").fill("")
        page.locator("[data-table=partners] thead th", has_text="Age").get_by_role("button").click()
        assert page.eval_on_selector_all(rows, NAMES)[0] == LONG
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 680, "height": 1000})  # what A4 leaves between its margins
        assert page.evaluate("document.documentElement.scrollWidth") <= 680
