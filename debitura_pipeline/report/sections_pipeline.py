"""Section on fees not paid yet: by stage and age, and what has to happen next. None if there are no rows."""

from __future__ import annotations

from decimal import Decimal

from debitura_pipeline.formats import format_amount
from debitura_pipeline.report.charts import Segment, stacked_bars
from debitura_pipeline.report.model import Heading, ReportTable, Section, Series
from debitura_pipeline.report.read import ZERO, Reports, total
from debitura_pipeline.report.stages import stage_of

PIPELINE = "reports.revenue_pipeline"
AGES = {
    "000-030": "Up to 30 days", "031-060": "31 to 60 days", "061-090": "61 to 90 days", "091-180": "91 to 180 days",
    "181-365": "181 to 365 days", "366+": "Over a year", "unknown": "Age not known",
}  # fmt: skip
YOUNG, OLD, OLDEST = (
    Series("up to 90 days", "--high"),
    Series("91 to 365 days", "--low"),
    Series("over a year", "--high-2", "stripes"),
)
AGELESS = Series("age not known", "--low-2", "dots")
DRAWN = {"091-180": OLD, "181-365": OLD, "366+": OLDEST, "unknown": AGELESS}  # the others are young


def pipeline(reports: Reports) -> Section | None:
    """Fees not paid yet, by stage and age, and which are overdue."""
    if not reports.has(PIPELINE):
        return None
    frame = reports.frame(
        PIPELINE,
        ("revenue_stage AS stage", "age_bucket AS age", "sum(referral_fee_usd) AS usd"),
        "GROUP BY revenue_stage, age_bucket, stage_order ORDER BY stage_order, age_bucket",
    )
    if frame.empty:
        return None
    stages = [stage_of(key) for key in dict.fromkeys(frame["stage"])]
    ages = [age for age in AGES if age in set(frame["age"])]
    sizes = {(row.stage, row.age): row.usd for row in frame.itertuples()}
    drawn: dict[tuple[str, Series], Decimal] = {}
    for (stage_key, age), usd in sizes.items():
        place = (stage_of(stage_key).label, DRAWN.get(age, YOUNG))
        drawn[place] = drawn.get(place, ZERO) + usd
    series = [one for one in (YOUNG, OLD, OLDEST, AGELESS) if any(found is one for _, found in drawn)]
    pieces = [
        Segment(
            stage.label,
            one.label,
            drawn[stage.label, one],
            f"{stage.label}, {one.label}: {format_amount(drawn[stage.label, one])} USD",
        )
        for stage in stages
        for one in series
        if (stage.label, one) in drawn
    ]
    rows = tuple(
        (
            stage.label,
            total(sizes.get((stage.key, age)) for age in ages),
            *(sizes.get((stage.key, age)) for age in ages),
        )
        for stage in stages
    )
    headings = (Heading("Stage"), Heading("All ages", "money"), *(Heading(AGES[age], "money") for age in ages))
    data = ReportTable("revenue_pipeline", "Referral fees in USD by stage and age of the transaction", headings, rows)
    words = "; ".join(f"{row[0]} {format_amount(row[1] if isinstance(row[1], Decimal) else None)} USD" for row in rows)
    chart = stacked_bars(
        "chart-pipeline",
        "Fees not paid yet, by stage and age, USD",
        f"Horizontal bars, one per stage, split by age: {words}.",
        series,
        pieces,
        data,
    )
    lead = "Fees that have not been paid out, by the stage they are in and the time since the transaction."
    return Section("pipeline", "Pipeline by age", lead, chart=chart, tables=_steps(reports))


def _steps(reports: Reports) -> tuple[ReportTable, ...]:
    """What has to happen next, stage by stage."""
    columns = ("revenue_stage AS stage", "max(next_step) AS step", "sum(transaction_count) AS n", "sum(referral_fee_usd) AS usd",
               "max(oldest_age_days) AS oldest", "sum(overdue_usd) AS late_usd", "min(next_due_on) AS due",
               "min(not_before_on) AS earliest", "sum(unknown_usd) AS unknown_usd")  # fmt: skip
    found = reports.records(PIPELINE, columns, "GROUP BY revenue_stage, stage_order ORDER BY stage_order")
    rows = tuple(
        (
            stage_of(row.stage).label,
            row.usd,
            row.late_usd,
            row.due,
            row.earliest,
            row.unknown_usd,
            int(row.n),
            row.oldest,
            row.step,
        )
        for row in found
    )
    headings = (
        Heading("Stage"), Heading("USD", "money"), Heading("Step late, USD", "money"), Heading("Step due", "date"),
        Heading("Not before", "date"), Heading("No date known, USD", "money"), Heading("Transactions", "count"),
        Heading("Oldest, days", "days"), Heading("Next step", "prose"),
    )  # fmt: skip
    return (ReportTable("pipeline_steps", "What has to happen next", headings, rows),)
