"""Sections on expected income: the pipeline by stage and age, and case outcomes. None if there are no rows.

Amounts in different currencies are never added, and disputed fees never count as expected.
"""

from __future__ import annotations

from decimal import Decimal

from debitura_pipeline.report.charts import Segment, Series, stacked_bars
from debitura_pipeline.report.model import Heading, ReportTable, Section
from debitura_pipeline.report.page import format_amount, format_count, format_percent
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.stages import stage_of

PIPELINE, OUTCOMES, CASES = "reports.revenue_pipeline", "reports.case_outcomes", "marts.fct_cases"
AGES = {
    "000-030": Series("up to 30 days", "--age-1"),
    "031-060": Series("31 to 60 days", "--age-2"),
    "061-090": Series("61 to 90 days", "--age-3"),
    "091-180": Series("91 to 180 days", "--age-4"),
    "181-365": Series("181 to 365 days", "--age-5"),
    "366+": Series("over a year", "--age-6"),
    "unknown": Series("age unknown", "--age-unknown"),
}
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
PHASES = {"Pre-legal": "--phase-1", "Legal": "--phase-2", "Enforcement": "--phase-3", "none": "--phase-4"}
OTHER_PHASE = "--phase-5"


def pipeline(reports: Reports) -> Section | None:
    """Fees not paid yet, by stage and age, and which are overdue."""
    if not reports.has(PIPELINE):
        return None
    frame = reports.frame(
        PIPELINE,
        ("revenue_stage AS stage", "age_bucket AS age", "sum(referral_fee_usd) AS usd", "sum(overdue_usd) AS late_usd"),
        "GROUP BY revenue_stage, age_bucket, stage_order ORDER BY stage_order, age_bucket",
    )
    if frame.empty:
        return None
    stages = [stage_of(key) for key in dict.fromkeys(frame["stage"])]
    ages = [age for age in AGES if age in set(frame["age"])]
    sizes = {(row.stage, row.age): row.usd for row in frame.itertuples()}
    pieces = [
        Segment(
            stage.label,
            AGES[age].label,
            sizes[stage.key, age],
            f"{stage.label}, {AGES[age].label}: {format_amount(sizes[stage.key, age])} USD",
        )
        for stage in stages
        for age in ages
        if (stage.key, age) in sizes
    ]
    rows = tuple(
        (
            stage.label,
            *(sizes.get((stage.key, age)) for age in ages),
            total(sizes.get((stage.key, age)) for age in ages),
        )
        for stage in stages
    )
    headings = (
        Heading("Stage"),
        *(Heading(AGES[age].label.capitalize(), "money") for age in ages),
        Heading("All ages", "money"),
    )
    data = ReportTable("revenue_pipeline", "Referral fees in USD by stage and age of the transaction", headings, rows)
    words = "; ".join(
        f"{row[0]} {format_amount(row[-1] if isinstance(row[-1], Decimal) else None)} USD" for row in rows
    )
    chart = stacked_bars(
        "chart-pipeline",
        "Fees not paid yet, by stage and age, USD",
        f"Lying bars, one a stage, darker pieces are older: {words}.",
        [AGES[age] for age in ages],
        pieces,
        data,
    )
    late = total(frame["late_usd"])
    lead = "Fees that have not been paid out, by the stage they are in and the time since the debtor paid. " + (
        f"Of these, {format_amount(late)} USD are later than the documented dates."
        if late
        else "None is later than the documented dates."
    )
    return Section("pipeline", "Pipeline by age", lead, chart=chart, tables=_steps(reports))


def _steps(reports: Reports) -> tuple[ReportTable, ...]:
    """What has to happen next, stage by stage."""
    columns = (
        "revenue_stage AS stage",
        "max(next_step) AS step",
        "min(next_due_on) AS due",
        "sum(transaction_count) AS n",
        "max(oldest_age_days) AS oldest",
        "sum(overdue_count) AS late",
        "sum(overdue_usd) AS late_usd",
    )
    found = reports.records(PIPELINE, columns, "GROUP BY revenue_stage, stage_order ORDER BY stage_order")
    rows = tuple(
        (stage_of(row.stage).label, row.step, row.due, int(row.n), row.oldest, int(row.late), row.late_usd)
        for row in found
    )
    headings = (
        Heading("Stage"),
        Heading("Next step", "prose"),
        Heading("Earliest due", "date"),
        Heading("Transactions", "count"),
        Heading("Oldest, days", "days"),
        Heading("Overdue", "count"),
        Heading("Overdue, USD", "money"),
    )
    return (ReportTable("pipeline_steps", "What has to happen next", headings, rows),)


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
        f"Lying bars, one an outcome: {words}.",
        [Series(named[phase], PHASES.get(phase, OTHER_PHASE)) for phase in phases],
        pieces,
        data,
    )
    ended = sum(sums.values()) - sums["open"]
    share = format_percent(Decimal(100 * sums["recovered"]) / ended) if ended else "–"
    lead = (
        f"{format_count(sum(sums.values()))} cases, {format_count(sums['open'])} of them open. "
        f"{share} of those that ended were recovered, in full or in part."
    )
    return Section("outcomes", "Case outcomes", lead, chart=chart, tables=_by_currency(reports))


def _by_currency(reports: Reports) -> tuple[ReportTable, ...]:
    """Claims and what came of them, each currency for itself."""
    columns = (
        "currency",
        "sum(cases) AS n",
        "sum(gross_amount) AS gross",
        "sum(recovered_amount) AS recovered",
        "sum(remainder) AS remainder",
    )
    found = reports.records(OUTCOMES, columns, "GROUP BY currency ORDER BY sum(cases) DESC, currency")
    rows = tuple((row.currency, int(row.n), row.gross, row.recovered, row.remainder) for row in found)
    headings = (
        Heading("Currency"),
        Heading("Cases", "count"),
        Heading("Claims", "money"),
        Heading("Recovered", "money"),
        Heading("Still to be collected", "money"),
    )
    return (ReportTable("outcomes_by_currency", "Claims by currency, each in its own currency", headings, rows),)
