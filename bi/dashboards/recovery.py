"""Recovery: what became of the cases and of the claims, in the currency of each claim."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from bi.behind import CASES, rows_behind
from bi.filters import Condition
from bi.matrix import SELECT_HINT
from bi.tables import selected_cell, show
from bi.view import View, note_ignored, open_page
from debitura_pipeline.formats import title_case

TABLE = "marts.fct_cases"
MONTHS_SINCE = (0, 1, 2, 3, 6, 9, 12, 18, 24, 36, 48, 60)
NOT_COUNTED = ("open", "merged", "rejected", "system")
# The claim of a merged case is that of the case that it was merged into.
OWN = "CASE WHEN outcome <> 'merged' THEN {} END"
FIGURES = (
    "count(*) AS cases", f"sum({OWN.format('gross_amount')}) AS gross_amount",
    f"sum({OWN.format('recovered_amount')}) AS recovered_amount", "max(days_to_close) AS days_to_close_max",
    "sum(CASE WHEN recovered_amount IS NOT NULL AND outcome <> 'merged' THEN gross_amount END) AS known_amount",
)  # fmt: skip


def main() -> None:
    """The page."""
    view = open_page(
        "Recovery",
        "Claims and recovered amounts by currency, and by the month (UTC) in which the case was created.",
    )
    where = view.filters.on(client="creditor_id", month="created_month", currency="currency", country="debtor_country")
    if not view.one(TABLE, "count(*)", where):
        st.info("No cases" + (" with these filters." if view.filters.words else " yet."))
        return
    _ended(view, where)
    for key, title, columns in (
        ("outcomes", "By outcome", ("outcome", "currency")),
        ("countries", "By debtor country", ("debtor_country", "currency")),
        ("phases", "By phase", ("engagement_phase", "outcome", "currency")),
    ):
        st.header(title)
        _groups(view, where, key, columns)
    st.header("Vintages")
    _vintages(view)


def _ended(view: View, where: Condition) -> None:
    st.header("Ended cases")
    ended = where.also(f"outcome NOT IN ({', '.join('?' * len(NOT_COUNTED))})", *NOT_COUNTED)
    st.caption(
        "Cases that ended after collection had begun: without open, merged and rejected ones. Recovered share: by amount."
    )
    _groups(view, ended, "ended", ("currency",))


def _groups(view: View, where: Condition, key: str, columns: tuple[str, ...]) -> None:
    places = ", ".join(str(place) for place in range(1, len(columns) + 1))
    order = f"GROUP BY {places} ORDER BY {len(columns) + 1} DESC, {places}"
    found = view.frame(TABLE, (*columns, *FIGURES), where, order)
    if found.empty:
        st.info("None.")
        return
    shares = map(_share, found["recovered_amount"], found.pop("known_amount"))
    found.insert(len(columns) + 3, "recovered_share", list(shares))
    st.caption(SELECT_HINT)
    cell = selected_cell(found, key=key, alt=f"Cases by {' and '.join(columns)}")
    if cell is not None:
        row, _ = cell
        chosen = where
        for column in columns:
            chosen = chosen.same(column, row[column])
        rows_behind(view, key, ", ".join(title_case(row[column] or "unknown") for column in columns), CASES, chosen)


def _share(recovered: Decimal | None, known: Decimal | None) -> Decimal | None:
    """Recovered share of the claims whose two amounts are both known."""
    return round(recovered / known, 4) if recovered is not None and known else None


def _vintages(view: View) -> None:
    if not view.has("reports.recovery_vintage"):
        return
    note_ignored(view, "month", "currency")
    where = view.filters.on(month="created_month", currency="currency")
    currencies = view.frame(
        "reports.recovery_vintage", ("currency", "sum(cases) AS n"), where, "GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    if currencies.empty:
        st.info("No complete month yet.")
        return
    currency = st.selectbox("Currency of the claims", list(currencies["currency"]), key="vintage_currency")
    where = where.same("currency", currency).also(f"months_since IN ({', '.join(map(str, MONTHS_SINCE))})")
    st.caption("Share of the claims of a month that was recovered after so many months, as far as these are over.")
    _shares(
        view,
        where.also("is_complete").also("recovered_share IS NOT NULL"),
        "recovered_share",
        f"Recovered share, {currency}",
    )
    with st.expander("Projected for months that are not over (chain ladder)"):
        _shares(view, where.also("NOT is_complete"), "projected_share", f"Projected share, {currency}")


def _shares(view: View, where: Condition, share: str, alt: str) -> None:
    """A row per month of creation, a column per number of months since."""
    found = view.frame("reports.recovery_vintage", ("created_month", "months_since", share), where, "ORDER BY 1, 2")
    if found.empty:
        st.info("None yet.")
        return
    wide = found.pivot_table(index="created_month", columns="months_since", values=share, aggfunc="first")
    wide = wide.rename(columns=lambda months: f"after_{months}_months_share").reset_index().astype(object)
    show(wide.where(wide.notna(), None), key=share, alt=alt)


main()
