"""Section on the stage waterfall: how the money that is not paid yet went from the month's opening to its closing figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_amount, format_change, format_month
from debitura_pipeline.report.charts import Movement, movements
from debitura_pipeline.report.model import Chart, Heading, ReportTable, Section, Series
from debitura_pipeline.report.read import ZERO, Reports, total
from debitura_pipeline.report.sections_changes import FIRST_NIGHT, is_first_night
from debitura_pipeline.report.stages import EXPECTED, STAGES, stage_of

WATERFALL, STAGE_CHANGES = "reports.stage_waterfall", "marts.fct_stage_changes"
ASIDE = "Into or out of dispute, or unclear"
MONTHS_SHOWN = 24
OPEN = tuple(stage.key for stage in EXPECTED if stage.key != "Paid")
UP, DOWN = Series("More", "--high"), Series("Less", "--low-2", "stripes")
PARTS = ("appeared", "moved_in", "moved_out", "edited", "fx", "gone")
AMOUNTS = ("opening", *PARTS, "closing")
FIELDS = tuple(f"{name}_usd" for name in AMOUNTS)


def waterfall_rows(reports: Reports) -> list[Any]:
    """`month`, `revenue_stage`, `is_current_month` and the amounts of the newest months. Empty without the table."""
    if not reports.has(WATERFALL):
        return []
    newest = f"month IN (SELECT DISTINCT month FROM {WATERFALL} ORDER BY month DESC LIMIT {MONTHS_SHOWN})"
    columns = ("month", "revenue_stage AS stage", "is_current_month AS is_current", *FIELDS)
    return reports.records(WATERFALL, columns, f"WHERE {newest} ORDER BY month DESC, stage_order")


def open_balance(rows: Iterable[Any], field: str) -> Decimal:
    """Sum of one amount over the stages of money that is not paid yet."""
    return total(getattr(row, field) for row in rows if row.stage in OPEN)


def stage_waterfall(reports: Reports) -> Section | None:
    """What moved in the current month as bars; below it each stage, and the months before."""
    rows = waterfall_rows(reports)
    if not rows:
        return None
    newest = [row for row in rows if row.month == rows[0].month]
    opening, closing = open_balance(newest, "opening_usd"), open_balance(newest, "closing_usd")
    month, title = format_month(rows[0].month), "From the start of the month until now"
    if is_first_night(reports):
        lead = f"The first reading opens {month} with {format_amount(opening)} USD not paid yet; the next ones show what moves."
        return Section("waterfall", title, lead, verdict=FIRST_NIGHT)
    lead = (
        f"Fees not paid yet: {format_amount(opening)} USD at {_opening_of(rows, month)}, {format_amount(closing)} USD now, "
        f"{format_change(closing - opening)} USD."
    )
    paid = paid_of_open(reports, rows)
    steps = month_movements(newest, paid)
    tables = (_stages(newest, month), _months(rows, paid))
    return Section(
        "waterfall", title, lead, chart=_chart(newest, month, steps) if any(steps.values()) else None, tables=tables
    )


def _opening_of(rows: list[Any], month: str) -> str:
    """What the current month opened with: its start, or in the first month the first reading."""
    return f"the start of {month}" if len({row.month for row in rows}) > 1 else "the first reading"


def paid_of_open(reports: Reports, rows: Iterable[Any]) -> dict[date, Decimal]:
    """Open fees that were paid, less paid ones that were open again, by month, USD: a fee that was paid out of a dispute was not
    open. Without the table of changes: all that was paid, of the waterfall's `rows`."""
    if not reports.has(STAGE_CHANGES):
        return {row.month: row.moved_in_usd - row.moved_out_usd for row in rows if row.stage == "Paid"}
    stages = ", ".join(f"'{stage}'" for stage in OPEN)
    columns = (
        "CAST(date_trunc('month', not_after AT TIME ZONE 'UTC') AS date) AS month",
        "sum(CASE WHEN to_stage = 'Paid' THEN moved_usd ELSE -moved_usd END) AS usd",
    )
    which = f"(to_stage = 'Paid' AND from_stage IN ({stages})) OR (from_stage = 'Paid' AND to_stage IN ({stages}))"
    return {row.month: row.usd for row in reports.records(STAGE_CHANGES, columns, f"WHERE {which} GROUP BY 1")}


def month_movements(rows: list[Any], paid: Mapping[date, Decimal]) -> dict[str, Decimal]:
    """A month of the open stages together: what came, was paid, went into dispute, changed, and is gone. They add up to
    closing less opening: what leaves the open stages, and is not paid, is disputed or unclassified. `paid`: `paid_of_open`."""
    moved = total(row.moved_in_usd - row.moved_out_usd for row in rows if row.stage in OPEN)
    own = paid.get(rows[0].month, ZERO) if rows else ZERO
    return {
        "New": open_balance(rows, "appeared_usd"), "Paid": -own, ASIDE: moved + own,
        "Edited": open_balance(rows, "edited_usd"), "Exchange rates": open_balance(rows, "fx_usd"),
        "Gone": -open_balance(rows, "gone_usd"),
    }  # fmt: skip


def _chart(rows: list[Any], month: str, steps: Mapping[str, Decimal]) -> Chart:
    parts = {name: amount for name, amount in steps.items() if amount or name in ("New", "Paid")}
    bars = [Movement(name, (UP if amount >= 0 else DOWN).label, amount) for name, amount in parts.items()]
    sums = [
        ("At the start", open_balance(rows, "opening_usd")),
        *steps.items(),
        ("Now", open_balance(rows, "closing_usd")),
    ]
    headings = (Heading("Step"), Heading("USD", "change"))
    table = ReportTable("waterfall_steps", f"Fees not paid yet in {month}, USD", headings, tuple(sums))
    words = "; ".join(f"{name} {format_change(amount)} USD" for name, amount in sums)
    caption = f"What changed the fees not paid yet in {month}, USD"
    return movements("chart-waterfall", caption, f"Horizontal bars, one per step: {words}.", (UP, DOWN), bars, table)


def _stages(rows: list[Any], month: str) -> ReportTable:
    labels = ("At the start", "New", "In from other stages", "Out to other stages", "Edited", "Exchange rates", "Gone")
    headings = (Heading("Stage"), Heading("Now", "money"), *(Heading(label, "money") for label in labels))
    found = sorted(rows, key=lambda row: STAGES.index(stage_of(row.stage)))
    cells = tuple(
        (stage_of(row.stage).label, row.closing_usd, *(getattr(row, field) for field in FIELDS[:-1])) for row in found
    )
    return ReportTable("stage_waterfall", f"Each stage in {month}, USD: now is the start, plus new and in, less out and gone, plus "
                       "edits and exchange rates", headings, cells)  # fmt: skip


def _months(rows: list[Any], paid: Mapping[date, Decimal]) -> ReportTable:
    months = list(dict.fromkeys(row.month for row in rows))
    cells = []
    for month in months:
        own = [row for row in rows if row.month == month]
        cells.append(
            (
                month,
                open_balance(own, "closing_usd"),
                open_balance(own, "opening_usd"),
                *month_movements(own, paid).values(),
            )
        )
    names = tuple(Heading(name, "money") for name in month_movements([], {}))
    headings = (Heading("Month", "month"), Heading("At the end", "money"), Heading("At the start", "money"), *names)
    return ReportTable("waterfall_months", "Fees not paid yet, month by month, USD", headings, tuple(cells))
