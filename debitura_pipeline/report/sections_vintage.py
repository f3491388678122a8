"""Section on recovery by creation month: the share of the claims recovered, by months since the cases were created."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.formats import format_percent
from debitura_pipeline.report.charts_lines import CurvePoint, curves
from debitura_pipeline.report.model import Chart, Heading, ReportTable, Section, Series
from debitura_pipeline.report.read import ZERO, Reports

VINTAGE = "reports.recovery_vintage"
COLOURS = ("--low", "--red", "--stage-unclassified")
AGES = (0, 1, 2, 3, 6, 9, 12, 18, 24)
VINTAGES_SHOWN = 24
CURVE_MONTHS = 36
FEWEST_VINTAGES = 3


def vintages(reports: Reports) -> Section | None:
    """The share of the claims recovered, by months since the cases were created; each currency for itself."""
    if not reports.has(VINTAGE):
        return None
    found = _recovery_by_age(reports)
    sizes = reports.records(
        VINTAGE,
        ("currency", "sum(cases) AS n"),
        "WHERE months_since = 0 GROUP BY currency ORDER BY sum(cases) DESC, currency",
    )
    if not sizes:
        return None
    main = [row.currency for row in sizes if any(row.currency == one.currency for one in found)][: len(COLOURS)]
    lead = (
        "Of the claims of a month, the share that was recovered by the end of each month after it. Only months that are over; "
        f"each currency for itself{f', here the {len(main)} with the most cases' if len(sizes) > len(main) > 1 else ''}."
    )
    tables = tuple(
        _vintage_table(reports, currency, is_first=index == 0)
        for index, currency in enumerate(main or [sizes[0].currency])
    )
    drawn = [currency for currency in main if len(_curve([row for row in found if row.currency == currency])) > 1]
    chart = _curves(found, drawn) if drawn else None
    return Section("vintages", "Recovery by month of creation", lead, chart=chart, tables=tables)


def _recovery_by_age(reports: Reports) -> list[Any]:
    """Per currency and age, over the vintages of which both this month and the one before are over: what it brought, of
    which claims."""
    columns = ("now.currency", "now.months_since AS age", "count(*) AS n", "sum(now.gross_amount) AS gross",
               "sum(now.recovered_amount - coalesce(before.recovered_amount, 0)) AS brought")  # fmt: skip
    joined = (
        f"{VINTAGE} AS now LEFT JOIN {VINTAGE} AS before ON before.currency = now.currency "
        "AND before.created_month = now.created_month AND before.months_since = now.months_since - 1"
    )
    tail = f"WHERE now.is_complete AND now.months_since <= {CURVE_MONTHS} GROUP BY now.currency, now.months_since ORDER BY 1, 2"
    return [row for row in reports.records(joined, columns, tail) if row.gross]


def _curve(ages: list[Any]) -> list[CurvePoint]:
    """What each month brought, added up: so the curve rises, though each month is known of fewer vintages. It ends where too
    few are left."""
    points: list[CurvePoint] = []
    share = ZERO
    for row in ages:
        if row.n < FEWEST_VINTAGES:
            break
        share += row.brought / row.gross
        points.append(CurvePoint(row.currency, row.age, share))
    return points


def _curves(found: list[Any], main: list[str]) -> Chart:
    series = [Series(currency, css) for currency, css in zip(main, COLOURS, strict=False)]
    points = [point for currency in main for point in _curve([row for row in found if row.currency == currency])]
    ages = sorted({point.months for point in points})
    shares = {(point.series, point.months): point.share * 100 for point in points}
    table = ReportTable(
        "recovery_curve", "What each month after creation brought, as a share of the claims, added up over all vintages",
        (Heading("Months since creation", "count"), *(Heading(currency, "percent") for currency in main)),
        tuple((age, *(shares.get((currency, age)) for currency in main)) for age in ages),
    )  # fmt: skip
    ends = {point.series: point for point in points}
    words = "; ".join(
        f"{key}: {format_percent(point.share * 100)} after {point.months} months" for key, point in ends.items()
    )
    return curves("chart-vintages", "Share of the claims recovered, by months since creation",
                  f"Rising lines, one per currency. {words}.", series, points, table)  # fmt: skip


def _vintage_table(reports: Reports, currency: str, *, is_first: bool) -> ReportTable:
    columns = ("created_month AS month", "months_since AS age", "cases", "gross_amount AS gross", "recovered_share * 100 AS pct",
               "is_complete AS complete", "projected_share * 100 AS projected")  # fmt: skip
    months = f"SELECT DISTINCT created_month FROM {VINTAGE} WHERE currency = $1 ORDER BY created_month DESC LIMIT {VINTAGES_SHOWN}"
    newest = f"created_month IN ({months})"
    found = reports.records(
        VINTAGE, columns, f"WHERE currency = $1 AND {newest} ORDER BY created_month DESC, months_since", (currency,)
    )
    cells = {(row.month, row.age): row.pct for row in found if row.complete}
    # The last age that any vintage has completed: of later ones nothing is known, so nothing is projected.
    last = {row.month: row for row in found} | {row.month: row for row in found if row.projected is not None}
    ages = [age for age in AGES if any(key[1] == age for key in cells)]
    headings = (
        Heading("Created", "month"), Heading("Cases", "count"), Heading(f"Claims, {currency}", "money"),
        Heading("Projected", "percent"),
        *(Heading("Same month" if age == 0 else f"{age} month{'s' * (age > 1)}", "percent") for age in ages),
    )  # fmt: skip
    rows = tuple(
        (month, row.cases, row.gross, row.projected, *(cells.get((month, age)) for age in ages))
        for month, row in last.items()
    )
    caption = f"Share of the claims in {currency} recovered, by months since creation"
    return ReportTable(f"recovery_vintage_{currency}" if not is_first else "recovery_vintage", caption, headings, rows,
                       folded=None if is_first else f"The same for {currency}")  # fmt: skip
