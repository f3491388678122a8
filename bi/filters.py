"""The filters of all pages: clients, months, currencies, debtor countries. Each becomes a condition in SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from bi.source import Source, frame

UNKNOWN = "unknown"
_CLIENTS = "SELECT creditor_id, coalesce(company_name, creditor_id) AS name FROM marts.dim_clients ORDER BY 2, 1"
_MONTHS = """
    SELECT month FROM (SELECT collected_month AS month FROM marts.fct_transactions
    UNION SELECT created_month FROM marts.fct_cases) AS months WHERE month IS NOT NULL ORDER BY 1"""
_CURRENCIES = """
    SELECT currency FROM (SELECT earnings_currency AS currency FROM marts.fct_transactions
    UNION SELECT currency FROM marts.fct_cases) AS currencies WHERE currency IS NOT NULL ORDER BY 1"""
_COUNTRIES = "SELECT DISTINCT debtor_country FROM marts.fct_cases WHERE debtor_country IS NOT NULL ORDER BY 1"


@dataclass(frozen=True)
class Condition:
    """A condition in SQL and its values; `also` adds another one."""

    sql: str = "TRUE"
    params: tuple[Any, ...] = ()

    def also(self, sql: str, *params: Any) -> Condition:
        """Both conditions."""
        return Condition(f"{self.sql} AND {sql}" if self.sql != "TRUE" else sql, (*self.params, *params))

    def same(self, column: str, value: Any) -> Condition:
        """`column` equals `value`; None means null."""
        return self.also(f"{column} IS NULL") if value is None else self.also(f"{column} = ?", value)


@dataclass(frozen=True)
class Filters:
    """What the reader chose; nothing chosen means everything."""

    clients: tuple[str, ...] = ()
    first_month: date | None = None
    last_month: date | None = None
    currencies: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)

    def on(
        self,
        *,
        client: str | None = None,
        month: str | None = None,
        currency: str | None = None,
        country: str | None = None,
    ) -> Condition:
        """The condition on a table that has these columns; a filter without a column does not apply to it."""
        found = Condition()
        for column, chosen in ((client, self.clients), (currency, self.currencies), (country, self.countries)):
            if column and chosen:
                found = found.also(f"{column} IN ({', '.join('?' * len(chosen))})", *chosen)
        if month and self.first_month:
            found = found.also(f"{month} >= ?", self.first_month)
        if month and self.last_month:
            found = found.also(f"{month} <= ?", self.last_month)
        return found

    def ignored(self, *applied: str) -> str:
        """Which of the chosen filters a report without these columns cannot apply, for people; empty if none."""
        chosen = {
            "client": bool(self.clients), "month": bool(self.first_month or self.last_month),
            "currency": bool(self.currencies), "country": bool(self.countries),
        }  # fmt: skip
        return ", ".join(name for name, is_set in chosen.items() if is_set and name not in applied)

    @property
    def words(self) -> str:
        """What is chosen, for people; empty if nothing."""
        parts = [", ".join(self.names.get(client, client) for client in self.clients)]
        if self.first_month or self.last_month:
            parts.append(
                f"{month_label(self.first_month) or 'the first month'} to {month_label(self.last_month) or 'the last'}"
            )
        parts += [", ".join(self.currencies), ", ".join(self.countries)]
        return "; ".join(part for part in parts if part)


def month_label(month: date | None) -> str:
    """`2026-03-01` -> `Mar 2026`."""
    return f"{month:%b %Y}" if month else ""


def choose(source: Source) -> Filters:
    """The filters as widgets in the sidebar. Raises WarehouseError."""
    clients = frame(source, _CLIENTS, ("creditor_id", "name"))
    months = _list(frame(source, _MONTHS, ("month",)))
    with st.sidebar:
        st.subheader("Filters")
        names = dict(clients.itertuples(index=False))
        times = Counter(names.values())
        chosen = st.multiselect("Client", list(names), format_func=lambda one: _client(one, names, times), key="client")
        first = st.selectbox(
            "From month", months, index=None, format_func=month_label, key="first_month", placeholder="First"
        )
        last = st.selectbox(
            "To month", months, index=None, format_func=month_label, key="last_month", placeholder="Last"
        )
        currencies = st.multiselect("Currency", _list(frame(source, _CURRENCIES, ("currency",))), key="currency")
        countries = st.multiselect("Debtor country", _list(frame(source, _COUNTRIES, ("country",))), key="country")
    return Filters(tuple(chosen), first, last, tuple(currencies), tuple(countries), names)


def _client(creditor_id: str, names: dict[str, str], times: Counter[str]) -> str:
    """The name, with the id where two clients share it. `times`: how many clients have each name."""
    name = names[creditor_id]
    return name if times[name] == 1 else f"{name} ({creditor_id[:8]})"


def _list(found: pd.DataFrame) -> Sequence[Any]:
    return list(found.iloc[:, 0])
