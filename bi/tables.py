"""Tables: labels and formats by the names of their columns, and cells that can be selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from bi.labels import DUE, label
from debitura_pipeline.contract.stage_groups import LABELS
from debitura_pipeline.formats import title_case

ROW_PX, HEAD_PX, MOST_ROWS = 35, 38, 14
_TEXTS: Mapping[str, Mapping[str, str]] = {
    "revenue_stage": LABELS, "from_stage": LABELS, "to_stage": LABELS, "due_class": DUE, "payment_class": DUE,
}  # fmt: skip
# Columns whose values are names of ours or of the API's.
_NAMED = (
    "area", "attribution", "basis", "change", "check_name", "close_code", "engagement_phase", "finding", "lifecycle", "outcome",
    "period", "resource", "scope", "stage", "subject", "verdict",
)  # fmt: skip


def show(found: pd.DataFrame, *, key: str, alt: str) -> None:
    """A table as it is."""
    st.dataframe(
        _shown(found), key=key, alt=alt, hide_index=True, column_config=_config(found), height=_height(found), placeholder="–",
    )  # fmt: skip


def selected_cell(found: pd.DataFrame, *, key: str, alt: str) -> tuple[pd.Series[Any], str] | None:
    """A table in which one cell can be selected. Returns its row and its column."""
    event: Any = st.dataframe(
        _shown(found), key=key, alt=alt, hide_index=True, column_config=_config(found), height=_height(found), placeholder="–",
        on_select="rerun", selection_mode="single-cell",
    )  # fmt: skip
    cells: Sequence[tuple[int, str]] = event["selection"]["cells"]
    if not cells or cells[0][0] >= len(found):
        return None
    row, column = cells[0]
    return found.iloc[row], column


def _shown(found: pd.DataFrame) -> pd.DataFrame:
    """Stages and classes in words; everything else as it came."""
    changes: dict[str, Any] = {}
    for column, texts in _TEXTS.items():
        if column in found:
            changes[column] = found[column].map(lambda value, texts=texts: texts.get(value, value))
    for column in _NAMED:
        if column in found:
            changes[column] = found[column].map(lambda value: title_case(value) if isinstance(value, str) else value)
    return found.assign(**changes)


def _config(found: pd.DataFrame) -> dict[str, Any]:
    return {column: _column(column, found[column]) for column in found}


def _column(name: str, values: pd.Series[Any]) -> Any:
    kinds: Callable[..., Any] = st.column_config.Column
    some = next((value for value in values if value is not None), None)
    options: dict[str, Any] = {}
    if isinstance(some, bool):
        kinds = st.column_config.CheckboxColumn
    elif isinstance(some, Decimal):
        kinds, options = (
            st.column_config.NumberColumn,
            {"format": _format(name)},
        )
    elif isinstance(some, int):
        kinds, options = st.column_config.NumberColumn, {"format": "%,d"}
    elif isinstance(some, pd.Timestamp) or name.endswith(("_at", "since")):
        kinds, options = st.column_config.DatetimeColumn, {"format": "D MMM YYYY, HH:mm", "timezone": "UTC"}
    elif hasattr(some, "isoformat"):
        kinds, options = st.column_config.DateColumn, {"format": "MMM YYYY" if name.endswith("month") else "D MMM YYYY"}
    elif isinstance(some, str) and len(some) > 60:
        options = {"width": "large"}
    return kinds(label(name), **options)


def _format(name: str) -> str:
    if name.endswith("_share"):
        return "percent"
    return "localized" if name in ("figure", "api_count", "count_difference") else "%,.2f"


def _height(found: pd.DataFrame) -> int:
    return HEAD_PX + ROW_PX * max(1, min(len(found), MOST_ROWS))
