"""Section on the onboarding funnel: how many clients have reached each step, how many wait there, and who waits too long."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_count
from debitura_pipeline.plural import counted
from debitura_pipeline.report.charts import Segment, stacked_bars
from debitura_pipeline.report.model import Heading, ReportTable, Section, Series
from debitura_pipeline.report.page import sentence
from debitura_pipeline.report.read import Reports

FUNNEL = "reports.onboarding_funnel"
STUCK_SHOWN = 30
STEPS = {
    "wanted": "Wanted", "registered": "Registered", "signed": "Agreement signed", "access": "Access works",
    "loaded": "History loaded", "first_case": "First case", "first_payment": "First payment",
}  # fmt: skip
ASIDE = {"must_sign_again": "Must sign again", "left": "No longer listed"}
PASSED, WAITING = Series("Went further", "--low"), Series("Stand here", "--high", "stripes")


def onboarding_funnel(reports: Reports) -> Section | None:
    """Clients by the step that they have reached, and those that wait for too long."""
    if not reports.has(FUNNEL):
        return None
    columns = (
        "stage",
        "count(*) AS n",
        "sum(CASE WHEN is_stuck THEN 1 ELSE 0 END) AS stuck",
        "max(days_in_stage) AS longest",
        "count(first_payment_at) AS paid",
    )
    found = {row.stage: row for row in reports.records(FUNNEL, columns, "GROUP BY stage")}
    if not found:
        return None
    here = {step: int(found[step].n) if step in found else 0 for step in STEPS}
    reached = {step: sum(list(here.values())[index:]) for index, step in enumerate(STEPS)}
    everybody = sum(int(row.n) for row in found.values())
    stuck = sum(int(row.stuck) for row in found.values())
    paid = sum(int(row.paid) for row in found.values())
    lead = (
        f"{counted(everybody, 'client')}, {format_count(paid)} of them with a first payment. "
        f"{counted(stuck, 'client')} {'waits' if stuck == 1 else 'wait'} for longer than agreed."
    )
    aside = [f"{counted(int(found[key].n), 'client')}: {label.lower()}" for key, label in ASIDE.items() if key in found]
    notes = [f"Not in the chart: {'; '.join(aside)}."] if aside else []
    if early := sum(int(found[step].paid) for step in list(STEPS)[:-1] if step in found):
        notes.append(
            f"Payments of {counted(early, 'client')} came before an earlier step was seen; they stand at that step."
        )
    return Section("onboarding", "Onboarding funnel", lead, chart=_chart(found, here, reached), tables=_stuck(reports),
                   notes=tuple(notes))  # fmt: skip


def _chart(found: dict[str, Any], here: dict[str, int], reached: dict[str, int]) -> Any:
    pieces = [
        Segment(STEPS[step], series.label, size, f"{STEPS[step]}, {series.label.lower()}: {format_count(size)}")
        for step in STEPS
        for series, size in ((PASSED, reached[step] - here[step]), (WAITING, here[step]))
    ]
    first = max(reached["wanted"], 1)
    rows = tuple(
        (STEPS[step], reached[step], Decimal(100 * reached[step]) / first, here[step],
         int(found[step].stuck) if step in found else 0, found[step].longest if step in found else None)
        for step in STEPS
    )  # fmt: skip
    headings = (Heading("Step"), Heading("Reached it", "count"), Heading("Share", "percent"), Heading("Stand here", "count"),
                Heading("Too long", "count"), Heading("Longest, days", "days"))  # fmt: skip
    table = ReportTable(
        "onboarding_funnel", "Clients by the step that they have reached, with all before it", headings, rows
    )
    words = "; ".join(f"{STEPS[step]} {format_count(reached[step])}" for step in STEPS)
    return stacked_bars("chart-onboarding", "Clients that have reached each step and all before it",
                        f"Horizontal bars, one per step: {words}.", (PASSED, WAITING), pieces, table)  # fmt: skip


def _stuck(reports: Reports) -> tuple[ReportTable, ...]:
    columns = (
        "coalesce(company_name, external_tenant_id, creditor_id) AS client",
        "stage",
        "days_in_stage",
        "outstanding",
    )
    found = reports.records(
        FUNNEL, columns, f"WHERE is_stuck ORDER BY days_in_stage DESC NULLS LAST, client_key LIMIT {STUCK_SHOWN}"
    )
    rows = tuple(
        (
            row.client,
            row.days_in_stage,
            {**STEPS, **ASIDE}.get(row.stage, row.stage),
            sentence(row.outstanding) if row.outstanding else None,
        )
        for row in found
    )
    headings = (Heading("Client"), Heading("Days", "days"), Heading("Step"), Heading("What is outstanding", "prose"))
    table = ReportTable("stuck_clients", "Clients that wait for longer than agreed, the longest first", headings, rows)
    return (table,) if rows else ()
