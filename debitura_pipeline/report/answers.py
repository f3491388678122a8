"""The first screen: how much, when, from whom, is anything missing, what changed. At most five short lines to a question.

Each figure is a sum of one report; the sections further down say more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_amount, in_cents, unbroken_day
from debitura_pipeline.plural import counted
from debitura_pipeline.report.answer_changed import changed_since
from debitura_pipeline.report.masthead import was_read
from debitura_pipeline.report.model import Answer, AnswerLine, Badge
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.sections_calendar import Due, dues, payer_name, payers
from debitura_pipeline.report.sections_changes import CHANGED
from debitura_pipeline.report.sections_control import EQUAL, not_ok_checks
from debitura_pipeline.report.sections_findings import findings_by_kind, kind_in_words
from debitura_pipeline.report.stages import (
    StageSum,
    printed_parts,
    still_to_come,
    still_to_come_by_certainty,
    sum_of,
)

PAYERS_SHOWN = 3
ALARMING_USD = Decimal("1")  # a smaller overdue sum is listed last, without emphasis
NOT_CHECKED = AnswerLine("", badge=Badge("Not checked yet", "unknown"))
NOT_READ = AnswerLine("", badge=Badge("Not read yet", "unknown"))
NO_CALENDAR = AnswerLine("", words="This file has no payment calendar yet.")
NOTHING_TO_COME = AnswerLine("", words="No fee is on its way.")
NO_DATE = "No date: to invoice, or estimated"
NO_FEE = AnswerLine("", words="No fee yet.")


def first_screen(reports: Reports, sums: Mapping[str, StageSum], verdict: Badge, proof: Badge) -> tuple[Answer, ...]:
    """The five answers. `verdict`: the reconciliation's; `proof`: whether the last reading was complete."""
    to_come = still_to_come(sums)
    coming = f" the {format_amount(to_come)}" if to_come > 0 else ""
    return (
        Answer("how-much", "How much?", if_read(reports, how_much(sums)), "figures"),
        Answer("when", f"When will{coming} come?" if coming else "When?", adding_up(_when(reports), to_come),
               "calendar" if reports.has("reports.payment_calendar") else "pipeline"),
        Answer("from-whom", f"Who pays{coming}?" if coming else "From whom?", adding_up(_from_whom(reports), to_come),
               "partners" if reports.has("reports.receivables_by_collection_partner") else ""),
        Answer("missing", "Is anything missing?", _missing(reports, verdict, proof), "findings"),
        Answer("changed", "What changed?", changed_since(reports), "changes" if reports.has(CHANGED) else ""),
    )  # fmt: skip


def if_read(reports: Reports, lines: tuple[AnswerLine, ...]) -> tuple[AnswerLine, ...]:
    """The lines, unless they say that there is nothing, and not everything was read."""
    return lines if lines[0] not in (NO_FEE, NOTHING_TO_COME) or was_read(reports) else (NOT_READ,)


def how_much(sums: Mapping[str, StageSum]) -> tuple[AnswerLine, ...]:
    """What is paid, and what is still to come, by how sure it is."""
    if not any(one.transactions for one in sums.values()):
        return (NO_FEE,)
    to_come = still_to_come(sums)
    ready, confirmed, estimated = still_to_come_by_certainty(sums)
    parts = (
        AnswerLine("– you can invoice now", ready, key="ready"),
        AnswerLine("– confirmed, not paid yet", confirmed, key="awaited"),
        AnswerLine("– estimated, may change", estimated, key="estimate"),
    )
    return (
        AnswerLine("Paid to you so far", sum_of(sums, "Paid"), key="paid"),
        AnswerLine("Still to come, of which", to_come, key="to-come"),
        *adding_up(parts, to_come),
    )


def adding_up(lines: Sequence[AnswerLine], whole: Decimal) -> tuple[AnswerLine, ...]:
    """The lines, rounded to cents so that they sum to `whole`."""
    printed = iter(printed_parts([one.amount for one in lines if one.amount is not None], whole))
    return tuple(one if one.amount is None else replace(one, printed=next(printed)) for one in lines)


def _when(reports: Reports) -> tuple[AnswerLine, ...]:
    if not reports.has("reports.payment_calendar"):
        return (NO_CALENDAR,)
    return if_read(reports, when_due(dues(reports)))


