"""Labels of charts are names that companies have chosen: any of them can be drawn, and is cut between whole characters."""

from __future__ import annotations

from decimal import Decimal

import pytest

from debitura_pipeline.report.charts import Segment, stacked_bars
from debitura_pipeline.report.drawing import NOT_DRAWN, shortened
from debitura_pipeline.report.model import Heading, ReportTable, Series
from debitura_pipeline.report.page import LONGEST_NAME, cell, client_name

LONG = "Acme Rockets and Space Tourism Holding GmbH & Co. KG Inkasso Service"
FAMILY = "👩\u200d👩\u200d👧"


@pytest.mark.parametrize(
    "name",
    [
        *(f"{LONG[:place]}🚀{LONG[place:]}" for place in (17, 26, 29, 31, 35)), "😀" * 12, f"{'😀' * 20}{'L' * 180}",
        f"{'a' * 24}{FAMILY}{'b' * 30}", "e\u0301" * 60, "שלום עולם " * 9,
        'a "quoted" \\ name\' with everything </script> in it', "名" * 40,
    ],
)  # fmt: skip
def test_chart_of_any_name_is_drawn(name: str) -> None:
    table = ReportTable("t", "Table", (Heading("Client"),), ((name,),))
    pieces = [Segment(bar, "Paid", Decimal(7), "words") for bar in (name, "Another")]
    chart = stacked_bars("chart", "Caption", "Words", [Series("Paid", "--low")], pieces, table)
    for picture in (chart.wide, chart.narrow):
        assert "<svg" in picture and ">Another<" in picture
        assert picture.encode(), "half a character"


def test_what_cannot_be_drawn_is_left_to_the_table(caplog: pytest.LogCaptureFixture) -> None:
    table = ReportTable("t", "Table", (Heading("Client"),), (("A",),))
    half = "A \ud83d"
    chart = stacked_bars(
        "chart", "Caption", "Words", [Series("Paid", "--low")], [Segment(half, "Paid", Decimal(7), "")], table
    )
    assert (chart.wide, chart.narrow) == (NOT_DRAWN, "")
    assert "The chart chart could not be drawn" in caplog.text


def test_text_is_cut_between_whole_characters() -> None:
    assert shortened("Harbour Supplies", 200) == "Harbour Supplies"
    assert shortened(LONG, 200).endswith("…") and LONG.startswith(shortened(LONG, 200)[:-1].rstrip())
    assert len(shortened(LONG, 200)) > 20
    assert shortened(f"{'a' * 26}{FAMILY}{'b' * 9}", 200) == f"{'a' * 26}…"
    accents = shortened("e\u0301" * 60, 200)
    assert accents[-2:] == "\u0301…"
    assert len(shortened("W" * 60, 200)) < len(shortened("i" * 60, 200))


@pytest.mark.parametrize("name", [None, "", "   ", "\u200b", "\u202e\u2066"])
def test_name_in_which_nothing_is_to_be_seen_is_an_unknown_clients(name: str | None) -> None:
    assert client_name(name) == "Unknown client"
    assert client_name(f"{name or ''}A") == f"{name or ''}A"


def test_name_of_ten_thousand_characters_is_shortened_on_the_page() -> None:
    assert cell("a" * 10_000, "text") == "a" * LONGEST_NAME + "…"
    assert cell("a" * LONGEST_NAME, "text") == "a" * LONGEST_NAME
    assert cell("a b " * 200, "prose") == "a b " * 200
