"""The first screen: how much, when, from whom, is anything missing, what changed. At most five short lines to a question.

Each figure is a sum of one report; the sections further down say more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from debitura_pipeline.plural import counted
from debitura_pipeline.report.model import Answer, AnswerLine, Badge
from debitura_pipeline.report.page import format_amount, format_day, format_month
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.sections_calendar import Due, dues, payer_name, payers
from debitura_pipeline.report.sections_changes import CHANGED, FIRST_NIGHT, is_first_night, night_changes
from debitura_pipeline.report.sections_control import not_ok_checks
from debitura_pipeline.report.sections_findings import findings_by_kind, kind_in_words
from debitura_pipeline.report.sections_periods import summary_rows
from debitura_pipeline.report.sections_waterfall import open_balance, waterfall_rows
from debitura_pipeline.report.stages import AWAITED, StageSum, sum_of

PAYERS_SHOWN = 3
NOT_READ = AnswerLine("", badge=Badge("Not checked yet", "unknown"))
NO_CALENDAR = AnswerLine("", words="This file has no payment calendar yet.")
NOTHING_TO_COME = AnswerLine("", words="No fee is on its way.")
SHORT = {
    "new": "new", "moved": "in another stage", "edited": "edited", "gone": "deleted", "returned": "back", "reopened": "reopened",
    "restated": "restated",
}  # fmt: skip


def first_screen(reports: Reports, sums: Mapping[str, StageSum], verdict: Badge, proof: Badge) -> tuple[Answer, ...]:
    """The five answers. `verdict`: the reconciliation's; `proof`: whether the last reading was complete."""
    return (
        Answer("how-much", "How much?", how_much(sums), "figures"),
        Answer("when", "When?", _when(reports), "calendar" if reports.has("reports.payment_calendar") else "pipeline"),
        Answer("from-whom", "From whom?", _from_whom(reports),
               "partners" if reports.has("reports.receivables_by_collection_partner") else ""),
        Answer("missing", "Is anything missing?", _missing(reports, verdict, proof), "findings"),
        Answer("changed", "What changed?", _changed(reports), "changes" if reports.has(CHANGED) else ""),
    )  # fmt: skip


def how_much(sums: Mapping[str, StageSum]) -> tuple[AnswerLine, ...]:
    """What is paid, and what is still to come, by how sure it is."""
    if not any(one.transactions for one in sums.values()):
        return (AnswerLine("", words="No fee yet."),)
    ready, awaited, estimated = sum_of(sums, "ReadyToInvoiceDebitura"), sum_of(sums, *AWAITED), sum_of(sums, "Pending")
    return (
        AnswerLine("Earned and paid", sum_of(sums, "Paid"), key="paid"),
        AnswerLine("Still to come", ready + awaited + estimated, key="to-come"),
        AnswerLine("– ready to invoice", ready, key="ready"),
        AnswerLine("– awaited, confirmed", awaited, key="awaited"),
        AnswerLine("– estimated, may change", estimated, key="estimate"),
    )


def _when(reports: Reports) -> tuple[AnswerLine, ...]:
    if not reports.has("reports.payment_calendar"):
        return (NO_CALENDAR,)
    return when_due(dues(reports))


def when_due(found: Sequence[Due]) -> tuple[AnswerLine, ...]:
    """Overdue, the next date, later dates, the earliest possible ones, and what has no date."""
    if not found:
        return (NOTHING_TO_COME,)
    lines = []
    if late := [one for one in found if one.due_class == "overdue"]:
        lines.append(AnswerLine("Overdue", total(one.usd for one in late), key="overdue", is_late=True))
    dated = [one for one in found if one.due_class == "due"]
    if dated:
        lines.append(AnswerLine(f"Due {format_day(dated[0].due_on)}", dated[0].usd, key="next"))
    if later := dated[1:]:
        lines.append(
            AnswerLine(f"Due later, until {format_day(later[-1].due_on)}", total(one.usd for one in later), key="later")
        )
    if earliest := [one for one in found if one.due_class == "not_before"]:
        lines.append(AnswerLine(_not_before(earliest), total(one.usd for one in earliest), key="not-before"))
    if dateless := [one for one in found if one.due_class == "unknown"]:
        lines.append(AnswerLine("No date known", total(one.usd for one in dateless), key="no-date"))
    return tuple(lines)