def when_due(found: Sequence[Due]) -> tuple[AnswerLine, ...]:
    """Overdue, the next date, later dates, the earliest possible ones, and what has no date."""
    if not found:
        return (NOTHING_TO_COME,)
    lines, late = [], total(one.usd for one in found if one.due_class == "overdue")
    overdue = AnswerLine("Overdue", late, key="overdue", is_late=late >= ALARMING_USD)
    if overdue.is_late:
        lines.append(overdue)
    dated = [one for one in found if one.due_class == "due"]
    if dated:
        lines.append(AnswerLine(f"First due date, {unbroken_day(dated[0].due_on)}", dated[0].usd, key="next"))
    if later := dated[1:]:
        words = f"Other due dates, until {unbroken_day(later[-1].due_on)}"
        lines.append(AnswerLine(words, total(one.usd for one in later), key="later"))
    if earliest := [one for one in found if one.due_class == "not_before"]:
        lines.append(AnswerLine(_not_before(earliest), total(one.usd for one in earliest), key="not-before"))
    if dateless := [one for one in found if one.due_class == "unknown"]:
        lines.append(AnswerLine(NO_DATE, total(one.usd for one in dateless), key="no-date"))
    if late and not overdue.is_late:
        lines.append(overdue)
    return tuple(lines) or (NOTHING_TO_COME,)


def _not_before(earliest: Sequence[Due]) -> str:
    days = [one.due_on for one in earliest if one.due_on is not None]
    return f"Exact day unknown, from {unbroken_day(min(days))}" if days else "Exact day unknown"


def _from_whom(reports: Reports) -> tuple[AnswerLine, ...]:
    found = [row for row in payers(reports) if in_cents(row.usd)]
    if not found:
        return if_read(reports, (NOTHING_TO_COME if reports.has("reports.payment_calendar") else NO_CALENDAR,))
    ours = sorted(found, key=lambda row: row.payer_kind != "debitura")  # whom you invoice stands first
    shown, rest = ours[:PAYERS_SHOWN], ours[PAYERS_SHOWN:]
    lines = [AnswerLine(_route(row), row.usd, key=f"payer-{index}") for index, row in enumerate(shown)]
    if rest:
        words = f"{counted(len(rest), 'other partner')}, via Debitura"
        lines.append(AnswerLine(words, total(row.usd for row in rest), key="payer-rest"))
    return tuple(lines)


def _route(row: Any) -> str:
    """Debitura pays every fee; until the collection partner has paid Debitura, it is the partner that is waited for."""
    if row.payer_kind == "debitura":
        return "Debitura itself"
    return f"{payer_name(row)}, via Debitura" if row.payer_kind == "collection_partner" else payer_name(row)


def _missing(reports: Reports, verdict: Badge, proof: Badge) -> tuple[AnswerLine, ...]:
    """The findings with the most at stake, the proof and the reconciliation, and checks that ask for a look."""
    if verdict.tone == "unknown" and proof.tone == "unknown":
        return (NOT_CHECKED,)
    lines = []
    kinds = findings_by_kind(reports)
    if kinds:
        n, most = sum(row.n for row in kinds), kinds[0]
        name = kind_in_words(most)
        words = f"most at stake: {name[0].lower()}{name[1:]}, about {format_amount(most.usd)}"
        words += f" in {counted(most.n, 'finding')}" if most.n > 1 else ""
        look = Badge(f"{counted(n, 'possible gap')} to look into", "warn")
        lines.append(AnswerLine("Fees:", badge=look, words=words if most.usd else ""))
    elif reports.has("reports.attribution_gaps"):
        none = Badge("none seems to be missing", "good") if was_read(reports) else Badge("not checked yet", "unknown")
        lines.append(AnswerLine("Fees:", badge=none))
    lines.append(AnswerLine("Data:", badge=_rows_verdict(verdict, proof)))
    if checks := not_ok_checks(reports):
        lines.append(AnswerLine("Data quality:", badge=Badge(f"{counted(checks, 'other check')} to look into", "warn")))
    return tuple(lines)


def _rows_verdict(verdict: Badge, proof: Badge) -> Badge:
    """Whether every row was read, and whether the sums are the API's own, in one line."""
    if proof.tone != "good":
        return proof
    if verdict.text == EQUAL:
        return Badge("complete, Debitura's totals agree", "good")
    told = f"{verdict.text[:1].lower()}{verdict.text[1:]}"
    return Badge(f"complete; Debitura's totals: {told}", verdict.tone)
