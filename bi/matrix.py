"""A table of fees: a row per month, currency or client, a column per stage; each cell leads to its transactions."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from bi.behind import TRANSACTIONS, rows_behind
from bi.fees import TABLE, in_stages
from bi.filters import Condition, month_label
from bi.labels import label
from bi.tables import selected_cell
from bi.view import View
from debitura_pipeline.contract.stage_groups import EXPECTED, IS_MOVING, LABELS

SELECT_HINT = "Select a cell to see the rows behind it."
_IS_EXPECTED = f"""revenue_stage IN ({", ".join(f"'{stage}'" for stage in EXPECTED)})"""


@dataclass(frozen=True)
class Matrix:
    """`group`: the column that rows are made by; `shown`: the expression that names a row."""

    key: str
    title: str
    group: str
    shown: str
    order: str


def show_matrix(view: View, matrix: Matrix, where: Condition) -> None:
    """The table, and the transactions behind the selected cell."""
    stages = _stages(view, where)
    name = matrix.group if matrix.shown == matrix.group else "company_name"
    columns = (
        f"{matrix.group} AS row_key",
        f"{matrix.shown} AS {name}",
        f"coalesce(sum(CASE WHEN {_IS_EXPECTED} THEN referral_fee_usd END), 0) AS expected_and_earned_usd",
        "count(*) AS transaction_count",
        f"coalesce(sum(CASE WHEN {_IS_EXPECTED} AND {IS_MOVING} THEN referral_fee_usd END), 0) AS of_which_estimate_usd",
        *(
            f"coalesce(sum(CASE WHEN revenue_stage = '{stage}' THEN referral_fee_usd END), 0) AS {stage}"
            for stage in stages
        ),
    )
    found = view.frame(TABLE, columns, where, f"GROUP BY 1 ORDER BY {matrix.order}")
    st.caption(SELECT_HINT)
    cell = selected_cell(found.drop(columns="row_key"), key=matrix.key, alt=matrix.title)
    if cell is None:
        return
    row, column = cell
    chosen = where.same(matrix.group, found.loc[row.name, "row_key"])
    if column in LABELS:
        chosen = in_stages(chosen, (column,))
    elif column == "expected_and_earned_usd":
        chosen = in_stages(chosen, EXPECTED)
    elif column == "of_which_estimate_usd":
        chosen = in_stages(chosen, EXPECTED).also(IS_MOVING)
    named = row[name]
    title = month_label(named) if matrix.group.endswith("month") else named
    rows_behind(view, matrix.key, f"{title or 'Not known'}, {label(column)}", TRANSACTIONS, chosen)


def _stages(view: View, where: Condition) -> list[str]:
    found = set(view.frame(TABLE, ("DISTINCT revenue_stage AS stage",), where)["stage"])
    return [stage for stage in LABELS if stage in found]