def _not_before(earliest: Sequence[Due]) -> str:
    days = [one.due_on for one in earliest if one.due_on is not None]
    return f"{format_day(min(days))} at the earliest" if days else "No date known yet"


def _from_whom(reports: Reports) -> tuple[AnswerLine, ...]:
    found = [row for row in payers(reports) if row.usd]
    if not found:
        return (NOTHING_TO_COME if reports.has("reports.payment_calendar") else NO_CALENDAR,)
    ours = sorted(found, key=lambda row: row.payer_kind != "debitura")  # whom you invoice stands first
    shown, rest = ours[:PAYERS_SHOWN], ours[PAYERS_SHOWN:]
    lines = [AnswerLine(_route(row), row.usd, key=f"payer-{index}") for index, row in enumerate(shown)]
    if rest:
        lines.append(
            AnswerLine(
                f"via {counted(len(rest), 'other collection partner')}",
                total(row.usd for row in rest),
                key="payer-rest",
            )
        )
    return tuple(lines)


def _route(row: Any) -> str:
    """Debitura pays every fee; until the collection partner has paid Debitura, it is the partner that is waited for."""
    return f"via {payer_name(row)}" if row.payer_kind == "collection_partner" else payer_name(row)


def _missing(reports: Reports, verdict: Badge, proof: Badge) -> tuple[AnswerLine, ...]:
    """The proof, the reconciliation, the findings with the most at stake, and checks that ask for a look."""
    if verdict.tone == "unknown" and proof.tone == "unknown":
        return (NOT_READ,)
    lines = [AnswerLine("Data:", badge=_rows_verdict(verdict, proof))]
    kinds = findings_by_kind(reports)
    if kinds:
        n, most = sum(row.n for row in kinds), kinds[0]
        words = f"the largest: {kind_in_words(most)[0].lower()}{kind_in_words(most)[1:]}, {format_amount(most.usd)} (estimate)"
        look = Badge(f"{counted(n, 'possible gap')} to look into", "warn")
        lines.append(AnswerLine("Fees:", badge=look, words=words if most.usd else ""))
    elif reports.has("reports.attribution_gaps"):
        lines.append(AnswerLine("Fees:", badge=Badge("none seems to be missing", "good")))
    if checks := not_ok_checks(reports):
        words = f"{counted(checks, 'check')} {'needs' if checks == 1 else 'need'} attention"
        lines.append(AnswerLine("Data quality:", badge=Badge(words, "warn")))
    return tuple(lines)


def _rows_verdict(verdict: Badge, proof: Badge) -> Badge:
    """Whether every row was read, and whether the sums are the API's own, in one line."""
    if proof.tone != "good":
        return proof
    told = f"{verdict.text[:1].lower()}{verdict.text[1:]}"
    return Badge(f"complete; against the API's totals: {told}", verdict.tone)


def _changed(reports: Reports) -> tuple[AnswerLine, ...]:
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
    parts += [f"{counted(row.n, 'case')} {SHORT[row.change]}" for row in found
              if row.subject == "case" and row.change in ("reopened", "gone")]  # fmt: skip
    words = "; ".join(parts) or "no fee has changed"
    return [
        AnswerLine(
            "All fees since last night",
            total(row.usd for row in fees.values()),
            words=words,
            key="night",
            is_change=True,
        )
    ]


def _since_last_month(reports: Reports) -> list[AnswerLine]:
    """What is still to come against the start of the month; what was collected this month against the last."""
    lines = []
    if (rows := waterfall_rows(reports)) and not is_first_night(reports):
        newest = [row for row in rows if row.month == rows[0].month]
        change: Decimal = open_balance(newest, "closing_usd") - open_balance(newest, "opening_usd")
        end = format_day(rows[0].month - timedelta(days=1))
        since = end if len({row.month for row in rows}) > 1 else "the first reading"
        lines.append(AnswerLine(f"Still to come, since {since}", change, key="month", is_change=True))
    collected = {row.period: row for row in summary_rows(reports) if row.basis == "collected"}
    now, before = collected.get("month_to_date"), collected.get("last_month")
    if now and before and now.usd is not None:
        words = f"{format_month(before.from_on)}, whole month: {format_amount(before.usd)}"
        lines.append(
            AnswerLine(f"Collected in {format_month(now.from_on)} so far", now.usd, words=words, key="month-to-date")
        )
    return lines
