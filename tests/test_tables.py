"""Tables that are too wide for the terminal are written row by row; nothing is cut."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from rich.console import Console, RenderableType

from debitura_pipeline.cli import console, progress
from debitura_pipeline.cli.tables import FittedTable, sync_table, totals_table
from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.sync.report import SyncReport

AT = datetime(2026, 11, 22, 2, tzinfo=UTC)
LONG = "the API did not state it, and its own rows of that stage moved with the exchange rates of the day"


def report(resource: str) -> SyncReport:
    return SyncReport(
        f"20261122T020000Z-{resource}-1a2b3c", resource, "nightly", "done", AT, AT, 12_345, 0, 1_234_567, 1_234_567,
        1_234_567, 1_234_567, 1_234_567, 3, 1_000, 0, is_proven=False,
    )  # fmt: skip


def printed(what: RenderableType, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(what)
    return file.getvalue().splitlines()


def total(bucket: str, verdict: str) -> ControlTotal:
    value = Decimal("1234567890.1234")
    return ControlTotal(
        "transactions", "stage", "0b9f4a52-0000-4000-8000-000000000001", bucket, "usd", value, value, verdict, LONG
    )


@pytest.mark.parametrize("width", [80, 100, 1_000])
def test_nothing_is_cut_at_any_width(width: int) -> None:
    reports = [report(resource) for resource in ("clients", "cases", "transactions")]
    totals = [total("AwaitingCollectionPartnerPayment", "differs"), total("Unclassified", "unproven")]
    for table, words in (
        (sync_table(reports), ("transactions", "quarantined", "unchanged", "1,234,567", "unproven", "control totals")),
        (totals_table(totals), ("AwaitingCollectionPartnerPayment", "1,234,567,890.1234", "differs", "exchange rates")),
    ):
        lines = printed(table, width)
        assert max(map(len, lines)) <= width
        text = " ".join(" ".join(line.split()) for line in lines)
        assert "…" not in text
        for word in words:
            assert word in text, (width, word)


def test_a_log_gets_a_line_per_row_however_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console.make_console().width == console.PLAIN_WIDTH
    assert len(printed(totals_table([total("Paid", "equal")]), console.PLAIN_WIDTH)) == 2
    monkeypatch.setenv("COLUMNS", "80")
    assert console.make_console().width == 80


def test_a_log_hears_of_a_long_step_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 11.0, 12.0, 12.0])
    plain = progress.PlainProgress(lambda: next(clock))
    plain.began("dbt_build")
    for made in (1, 12, 13):
        plain.built("dbt_build", made, 27)
    plain(ReadProgress("cases", 1, 2, 100, 0))
    assert capsys.readouterr().out == "dbt_build: 12 of 27 models built\n"


def test_a_full_bar_says_what_it_waits_for_and_goes_with_its_step() -> None:
    file = io.StringIO()
    with progress.progress_bars(Console(file=file, force_terminal=True, width=100)) as shown:
        shown.began("raw/cases")
        shown(ReadProgress("cases", 3, 7, 300, 1))
        assert [task.fields["status"] for task in shown.tasks] == ["3 of 7 pages, 300 rows"]
        shown(ReadProgress("cases", 7, 7, 700, 1))
        assert [task.fields["status"] for task in shown.tasks] == ["read; verifying and merging, 700 rows"]
        shown.ended("raw/cases")
        shown.began("dbt_build")
        shown.built("dbt_build", 12, 27)
        assert [(task.description, task.fields["status"]) for task in shown.tasks] == [("dbt_build", "12 of 27 models")]


@pytest.mark.parametrize("width", [200, 30])
def test_a_value_cannot_look_like_another_row(width: int) -> None:
    table = FittedTable(("reference", "state", "why"), [("INV-1\nINV-2", "planned", "no\r\x1b[2Jbody")])
    text = "\n".join(printed(table, width))
    assert "INV-1\\nINV-2" in text
    assert "\x1b" not in text and "\r" not in text
