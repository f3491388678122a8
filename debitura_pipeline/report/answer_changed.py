"""The first screen's last answer: what changed since the last night, and how this month compares."""

from __future__ import annotations

from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import (
    format_amount,
    format_change,
    format_datetime,
    format_day,
    format_month,
    unbroken_day,
)
from debitura_pipeline.plural import counted
from debitura_pipeline.report.model import AnswerLine
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.sections_changes import (
    CHANGED,
    FIRST_NIGHT,
    compared_with,
    is_first_night,
    moved_with_rates,
    night_changes,
    readings,
)
from debitura_pipeline.report.sections_periods import summary_rows
from debitura_pipeline.report.sections_waterfall import open_balance, waterfall_rows

SHORT = {
    "new": "new", "moved": "in another stage", "edited": "edited", "gone": "deleted", "returned": "back", "reopened": "reopened",
    "restated": "restated",
}  # fmt: skip
ALSO_TOLD = {
    ("case", "reopened"): "reopened",
    ("case", "gone"): "deleted",
    ("client", "gone"): "archived",
}


def changed_since(reports: Reports) -> tuple[AnswerLine, ...]:
    """Fees and cases since the last night, what is still to come since the start of the month, and this month's fees."""
    lines = [*_last_night(reports), *_since_last_month(reports)]
    return tuple(lines) or (AnswerLine("", words="This file keeps no changes yet."),)


def _last_night(reports: Reports) -> list[AnswerLine]:
    if not reports.has(CHANGED):
        return []
    if is_first_night(reports):
        return [AnswerLine("", badge=FIRST_NIGHT)]
    found = night_changes(reports)
    fees = {row.change: row for row in found if row.subject == "transaction"}
    parts = [f"{row.n:,} {SHORT.get(name, name)}" for name, row in fees.items()]
    changed = counted(_fees_changed(reports), "fee")
    words = f"{changed} changed: {', '.join(parts)}" if parts else "No fee has changed"
    words += "".join(
        f"; {counted(row.n, row.subject)} {ALSO_TOLD[row.subject, row.change]}"
        for row in found
        if (row.subject, row.change) in ALSO_TOLD
    )
    usd = total(row.usd for row in fees.values())
    if rates := moved_with_rates(reports, usd):
        usd += rates
        words += f"; {format_change(rates)} of it from exchange rates"
    return [AnswerLine(f"Paid and to come, since {_before(reports)}", usd, words=words, key="night", is_change=True)]


def _fees_changed(reports: Reports) -> int:
    """Fees, each once, whatever number of changes it had."""
    (row,) = reports.records(CHANGED, ("count(DISTINCT subject_id) AS n",), "WHERE subject = 'transaction'")
    return int(row.n)


def _before(reports: Reports) -> str:
    """The day that changes are counted from; with its time, if the newest reading is of that day too."""
    before, now = (at.astimezone(UTC) for at in (compared_with(reports), readings(reports)[-1].at))
    return unbroken_day(before) if before.date() != now.date() else format_datetime(before).removesuffix(" UTC")


def _since_last_month(reports: Reports) -> list[AnswerLine]:
    """What is still to come against the start of the month; the fees on this month's payments against the last month's."""
    lines = []
    if (rows := waterfall_rows(reports)) and not is_first_night(reports):
        newest = [row for row in rows if row.month == rows[0].month]
        change: Decimal = open_balance(newest, "closing_usd") - open_balance(newest, "opening_usd")
        is_first_month = len({row.month for row in rows}) == 1
        since = readings(reports)[0].at if is_first_month else rows[0].month - timedelta(days=1)
        words = "when this report began" if is_first_month else ""
        label = f"Still to come, since {unbroken_day(since)}"
        lines.append(AnswerLine(label, change, words=words, key="month", is_change=True))
    return [*lines, *_months(reports)]


def _months(reports: Reports) -> list[AnswerLine]:
    """Fees by the date on which debtors paid: of this month, and of the last one as far into it."""
    collected = {row.period: row for row in summary_rows(reports) if row.basis == "collected"}
    now, same, before = (collected.get(name) for name in ("month_to_date", "last_month_to_date", "last_month"))
    if now is None or now.usd is None or before is None:
        return []
    whole = f"all of {format_month(before.from_on)}: {format_amount(before.usd)}"
    label = f"Fees on collections, {_span(now)}"
    if same is None:
        return [AnswerLine(label, now.usd, words=whole, key="month-to-date")]
    month = format_month(same.from_on)
    words = f"{format_change(now.usd - same.usd)}{_in_percent(now.usd, same.usd)} on the same days of {month}"
    return [
        AnswerLine(label, now.usd, words=words, key="month-to-date"),
        AnswerLine(f"The same days of {month}", same.usd, words=whole, key="last-month-to-date"),
    ]


def _in_percent(usd: Decimal, before: Decimal) -> str:
    """` (+24 %)`; nothing to compare with is no share."""
    if before <= 0:
        return ""
    share = round((usd / before - 1) * 100)
    return f" ({share:+,} %)".replace("-", "−")


def _span(period: Any) -> str:
    """`1–8 Jan 2026`: days of one month."""
    until = format_day(period.to_on)
    return until if period.from_on == period.to_on else f"{period.from_on.day}–{until}"
