"""The pages show the warehouse's figures to the cent, and each figure leads to rows that add up to it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.bi.running import PAGES, show
from tests.bi.world import FEES, HOSTILE, SECOND, publish_two_nights
from tests.report.maker import tables

CARDS = {
    "Earned and paid": ("paid", ("Paid",)),
    "Ready to invoice": ("ready", ("ReadyToInvoiceDebitura",)),
    "Awaited": ("awaited", ("AwaitingDebituraPayment", "AwaitingCollectionPartnerPayment", "ConfirmedPendingInvoice")),
    "Estimated": ("estimated", ("Pending",)),
    "Disputed": ("disputed", ("Disputed",)),
}
Shown = dict[str, Any]


# By page and table: row and column of a cell, and what the rows behind it are called.
CELLS: dict[str, dict[str, tuple[int, str, str]]] = {
    "revenue": {
        "months": (0, "Paid", "Feb 2026, Paid"),
        "currencies": (1, "expected_and_earned_usd", "EUR, Expected and earned, USD"),
        "clients": (0, "of_which_estimate_usd", f"{HOSTILE}, Of which estimate, USD"),
    },
    "pipeline": {
        "stages": (0, "overdue_usd", "Invoiced to Debitura"),
        "calendar": (0, "referral_fee_usd", "Overdue, Invoiced to Debitura"),
        "partners": (0, "referral_fee_usd", "Inkasso"),
    },
    "attribution": {"findings": (0, "finding", "The case"), "clients": (0, "cases_open", "Acme, Cases open")},
    "recovery": {"outcomes": (0, "cases", "Open, EUR")},
    "onboarding": {"funnel": (0, "stuck_count", "Wanted")},
    "quality": {"checks": (1, "rows_count", "Contract: warn")},
}
STEPS: dict[str, dict[str, Any]] = {
    **{page: {"page": page, "cells": CELLS.get(page, {})} for page in PAGES},
    **{f"rows of {key}": {"page": "overview", "click": [f"rows-overview-{key}"]} for key in ("paid", "awaited")},
    "one client": {"page": "overview", "state": {"client": ["c-2"]}},
    "one month": {"page": "overview", "state": {"first_month": "2026-02-01", "last_month": "2026-02-01"}},
    "one currency": {"page": "overview", "state": {"currency": ["GBP"]}},
    "one country": {"page": "overview", "state": {"country": ["Germany"]}},
    "all filters": {
        "page": "overview",
        "state": {"client": ["c-1", "c-2"], "first_month": "2026-02-01", "currency": ["EUR", "GBP"], "country": ["France"]},
    },
    "recognized": {"page": "revenue", "state": {"basis": "recognized"}, "cells": {"bases": (0, "fee_usd", "")}},
    "nothing left": {"page": "revenue", "state": {"client": ["c-3"], "country": ["France"]}},
    "filter that does not apply": {"page": "quality", "state": {"country": ["France"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    """What each step shows; at the end the second night, published while this process had the first one open."""
    folder = tmp_path_factory.mktemp("bi")
    publish_two_nights(folder)
    link = {"link": [str(folder / "published" / "current"), f"nights/{SECOND}"]}
    *shown, _, later = show(folder, *STEPS.values(), link, {"page": "overview"})
    return {**dict(zip(STEPS, shown, strict=True)), "later": later}


def usd(*stages: str, where: Callable[[tuple[Any, ...]], bool] = lambda _: True) -> Decimal:
    return sum((Decimal(fee[6]) for fee in FEES if fee[2] in stages and where(fee)), start=Decimal(0))


def cents(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01')):,} USD"


def added_up(shown: Shown, table: str, column: str = "referral_fee_usd") -> Decimal:
    return sum((Decimal(row[column]) for row in shown["tables"][table]), start=Decimal(0))


def test_every_page_says_as_of_when_and_fails_nowhere(seen: dict[str, Shown]) -> None:
    for page in PAGES:
        assert seen[page]["exceptions"] == seen[page]["error"] == []
        assert seen[page]["caption"][0].startswith("**As of 2 Mar 2026, 03:00 UTC** · **Simulated data**")


def test_headline_figures_are_the_sums_of_their_stages(seen: dict[str, Shown]) -> None:
    for label, (_, stages) in CARDS.items():
        assert seen["overview"]["metrics"][label] == cents(usd(*stages))
    assert seen["overview"]["metrics"]["Findings"] == "1"


def test_rows_behind_a_headline_figure_add_up_to_it(seen: dict[str, Shown]) -> None:
    for key, stages in (CARDS["Earned and paid"], CARDS["Awaited"]):
        shown = seen[f"rows of {key}"]
        name = f"Rows behind {next(label for label, card in CARDS.items() if card[0] == key)}"
        assert added_up(shown, name) == usd(*stages)
        assert any(
            text.endswith(f"transactions, {cents(usd(*stages))}") or f", {cents(usd(*stages))};" in text
            for text in shown["markdown"]
        )


def test_amounts_of_two_currencies_are_listed_never_added(seen: dict[str, Shown]) -> None:
    (text,) = [text for text in seen["rows of paid"]["markdown"] if text.startswith("**Earned and paid**")]
    assert text.endswith("referral fee 70.00 DKK, 101.00 EUR")


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ("one client", lambda fee: fee[0] == "c-2"),
        ("one month", lambda fee: fee[1] == 2),
        ("one currency", lambda fee: fee[3] == "GBP"),
        ("one country", lambda fee: fee[4] == "Germany"),
        (
            "all filters",
            lambda fee: fee[0] in ("c-1", "c-2") and fee[1] == 2 and fee[3] in ("EUR", "GBP") and fee[4] == "France",
        ),
    ],
)
def test_filters_leave_what_they_name(
    seen: dict[str, Shown], step: str, where: Callable[[tuple[Any, ...]], bool]
) -> None:
    for label, (_, stages) in CARDS.items():
        assert seen[step]["metrics"][label] == cents(usd(*stages, where=where))
    assert any(text.startswith("Filtered: ") for text in seen[step]["caption"])


def test_filters_offer_what_there_is(seen: dict[str, Shown]) -> None:
    options = seen["overview"]["options"]
    assert sorted(options["client"]) == sorted([HOSTILE, "Acme", "Nordlys A/S"])
    assert options["currency"] == ["DKK", "EUR", "GBP"]
    assert options["country"] == ["Denmark", "France", "Germany"]
    assert options["first_month"] == ["Jan 2026", "Feb 2026"]


def test_filters_that_leave_nothing_say_so(seen: dict[str, Shown]) -> None:
    assert seen["nothing left"]["info"] == ["No transactions with these filters."]


def test_a_filter_that_a_report_does_not_have_is_named(seen: dict[str, Shown]) -> None:
    assert any("Not filtered by country" in text for text in seen["filter that does not apply"]["caption"])


@pytest.mark.parametrize(
    ("page", "table"),
    [("revenue", table) for table in ("months", "currencies", "clients")]
    + [("pipeline", table) for table in CELLS["pipeline"]],
)
def test_rows_behind_a_cell_add_up_to_it(seen: dict[str, Shown], page: str, table: str) -> None:
    row, column, title = CELLS[page][table]
    figure = Decimal(seen[page]["tables"][table][row][column])
    assert figure != 0
    assert added_up(seen[page], f"Rows behind {title}") == figure


def test_the_estimate_of_a_disputed_fee_is_part_of_no_total(seen: dict[str, Shown]) -> None:
    assert added_up(seen["revenue"], "clients", "of_which_estimate_usd") == usd("Pending")


def test_rows_of_another_basis_add_up_in_its_own_amount(seen: dict[str, Shown]) -> None:
    behind = "Rows behind Recognized, month not known"
    assert added_up(seen["recognized"], behind, "referral_fee_recognized_usd") == usd("Paid")
    assert Decimal(seen["recognized"]["tables"]["bases"][0]["fee_usd"]) == usd("Paid")


def test_due_classes_leave_disputed_and_paid_out(seen: dict[str, Shown]) -> None:
    metrics = seen["pipeline"]["metrics"]
    assert metrics["No date known"] == cents(usd("Pending", "ReadyToInvoiceDebitura"))
    assert metrics["Overdue"] == "33.33 USD"
    assert metrics["Not before"] == "10.10 USD"


def test_a_finding_leads_to_what_it_rests_on(seen: dict[str, Shown]) -> None:
    shown = seen["attribution"]["tables"]
    assert [row["transaction_id"] for row in shown["Rows behind The transaction"]] == ["t-4"]
    assert [row["case_id"] for row in shown["Rows behind The case"]] == ["k-4"]


@pytest.mark.parametrize(("page", "table"), [("recovery", "outcomes"), ("onboarding", "funnel"), ("quality", "checks")])
def test_counts_lead_to_as_many_rows(seen: dict[str, Shown], page: str, table: str) -> None:
    row, column, title = CELLS[page][table]
    assert len(seen[page]["tables"][f"Rows behind {title}"]) == seen[page]["tables"][table][row][column] > 0


def test_debtors_are_named_nowhere(seen: dict[str, Shown]) -> None:
    assert "Skyldner" not in str(seen)


def test_names_cannot_become_markup(seen: dict[str, Shown]) -> None:
    """Text goes through Markdown, tables do not."""
    texts = [text for shown in seen.values() for kind in ("markdown", "caption") for text in shown[kind]]
    assert not any("*Søn*" in text.replace("\\*", "") for text in texts)


def test_a_night_published_meanwhile_is_shown_at_once(seen: dict[str, Shown]) -> None:
    """DuckDB keeps showing an old file to a process that has it open."""
    assert seen["later"]["caption"][0].startswith("**As of 3 Mar 2026, 03:00 UTC**")
    assert seen["later"]["metrics"]["Earned and paid"] == cents(usd("Paid") + 1000)


def test_nothing_published_nothing_read_and_bad_settings_are_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "empty" / "published").mkdir(parents=True)
    with tables(tmp_path / "empty" / "published" / "warehouse.duckdb"):
        pass
    there, wrong = {"DEBITURA_DATA_DIR": str(tmp_path / "empty")}, {"DEBITURA_WAREHOUSE": "mysql://x"}
    missing, *empty, bad = show(
        tmp_path,
        {"page": "revenue"},
        *({"page": page, "env": there} for page in PAGES),
        {"page": "overview", "env": wrong},
    )
    assert missing["title"] == ["Revenue"]
    assert missing["error"][0].startswith("Nothing is published yet")
    assert [shown["exceptions"] + shown["error"] for shown in empty] == [[]] * len(PAGES)
    said = dict(zip(PAGES, (shown["info"] for shown in empty), strict=True))
    assert said["overview"][0].startswith("No transactions yet")
    for page in ("overview", "pipeline", "attribution"):
        assert "Not checked yet: not everything has been read." in said[page], page
    assert not any("Nothing" in text for text in said["pipeline"])
    assert said["quality"][:2] == ["Not checked yet.", "Not compared yet."]
    assert said["recovery"] == ["No cases yet."]
    assert "DEBITURA_WAREHOUSE" in bad["error"][0]
