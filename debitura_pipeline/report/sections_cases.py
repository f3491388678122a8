"""Section on case outcomes: how cases ended by phase, and what was recovered in each currency. None if there are no rows.

Amounts in different currencies are never added.
"""

from __future__ import annotations

from debitura_pipeline.formats import format_count, format_percent
from debitura_pipeline.plural import counted
from debitura_pipeline.report.charts import Segment, stacked_bars
from debitura_pipeline.report.model import Heading, Pattern, ReportTable, Section, Series
from debitura_pipeline.report.read import Reports

OUTCOMES, RATES = "reports.case_outcomes", "reports.recovery_rates"
ENDINGS = {
    "open": "Open",
    "recovered": "Recovered",
    "uncollectable": "Uncollectable",
    "exhausted": "All steps exhausted",
    "client_decision": "Ended by the client",
    "rejected": "Never started",
    "system": "Closed by the system",
    "merged": "Merged into another",
    "other": "Other",
    "unknown": "Unknown code",
}
PHASES: dict[str, tuple[str, Pattern]] = {
    "Pre-legal": ("--low", ""), "Legal": ("--high", "stripes"), "Enforcement": ("--low-2", "dots"), "none": ("--grey", "lines"),
}  # fmt: skip
OTHER_PHASE: tuple[str, Pattern] = ("--stage-unclassified", "")


def case_outcomes(reports: Reports) -> Section | None:
    """Cases by outcome and phase; amounts by currency; countries."""
    if not reports.has(OUTCOMES):
        return None
    frame = reports.frame(
        OUTCOMES, ("outcome", "engagement_phase AS phase", "sum(cases) AS n"), "GROUP BY outcome, engagement_phase"
    )
    if frame.empty:
        return None
    found = set(frame["phase"])
    phases = [*(phase for phase in PHASES if phase in found), *sorted(found - set(PHASES))]
    named = {phase: "No engagement" if phase == "none" else phase for phase in phases}
    sizes = {(row.outcome, row.phase): int(row.n) for row in frame.itertuples()}
    sums = {outcome: sum(sizes.get((outcome, phase), 0) for phase in phases) for outcome in ENDINGS}
    outcomes = sorted((outcome for outcome in ENDINGS if sums[outcome]), key=lambda one: (one != "open", -sums[one]))
    pieces = [
        Segment(ENDINGS[one], named[phase], n, f"{ENDINGS[one]}, {named[phase]}: {format_count(n)}")
        for one in outcomes
        for phase in phases
        if (n := sizes.get((one, phase), 0))
    ]
    rows: tuple[tuple[str | int, ...], ...] = tuple(
        (ENDINGS[one], *(sizes.get((one, phase), 0) for phase in phases), sums[one]) for one in outcomes
    )
    by_phase = [sum(sizes.get((one, phase), 0) for one in outcomes) for phase in phases]
    headings = (
        Heading("Outcome"),
        *(Heading(named[phase], "count") for phase in phases),
        Heading("All phases", "count"),
    )
    data = ReportTable(
        "case_outcomes", "Cases by outcome and phase", headings, rows, ("All cases", *by_phase, sum(by_phase))
    )
    words = "; ".join(f"{ENDINGS[one]} {format_count(sums[one])}" for one in outcomes)
    chart = stacked_bars(
        "chart-outcomes",
        "Cases by outcome and phase",
        f"Horizontal bars, one per outcome: {words}.",
        [Series(named[phase], *PHASES.get(phase, OTHER_PHASE)) for phase in phases],
        pieces,
        data,
    )
    lead = f"{counted(int(sum(sums.values())), 'case')}, {format_count(sums['open'])} of them open. {_rate(reports)}"
    return Section("outcomes", "Case outcomes", lead, chart=chart, tables=_by_currency(reports))


def _rate(reports: Reports) -> str:
    """The share of the cases that were recovered, with its denominator."""
    if not reports.has(RATES):
        return ""
    columns = ("cases_ended AS ended", "recovered_share_of_cases_ended * 100 AS pct")
    found = reports.records(RATES, columns, "WHERE debtor_country = 'all' AND currency = 'all'")
    if not found or found[0].pct is None:
        return "None has ended after collection had started."
    return (
        f"Of the {format_count(found[0].ended)} that ended after collection had started, {format_percent(found[0].pct)} were "
        "recovered, in full or in part; cases never started or merged into another are not counted in this share."
    )


def _by_currency(reports: Reports) -> tuple[ReportTable, ...]:
    """Claims and what came of them, each currency for itself."""
    if not reports.has(RATES):
        return ()
    columns = ("currency", "cases_ended + cases_open AS n", "gross_of_ended_and_open AS gross",
               "recovered_of_ended_and_open AS recovered", "gross_of_ended AS ended", "recovered_of_ended AS ended_recovered",
               "recovered_share_of_gross_of_ended * 100 AS pct")  # fmt: skip
    tail = "WHERE debtor_country = 'all' AND currency <> 'all' ORDER BY cases_ended + cases_open DESC, currency"
    headings = (
        Heading("Currency"), Heading("Cases", "count"), Heading("Claims", "money"), Heading("Recovered", "money"),
        Heading("Claims of ended cases", "money"), Heading("Recovered of them", "money"), Heading("Share of ended", "percent"),
    )  # fmt: skip
    rows = tuple(map(tuple, reports.records(RATES, columns, tail)))
    caption = (
        "Claims by currency, each in its own. Cases never started or merged into another are not counted; ended cases are those "
        "whose collection had started"
    )
    return (ReportTable("recovery_rates", caption, headings, rows),) if rows else ()
