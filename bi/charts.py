"""Charts. Each stands above a table with the same figures."""

from __future__ import annotations

from decimal import Decimal

import altair as alt
import pandas as pd
import streamlit as st

from bi.fees import TABLE
from bi.filters import Condition
from bi.view import View
from debitura_pipeline.contract.stage_groups import EXPECTED, LABELS

HEIGHT = 340


def stacked_months(view: View, where: Condition) -> None:
    """Expected fees by month, stacked by stage."""
    columns = ("collected_month AS month", "revenue_stage AS stage", "sum(referral_fee_usd) AS usd")
    stages = ", ".join("?" * len(EXPECTED))
    found = view.frame(
        TABLE,
        columns,
        where.also("collected_month IS NOT NULL").also(f"revenue_stage IN ({stages})", *EXPECTED),
        "GROUP BY 1, 2",
    )
    if found.empty:
        return
    drawn = pd.DataFrame({
        "month": pd.to_datetime(found["month"]),
        "stage": found["stage"].map(LABELS),
        "order": found["stage"].map(EXPECTED.index),
        "usd": found["usd"].map(_float),
    })  # fmt: skip
    names = [LABELS[stage] for stage in EXPECTED]
    chart = (
        alt.Chart(drawn)
        .mark_bar()
        .encode(
            x=alt.X("yearmonth(month):T", title=None),
            y=alt.Y("sum(usd):Q", title="USD"),
            color=alt.Color(
                "stage:N", title=None, scale=alt.Scale(domain=names), legend=alt.Legend(orient="bottom", columns=3)
            ),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("yearmonth(month):T", title="Month"),
                "stage:N",
                alt.Tooltip("sum(usd):Q", format=",.2f", title="USD"),
            ],
        )
        .properties(height=HEIGHT)
    )
    st.altair_chart(chart)


def forecast_band(found: pd.DataFrame) -> None:
    """Median and the band from 10 % to 90 % by month. Columns: month, median_usd, low_usd, high_usd."""
    drawn = found.assign(
        month=pd.to_datetime(found["month"]),
        **{name: found[name].map(_float) for name in ("median_usd", "low_usd", "high_usd")},
    )
    base = alt.Chart(drawn).encode(x=alt.X("yearmonth(month):T", title=None))
    band = base.mark_area(opacity=0.3).encode(y=alt.Y("low_usd:Q", title="USD"), y2="high_usd:Q")
    line = base.mark_line(point=True).encode(
        y="median_usd:Q",
        tooltip=[
            alt.Tooltip("yearmonth(month):T", title="Month"),
            *(alt.Tooltip(f"{name}_usd:Q", format=",.2f") for name in ("low", "median", "high")),
        ],
    )
    st.altair_chart((band + line).properties(height=HEIGHT))


def _float(value: Decimal | None) -> float | None:
    """A length on the screen, not an amount."""
    return None if value is None else float(value)
