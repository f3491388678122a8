"""What a page works with: the source, its tables, the filters; and the head that every page has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from bi.filters import Condition, Filters
from bi.source import Source, frame
from debitura_pipeline.formats import format_datetime

NOT_READ = "Not checked yet: not everything has been read."


@dataclass(frozen=True)
class View:
    """One run of a page."""

    source: Source
    tables: frozenset[str]
    filters: Filters
    is_simulated: bool

    def has(self, *names: str) -> bool:
        """Whether these tables exist; says so on the page if not."""
        missing = [name for name in names if name not in self.tables]
        if missing:
            st.info(f"No {' and '.join(missing)} here: made by an earlier version. The next nightly run adds it.")
        return not missing

    @property
    def is_read(self) -> bool:
        """Whether clients, cases and transactions were each read in full. Until then, no rows is no answer."""
        checked = Condition().same("check_name", "attribution_gaps").also("verdict <> ?", "not_checked")
        return "reports.data_quality" in self.tables and self.one("reports.data_quality", "count(*)", checked) > 0

    def say_none(self, text: str) -> None:
        """Say that there is nothing, or that it is not known yet."""
        st.info(text if self.is_read else NOT_READ)

    def frame(self, table: str, columns: Sequence[str], where: Condition | None = None, tail: str = "") -> pd.DataFrame:
        """`columns` of `table`; an entry may be an expression with a name, `sum(x) AS x`. `tail` follows the condition: GROUP
        BY, ORDER BY, LIMIT. Raises WarehouseError."""
        where = where or Condition()
        names = [column.rpartition(" AS ")[2] for column in columns]
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {where.sql} {tail}"
        return frame(self.source, sql, names, where.params)

    def one(self, table: str, expression: str, where: Condition | None = None) -> Any:
        """The single value of an expression over a table."""
        return self.frame(table, (f"{expression} AS value",), where).iat[0, 0]

    def amount(self, table: str, expression: str, where: Condition | None = None) -> Decimal:
        """The single amount of an expression; 0 without rows."""
        return Decimal(self.one(table, f"coalesce({expression}, 0)", where))


def open_page(title: str, lead: str) -> View:
    """Title, as of when, what is read, and what the filters leave."""
    view: View = st.session_state["view"]
    st.title(title)
    head = [f"**As of {instant(view.source.as_of)}**", plain(view.source.label)]
    if view.is_simulated:
        head.insert(1, "**Simulated data**")
    st.caption(" · ".join(head))
    st.markdown(lead)
    if view.filters.words:
        st.caption(f"Filtered: {plain(view.filters.words)}")
    return view


def note_ignored(view: View, *applied: str) -> None:
    """Say which of the chosen filters the following figures cannot apply."""
    ignored = view.filters.ignored(*applied)
    if ignored:
        st.caption(f":material/filter_alt_off: Not filtered by {ignored}: this report is not split by it.")


def instant(value: datetime | None) -> str:
    """`22 Nov 2026, 02:14 UTC`."""
    return "an unknown time" if value is None else format_datetime(value)


def plain(text: str) -> str:
    """Text that Markdown shows as it is; a company may call itself anything."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()<>#+-.!|~$:" else letter for letter in text)
