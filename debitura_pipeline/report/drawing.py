"""The parts that all charts share: two widths, axes, colours and patterns, and the SVG that Altair's renderer gives.

Bar lengths are floats, since they become pixels; all printed figures come from the Decimal tables next to the chart. Altair and
its renderer are imported on first use: together they take about a second.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from debitura_pipeline import address_space
from debitura_pipeline.report.model import Chart, ReportTable, Series
from debitura_pipeline.report.svg import adapt_svg

log = logging.getLogger(__name__)

WIDE, NARROW = 912, 360  # pixels that the page's column and a phone's screen come to
FONT = {WIDE: 13, NARROW: 12}
LABEL_ROOM = 230  # left of horizontal bars; browsers' fonts may be a tenth wider than the renderer's
UNIT = 7.0  # pixels of an average small letter
ZERO_WIDTH_JOINER = "\u200d"
BAR_STEP = {WIDE: 34, NARROW: 50}  # on phones the label stands above its bar
EDGE: dict[str, Any] = {
    "stroke": "var(--paper)",
    "strokeWidth": 1.5,
}  # a gap between neighbours, whatever their colours
# Vega's own `~s` writes 20G for 20 billion, and 0k for 0.
AMOUNT_LABEL = (
    "abs(datum.value) >= 1e9 ? format(datum.value / 1e9, ',.4~g') + ' billion'"
    " : abs(datum.value) >= 1e6 ? format(datum.value / 1e6, ',.4~g') + ' million' : format(datum.value, ',~f')"
)
NOT_DRAWN = "<p>This chart could not be drawn. Its figures are in the table.</p>"
PERCENT_LABEL = "format(datum.value, '.0~%')"


class NotDrawn(Exception):
    """The renderer refuses a chart."""


def in_both_widths(name: str, caption: str, description: str, series: Sequence[Series], draw: Callable[[int], Any],
                   table: ReportTable) -> Chart:  # fmt: skip
    """The chart of `draw(width)` for wide and narrow screens. The legend is left out where there is one series. If
    the renderer refuses the chart, the page has its table only, since nothing would be published otherwise."""
    from altair.utils.schemapi import debug_mode  # noqa: PLC0415

    try:
        with debug_mode(False):  # checking each specification against Vega-Lite's schema takes longer than drawing it
            pictures = {
                css: adapt_svg(
                    _svg(draw(width), width),
                    name=f"{name}-{css}",
                    title=caption,
                    description=description,
                    css_class=css,
                )
                for css, width in (("wide", WIDE), ("narrow", NARROW))
            }
    except NotDrawn:
        log.warning("The chart %s could not be drawn; the page has its table.", name)
        pictures = {"wide": NOT_DRAWN, "narrow": ""}
    return Chart(name, caption, description, pictures["wide"], pictures["narrow"],
                 tuple(series) if len(series) > 1 else (), table)  # fmt: skip


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
    try:
        return str(vl_convert.vegalite_to_svg(themed.to_json(validate=False)))
    except ValueError:
        raise NotDrawn from None


def colours(series: Sequence[Series]) -> Any:
    """The colour channel of field `series`, without the library's own legend."""
    import altair as alt  # noqa: PLC0415

    scale = alt.Scale(domain=[one.label for one in series], range=[one.fill for one in series])
    return alt.Color("series:N", scale=scale, legend=None)


def value_axis(side: str, label: str = AMOUNT_LABEL, ticks: int = 5) -> Any:
    """An axis of amounts (or of shares, with PERCENT_LABEL) with grid lines; `side`: x or y."""
    import altair as alt  # noqa: PLC0415

    look: dict[str, Any] = {"ticks": False, "domain": False, "grid": True, "tickCount": ticks, "labelPadding": 8}
    return alt.Axis(title=None, labelExpr=label, orient="left" if side == "y" else "bottom", **look)


def bar_labels(bars: Sequence[str], width: int) -> Any:
    """The axis of horizontal bars: labels at their left, on phones above them."""
    import altair as alt  # noqa: PLC0415

    room = min(LABEL_ROOM, 50 + 8 * max(map(len, bars)))
    shown = [shortened(bar, room - 30 if width == WIDE else 300) for bar in bars]
    names, texts = json.dumps(list(bars)), json.dumps(shown)
    look: dict[str, Any] = {
        "title": None, "ticks": False, "domain": False, "labelAlign": "left", "labelLimit": 0,
        "labelExpr": f"{texts}[indexof({names}, datum.value)]",
    }  # fmt: skip
    if width != WIDE:
        return alt.Axis(labelPadding=0, labelOffset=-18, labelBaseline="middle", zindex=1, **look)
    return alt.Axis(labelPadding=room, minExtent=room, maxExtent=room, **look)


def shortened(text: str, room: int) -> str:
    """Shorten text to about `room` pixels, between whole characters. Vega would cut between UTF-16 units, and its renderer refuses
    half an emoji."""
    limit = room / UNIT
    if sum(map(_units, text)) <= limit:
        return text
    used, kept = 1.0, text  # one for the ellipsis
    for place, character in enumerate(text):
        used += _units(character)
        if used > limit:
            kept = text[:place]
            break
    while kept and (_units(text[len(kept)]) == 0 or kept[-1] == ZERO_WIDTH_JOINER):
        kept = kept[:-1]  # accents and joined characters are not parted
    return f"{kept.rstrip()}…"


def _units(character: str) -> float:
    """About how wide a character is, an average small letter being one."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 1.25 if character.isupper() or character in "mw@%" else 0.5 if character in "ijlt.,;:!|' " else 1


def bar_scale(bars: Sequence[str], width: int) -> Any:
    """The scale of horizontal bars, with room for the labels that stand above them on phones."""
    import altair as alt  # noqa: PLC0415

    padding = 0.32 if width == WIDE else 0.6
    return alt.Scale(domain=list(bars), paddingInner=padding, paddingOuter=padding / 2)


def month_axis(months: Sequence[str], width: int) -> Any:
    """The axis of months written YYYY-MM: as many labels as fit, the year below the first of each year."""
    import altair as alt  # noqa: PLC0415

    every = max(1, -(-len(months) * 46 // width))  # a label needs about 46 pixels
    shown = [month for index, month in enumerate(reversed(months)) if index % every == 0]
    return alt.Axis(
        values=shown, labelExpr=_month_label(shown), labelAngle=0, title=None, ticks=False, labelPadding=8, grid=False
    )


def _month_label(shown: Sequence[str]) -> Any:
    """Vega expression: `Mar`, with the year below the first label of each year."""
    names = "['Jan','Feb','Mar','Apr','May','Jun','Jul','Aug','Sep','Oct','Nov','Dec']"
    month = f"{names}[toNumber(slice(datum.value, 5)) - 1]"
    openers = [min(month for month in shown if month[:4] == year) for year in sorted({month[:4] for month in shown})]
    return f"indexof({openers}, datum.value) >= 0 ? [{month}, slice(datum.value, 0, 4)] : {month}"
