"""Sections on money to come: the payment calendar, and who owes what. None if the table is missing or has no rows.

Only expected income is counted; disputed fees are named beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_amount, format_count, format_day, format_month
from debitura_pipeline.plural import counted
from debitura_pipeline.report.charts import Segment, stacked_bars
from debitura_pipeline.report.model import Chart, Heading, ReportTable, Section, Series
from debitura_pipeline.report.read import ZERO, Reports, total
from debitura_pipeline.report.stages import stage_of

CALENDAR = "reports.payment_calendar"
MONTHS_DRAWN = 8
ROWS_SHOWN = 60
CLASSES = {"overdue": "Overdue since", "due": "Due", "not_before": "Not before", "unknown": "No date known"}
NAMELESS = "unnamed partner"
FINAL_DUE = Series("Final, with its date", "--low")
FINAL_LATEST = Series("Final, not before this month, or no date", "--high", "stripes")
PREDICTED = Series("Estimate", "--low-2", "dots")


@dataclass(frozen=True)
class Due:
    """Fees of one due class and date of payment (None: no date known), USD."""

    due_class: str
    due_on: date | None
    usd: Decimal


def dues(reports: Reports, where: str = "is_expected_income", params: tuple[str, ...] = ()) -> list[Due]:
    """Expected income by due class and date, overdue first. Empty without the table."""
    if not reports.has(CALENDAR):
        return []
    due = DueColumns.of(reports, CALENDAR, "due_on")
    columns = (due.due_class, due.order, due.due_on, "sum(referral_fee_usd) AS usd")
    tail = f"WHERE {where} GROUP BY 1, 2, 3 ORDER BY 2, 3"
    return [Due(row.due_class, row.due_on, row.usd) for row in reports.records(CALENDAR, columns, tail, params)]


@dataclass(frozen=True)
class DueColumns:
    """SQL of class, its order, and date: of the payment; in files of an older version, which do not have it, of the next step."""

    due_class: str
    order: str
    due_on: str

    @classmethod
    def of(cls, reports: Reports, table: str, step: str) -> DueColumns:
        """`step`: the column with the date of the next step."""
        is_there = reports.has_column(table, "payment_class")
        name, due_on = ("payment_class", "payment_due_on") if is_there else ("due_class", step)
        order = f"CASE {name} WHEN 'overdue' THEN 1 WHEN 'due' THEN 2 WHEN 'not_before' THEN 3 ELSE 4 END"
        return cls(f"{name} AS due_class", f"{order} AS place", f"{due_on} AS due_on")


def payers(reports: Reports) -> list[Any]:
    """`payer`, `payer_kind`, `usd` of expected income, the highest first. Empty without the table."""
    if not reports.has(CALENDAR):
        return []
    columns = ("payer", "payer_kind", "sum(referral_fee_usd) AS usd")
    tail = "WHERE is_expected_income GROUP BY payer, payer_kind ORDER BY sum(referral_fee_usd) DESC, payer"
    return reports.records(CALENDAR, columns, tail)


def when(due_class: str, due_on: date | None) -> str:
    """`Due 8 Mar 2026`, `Not before 8 Apr 2026`, `No date known`."""
    words = CLASSES.get(due_class, due_class)
    return (
        f"{words} {format_day(due_on)}"
        if due_on is not None and due_class != "unknown"
        else words.removesuffix(" since")
    )


def payment_calendar(reports: Reports) -> Section | None:
    """What is due when and from whom, overdue first; final apart from estimated."""
    if not reports.has(CALENDAR):
        return None
    due = DueColumns.of(reports, CALENDAR, "due_on")
    columns = (
        due.due_class, due.order, due.due_on, "payer_kind",
        "revenue_stage AS stage", "stage_order", "count(DISTINCT payer) AS payers",
        "max(payer) AS payer", "max(next_step) AS step", "sum(transaction_count) AS n", "sum(referral_fee_usd) AS usd",
        "sum(referral_fee_usd - of_which_estimate_usd) AS final_usd",
    )  # fmt: skip
    tail = "WHERE is_expected_income GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 6 DESC"
    found = reports.records(CALENDAR, columns, tail)
    if not found:
        return None
    return Section("calendar", "Payment calendar", _lead(found), chart=_chart(found), tables=(_table(found),),
                   notes=_notes(reports))  # fmt: skip


def _lead(found: list[Any]) -> str:
    everything, final = total(row.usd for row in found), total(row.final_usd for row in found)
    moving = format_amount(everything - final)
    lead = f"{format_amount(everything)} USD still to come: {format_amount(final)} final, {moving} may move with exchange rates."
    late = total(row.usd for row in found if row.due_class == "overdue")
    if late:
        return f"{lead} {format_amount(late)} USD are overdue."
    dated = total(row.usd for row in found if row.due_class == "due")
    return f"{lead} Of the {format_amount(dated)} USD whose due date is known, none is overdue." if dated else lead


def _notes(reports: Reports) -> tuple[str, ...]:
    notes = [
        "The API states no due dates: they follow from its documented terms and the day on which a step was first seen. "
        "“Not before” stands where a step was taken before the first reading, so that its term may have ended already, and where "
        "Debitura's invoice is late."
    ]
    (row,) = reports.records(CALENDAR, ("sum(referral_fee_usd) AS usd",), "WHERE NOT is_expected_income")
    if row.usd:
        notes.append(f"Not in the calendar: {format_amount(row.usd)} USD disputed or unclassified.")
    return tuple(notes)


def _table(found: list[Any]) -> ReportTable:
    columns = (Heading("When"), Heading("USD", "money"), Heading("From"), Heading("Stage"),
               Heading("Estimate in it, USD", "money"), Heading("Transactions", "count"),
               Heading("Next step", "prose"))  # fmt: skip
    shown, rest = found[:ROWS_SHOWN], found[ROWS_SHOWN:]
    rows = [
        (when(row.due_class, row.due_on), row.usd, _payer(row), stage_of(row.stage).label, row.usd - row.final_usd,
         int(row.n), row.step)
        for row in shown
    ]  # fmt: skip
    if rest:
        more = f"{format_count(len(rest))} more {'row' if len(rest) == 1 else 'rows'}"
        rows.append((more, total(row.usd for row in rest), "", "",
                     total(row.usd - row.final_usd for row in rest), sum(int(row.n) for row in rest), ""))  # fmt: skip
    sums = (total(row.usd for row in found), total(row.usd - row.final_usd for row in found))
    return ReportTable(
        "payment_calendar", "Money to come by due date, USD", columns, tuple(rows),
        ("All", sums[0], "", "", sums[1], sum(int(row.n) for row in found), ""),
    )  # fmt: skip


def payer_name(row: Any) -> str:
    """Debitura, a collection partner's name, or that it is not known."""
    if row.payer_kind == "collection_partner":
        return NAMELESS if row.payer == "unknown" else str(row.payer)
    return "Debitura" if row.payer_kind == "debitura" else "Not known"


