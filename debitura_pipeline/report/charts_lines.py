"""The page's line charts: a forecast with its band, and curves over months since creation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from debitura_pipeline.report.drawing import FONT, PERCENT_LABEL, WIDE, colours, in_both_widths, month_axis, value_axis
from debitura_pipeline.report.model import Chart, ReportTable, Series

DASHES = ([1, 0], [7, 4], [2, 3], [10, 3, 2, 3])  # lines differ without colour, too


@dataclass(frozen=True)
class BandPoint:
    """A month (YYYY-MM) with the middle of the forecast and the ends of its band."""

    month: str
    median: Decimal
    low: Decimal
    high: Decimal
    words: str


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve: months since the start, and a share (1 is all)."""

    series: str
    months: int
    share: Decimal


def band(name: str, caption: str, description: str, series: tuple[Series, Series], points: Sequence[BandPoint],
         table: ReportTable) -> Chart:  # fmt: skip
    """A line of medians in a band from low to high. `series`: the line's colour, then the band's."""
    months = [point.month for point in points]
    values = [{"at": point.month, "median": float(point.median), "low": float(point.low), "high": float(point.high),
               "words": point.words} for point in points]  # fmt: skip

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        x = alt.X("at:O", sort=months, axis=month_axis(months, width), scale=alt.Scale(domain=months))
        base = alt.Chart(alt.InlineData(values=values)).encode(x=x)
        area = base.mark_area(fill=series[1].fill).encode(y=alt.Y("low:Q", axis=value_axis("y")), y2="high:Q")
        line = base.mark_line(stroke=series[0].fill, strokeWidth=2.5).encode(y="median:Q")
        dots = base.mark_point(fill=series[0].fill, stroke="var(--paper)", size=55, opacity=1).encode(
            y="median:Q", description="words:N"
        )
        return (area + line + dots).properties(height=260 if width == WIDE else 220)

    return in_both_widths(name, caption, description, series, draw, table)


def curves(name: str, caption: str, description: str, series: Sequence[Series], points: Sequence[CurvePoint],
           table: ReportTable) -> Chart:  # fmt: skip
    """A line per series over months since the start; each line has a dash and, at its end, its label."""
    values: list[dict[str, Any]] = [
        {"series": point.series, "months": point.months, "share": float(point.share)} for point in points
    ]
    ends = _spread({value["series"]: dict(value) for value in values})
    dash = {one.label: DASHES[index % len(DASHES)] for index, one in enumerate(series)}

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        most = max(int(value["months"]) for value in values)
        ticks = alt.Axis(title=None, grid=False, ticks=False, tickMinStep=1, tickCount=6, labelPadding=8, format="d")
        x = alt.X("months:Q", axis=ticks, scale=alt.Scale(domain=[0, max(1, most * 1.08)], nice=False))
        y = alt.Y("share:Q", axis=value_axis("y", PERCENT_LABEL))
        detail = alt.StrokeDash("series:N", scale=alt.Scale(domain=list(dash), range=list(dash.values())), legend=None)
        base = alt.Chart(alt.InlineData(values=values))
        lines = base.mark_line(strokeWidth=2.25).encode(x=x, y=y, color=colours(series), strokeDash=detail)
        labels = alt.Chart(alt.InlineData(values=ends)).mark_text(
            align="left", dx=5, fill="var(--ink)", fontSize=FONT[width]
        ).encode(x=x, y=y, text="series:N")  # fmt: skip
        return (lines + labels).properties(height=260 if width == WIDE else 220)

    return in_both_widths(name, caption, description, series, draw, table)


def _spread(last: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The ends of the lines, as far apart as their labels are high."""
    ends = sorted(last.values(), key=lambda value: float(value["share"]))
    gap = 0.07 * max((float(value["share"]) for value in ends), default=0.0)
    for below, above in pairwise(ends):
        above["share"] = max(float(above["share"]), float(below["share"]) + gap)
    return ends
