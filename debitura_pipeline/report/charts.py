"""The page's bar charts: stacked columns by month, stacked horizontal bars, and bars of what was added and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_change
from debitura_pipeline.report.drawing import (
    BAR_STEP,
    EDGE,
    FONT,
    WIDE,
    bar_labels,
    bar_scale,
    colours,
    in_both_widths,
    month_axis,
    value_axis,
)
from debitura_pipeline.report.model import Chart, ReportTable, Series


@dataclass(frozen=True)
class Segment:
    """One coloured segment; `at` names its column or bar."""

    at: str
    series: str
    size: Decimal | int
    words: str


@dataclass(frozen=True)
class Movement:
    """A bar to the right of zero or to the left of it, with its amount beside it; `series` is its colour."""

    at: str
    series: str
    amount: Decimal


def stacked_columns(name: str, caption: str, description: str, series: Sequence[Series], pieces: Sequence[Segment],
                    table: ReportTable) -> Chart:  # fmt: skip
    """A column per month (`at` as YYYY-MM), stacked in the order of `series` from the bottom."""
    months = sorted({piece.at for piece in pieces})

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        scale = alt.Scale(domain=months, paddingInner=0.22, paddingOuter=0.1)
        return _base(pieces, series).mark_bar(**EDGE).encode(
            x=alt.X("at:O", sort=months, axis=month_axis(months, width), scale=scale),
            y=alt.Y("size:Q", stack="zero", axis=value_axis("y")),
            color=colours(series), order=alt.Order("rank:Q"), description="words:N",
        ).properties(height=280 if width == WIDE else 240)  # fmt: skip

    return in_both_widths(name, caption, description, series, draw, table)


def stacked_bars(name: str, caption: str, description: str, series: Sequence[Series], pieces: Sequence[Segment],
                 table: ReportTable) -> Chart:  # fmt: skip
    """Horizontal bars in order of first occurrence of `at`, stacked in the order of `series` from the left."""
    bars = list(dict.fromkeys(piece.at for piece in pieces))

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        return _base(pieces, series).mark_bar(**EDGE).encode(
            y=alt.Y("at:O", sort=bars, axis=bar_labels(bars, width), scale=bar_scale(bars, width)),
            x=alt.X("size:Q", stack="zero", axis=value_axis("x", ticks=5 if width == WIDE else 3)),
            color=colours(series), order=alt.Order("rank:Q"), description="words:N",
        ).properties(height=BAR_STEP[width] * len(bars))  # fmt: skip

    return in_both_widths(name, caption, description, series, draw, table)


def movements(name: str, caption: str, description: str, series: Sequence[Series], bars: Sequence[Movement],
              table: ReportTable) -> Chart:  # fmt: skip
    """Horizontal bars from zero, what was added to the right and what was taken away to the left."""
    labels = [bar.at for bar in bars]
    values = [
        {"at": bar.at, "series": bar.series, "size": float(bar.amount), "high": max(float(bar.amount), 0.0),
         "text": format_change(bar.amount), "words": f"{bar.at}: {format_change(bar.amount)} USD"}
        for bar in bars
    ]  # fmt: skip

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        sizes = [0.0, *(float(bar.amount) for bar in bars)]
        low, high = min(sizes), max(sizes)
        room = (high - low or 1.0) * (0.16 if width == WIDE else 0.36)  # for the amount beside the longest bar
        scale = alt.Scale(domain=[low, high + room], nice=False, zero=True)
        y = alt.Y("at:O", sort=labels, axis=bar_labels(labels, width), scale=bar_scale(labels, width))
        base = alt.Chart(alt.InlineData(values=values))
        drawn = base.mark_bar(**EDGE).encode(
            x=alt.X("size:Q", axis=value_axis("x", ticks=5 if width == WIDE else 3), scale=scale),
            y=y, color=colours(series), description="words:N",
        )  # fmt: skip
        text = base.mark_text(align="left", dx=6, fill="var(--ink)", fontSize=FONT[width])
        return (drawn + text.encode(x="high:Q", y=y, text="text:N")).properties(height=BAR_STEP[width] * len(bars))

    return in_both_widths(name, caption, description, series, draw, table)


def _base(pieces: Sequence[Segment], series: Sequence[Series]) -> Any:
    import altair as alt  # noqa: PLC0415

    rank = {one.label: index for index, one in enumerate(series)}
    values = [
        {
            "at": piece.at,
            "series": piece.series,
            "size": float(piece.size),
            "words": piece.words,
            "rank": rank[piece.series],
        }
        for piece in pieces
    ]
    return alt.Chart(alt.InlineData(values=values))
