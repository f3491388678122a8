"""Draw the report's charts with Altair in two widths: screens and paper, phones.

Bar lengths are floats, since they become pixels; all printed figures come from the Decimal tables next to the chart. Altair and
its renderer are imported on first use: together they take about a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from debitura_pipeline import address_space
from debitura_pipeline.report.model import Chart, ReportTable
from debitura_pipeline.report.svg import adapt_svg

WIDE, NARROW = 912, 360  # pixels that the page's column and a phone's screen come to
FONT = {WIDE: 13, NARROW: 12}
LABEL_ROOM = 230  # left of lying bars; browsers' fonts may be a tenth wider than the renderer's
BAR_STEP = {WIDE: 34, NARROW: 50}  # on phones the label stands above its bar


@dataclass(frozen=True)
class Series:
    """One colour of a stacked chart: its label and its CSS variable."""

    label: str
    css: str


@dataclass(frozen=True)
class Segment:
    """One coloured segment; `at` names its column or bar."""

    at: str
    series: str
    size: Decimal | int
    words: str


def stacked_columns(name: str, caption: str, description: str, series: Sequence[Series], pieces: Sequence[Segment],
                    table: ReportTable) -> Chart:  # fmt: skip
    """A column per month (`at` as YYYY-MM), stacked in the order of `series` from the bottom."""
    months = sorted({piece.at for piece in pieces})

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        every = max(1, -(-len(months) * 46 // width))  # a label needs about 46 pixels
        shown = [month for index, month in enumerate(reversed(months)) if index % every == 0]
        axis = alt.Axis(
            values=shown, labelExpr=_month_label(shown), labelAngle=0, title=None, ticks=False, labelPadding=8
        )
        return _base(pieces, series).mark_bar(stroke="var(--paper)", strokeWidth=0.75).encode(
            x=alt.X("at:O", sort=months, axis=axis, scale=alt.Scale(domain=months, paddingInner=0.22, paddingOuter=0.1)),
            y=alt.Y("size:Q", stack="zero", axis=_amount_axis("y")),
            color=_colour(series), order=alt.Order("rank:Q"), description="words:N",
        ).properties(height=280 if width == WIDE else 240)  # fmt: skip

    return _both(name, caption, description, series, draw, table)


def stacked_bars(name: str, caption: str, description: str, series: Sequence[Series], pieces: Sequence[Segment],
                 table: ReportTable) -> Chart:  # fmt: skip
    """Horizontal bars in order of first occurrence of `at`, stacked in the order of `series` from the left."""
    bars = list(dict.fromkeys(piece.at for piece in pieces))

    def draw(width: int) -> Any:
        import altair as alt  # noqa: PLC0415

        if width == WIDE:
            room = min(LABEL_ROOM, 24 + 8 * max(map(len, bars)))
            label = alt.Axis(title=None, ticks=False, domain=False, labelLimit=room - 30, labelAlign="left", labelPadding=room,
                             minExtent=room, maxExtent=room)  # fmt: skip
        else:
            label = alt.Axis(title=None, ticks=False, domain=False, labelLimit=300, labelAlign="left", labelPadding=0,
                             labelOffset=-18, labelBaseline="middle", zindex=1)  # fmt: skip
        padding = 0.32 if width == WIDE else 0.6
        return _base(pieces, series).mark_bar(stroke="var(--paper)", strokeWidth=0.75).encode(
            y=alt.Y("at:O", sort=bars, axis=label, scale=alt.Scale(domain=bars, paddingInner=padding, paddingOuter=padding / 2)),
            x=alt.X("size:Q", stack="zero", axis=_amount_axis("x")),
            color=_colour(series), order=alt.Order("rank:Q"), description="words:N",
        ).properties(height=BAR_STEP[width] * len(bars))  # fmt: skip

    return _both(name, caption, description, series, draw, table)


def _both(name: str, caption: str, description: str, series: Sequence[Series], draw: Any, table: ReportTable) -> Chart:
    pictures = {
        css: adapt_svg(
            _svg(draw(width), width), name=f"{name}-{css}", title=caption, description=description, css_class=css
        )
        for css, width in (("wide", WIDE), ("narrow", NARROW))
    }
    legend = tuple((one.label, one.css) for one in series) if len(series) > 1 else ()
    return Chart(name, caption, description, pictures["wide"], pictures["narrow"], legend, table)


def _svg(chart: Any, width: int) -> str:
    import vl_convert  # noqa: PLC0415

    address_space.ensure(address_space.NIGHT)
    text = {"labelColor": "var(--soft)", "labelFontSize": FONT[width]}
    themed = (
        chart.properties(width=width, padding={"left": 2, "right": 10, "top": 6, "bottom": 2}, background="transparent")
        .configure(autosize={"type": "fit", "contains": "padding"})
        .configure_view(stroke=None)
        .configure_axis(**text, domainColor="var(--soft)", gridColor="var(--grid)", tickColor="var(--line)")
    )
    return str(vl_convert.vegalite_to_svg(themed.to_json()))


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


def _colour(series: Sequence[Series]) -> Any:
    import altair as alt  # noqa: PLC0415

    scale = alt.Scale(domain=[one.label for one in series], range=[f"var({one.css})" for one in series])
    return alt.Color("series:N", scale=scale, legend=None)


def _amount_axis(side: str) -> Any:
    import altair as alt  # noqa: PLC0415

    look: dict[str, Any] = {"ticks": False, "domain": False, "grid": True, "tickCount": 5, "labelPadding": 8}
    label = "datum.value == 0 ? '0' : format(datum.value, '~s')"  # the format alone writes a bare zero as 0k
    return alt.Axis(title=None, labelExpr=label, orient="left" if side == "y" else "bottom", **look)


def _month_label(shown: Sequence[str]) -> Any:
    """Vega expression: `Mar`, with the year below the first label of each year."""
    names = "['Jan','Feb','Mar','Apr','May','Jun','Jul','Aug','Sep','Oct','Nov','Dec']"
    month = f"{names}[toNumber(slice(datum.value, 5)) - 1]"
    openers = [min(month for month in shown if month[:4] == year) for year in sorted({month[:4] for month in shown})]
    return f"indexof({openers}, datum.value) >= 0 ? [{month}, slice(datum.value, 0, 4)] : {month}"