def _payer(row: Any) -> str:
    if row.payer_kind == "collection_partner":
        return payer_name(row) if row.payers == 1 else counted(row.payers, "collection partner")
    return payer_name(row)


def _chart(found: list[Any]) -> Chart:
    months = sorted({_month(row) for row in found if row.due_class in ("due", "not_before") and row.due_on})
    drawn = set(months[:MONTHS_DRAWN])
    later = f"After {format_month(months[MONTHS_DRAWN - 1])}" if len(months) > MONTHS_DRAWN else ""
    sizes: dict[tuple[str, str], Decimal] = {}
    for row in found:
        final = FINAL_LATEST if row.due_class in ("not_before", "unknown") else FINAL_DUE
        for series, usd in ((final, row.final_usd), (PREDICTED, row.usd - row.final_usd)):
            place = (_bar(row, drawn, later), series.label)
            sizes[place] = sizes.get(place, ZERO) + usd
    names = ("Overdue", *(format_month(month) for month in months[:MONTHS_DRAWN]), later, CLASSES["unknown"])
    bars = [bar for bar in names if any(place[0] == bar and usd for place, usd in sizes.items())]
    shown = [one for one in (FINAL_DUE, FINAL_LATEST, PREDICTED) if any(sizes.get((bar, one.label)) for bar in bars)]
    pieces = [
        Segment(bar, one.label, sizes[bar, one.label], f"{bar}, {one.label}: {format_amount(sizes[bar, one.label])} USD")
        for bar in bars for one in shown if (bar, one.label) in sizes
    ]  # fmt: skip
    columns = (Heading("When"), Heading("All, USD", "money"), *(Heading(one.label, "money") for one in shown))
    own = {bar: [sizes.get((bar, one.label), ZERO) for one in shown] for bar in bars}
    rows: tuple[tuple[str | Decimal, ...], ...] = tuple((bar, total(parts), *parts) for bar, parts in own.items())
    words = "; ".join(f"{bar} {format_amount(total(parts))} USD" for bar, parts in own.items())
    table = ReportTable("calendar_by_month", "Money to come by month, USD", columns, rows)
    return stacked_bars("chart-calendar", "Money to come by month in which it is due, USD",
                        f"Horizontal bars, overdue first, then one per month: {words}.", shown, pieces, table)  # fmt: skip


def _bar(row: Any, drawn: Iterable[date], later: str) -> str:
    if row.due_class == "overdue":
        return "Overdue"
    if row.due_class == "unknown" or not row.due_on:
        return CLASSES["unknown"]
    return format_month(_month(row)) if _month(row) in drawn else later


def _month(row: Any) -> date:
    return date(row.due_on.year, row.due_on.month, 1)
