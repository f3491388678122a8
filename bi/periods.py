"""Today, yesterday, this month, last month, the same month a year ago, twelve months: fees on each basis, under the filters."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from bi.bases import BASES
from bi.behind import TRANSACTIONS, rows_behind
from bi.fees import TABLE, fees_where
from bi.matrix import SELECT_HINT
from bi.tables import selected_cell
from bi.view import View
from debitura_pipeline.formats import title_case

REPORT = "reports.revenue_summary"


def show_periods(view: View) -> None:
    """The periods of `revenue_summary`, a column per basis."""
    known = view.frame(
        REPORT, ("period", "basis", "from_on", "to_on", "is_complete"), tail="ORDER BY period_order, basis_order"
    )
    if known.empty:
        st.info("Nothing has been read yet.")
        return
    found = known[["period", "from_on", "to_on"]].drop_duplicates("period", ignore_index=True)
    for place, (name, basis) in enumerate(BASES.items(), start=1):
        sums = tuple(
            f"coalesce(sum(CASE WHEN {_within(basis.day, row)} THEN {basis.usd} END), 0) AS {row.period}"
            for row in found.itertuples(index=False)
        )
        usd = view.frame(TABLE, sums, basis.where(fees_where(view))).iloc[0].to_list()
        in_full = known.loc[known["basis"] == name, "is_complete"]
        # Nothing seen in a period that is not known in full says nothing.
        found.insert(
            place,
            f"{name}_usd",
            [None if not one and not full else one for one, full in zip(usd, in_full, strict=True)],
        )
    open_ = known[~known["is_complete"].astype(bool)].groupby("period", sort=False)["basis"].agg(", ".join)
    found["not_known_in_full"] = found["period"].map(open_).astype(object).where(lambda names: names.notna(), None)
    st.caption(
        f"Not known in full: part of the period is before the first load, so this is the least that it can be. {SELECT_HINT}"
    )
    cell = selected_cell(found, key="periods", alt="Fees by period and basis")
    if cell is None:
        return
    row, column = cell
    name = column.removesuffix("_usd")
    basis = BASES.get(name, BASES["collected"])
    where = basis.where(fees_where(view)).also(_within(basis.day, row))
    rows_behind(
        view, "periods", f"{title_case(row['period'])}, {basis.label}", replace(TRANSACTIONS, usd=basis.usd), where
    )


def _within(day: str, row: pd.Series) -> str:
    return f"{day} BETWEEN DATE '{row.from_on:%Y-%m-%d}' AND DATE '{row.to_on:%Y-%m-%d}'"
