"""Attribution and gaps: which clients count, and where money may be missing."""

from __future__ import annotations

import streamlit as st

from bi.behind import CASES, FINDINGS, TRANSACTIONS, rows_behind
from bi.fees import in_stages
from bi.figures import Card, show_cards
from bi.filters import Condition
from bi.labels import label
from bi.matrix import SELECT_HINT
from bi.tables import selected_cell
from bi.view import NOT_READ, View, note_ignored, open_page
from debitura_pipeline.contract.stage_groups import IS_MOVING
from debitura_pipeline.formats import title_case

GAPS, CLIENTS = "reports.attribution_gaps", "reports.attribution_by_client"
FEES = {
    "fee_pending_usd": "Pending", "fee_confirmed_pending_invoice_usd": "ConfirmedPendingInvoice",
    "fee_awaiting_collection_partner_payment_usd": "AwaitingCollectionPartnerPayment",
    "fee_ready_to_invoice_debitura_usd": "ReadyToInvoiceDebitura", "fee_awaiting_debitura_payment_usd": "AwaitingDebituraPayment",
    "fee_paid_usd": "Paid", "fee_disputed_usd": "Disputed", "fee_unclassified_usd": "Unclassified",
}  # fmt: skip


def main() -> None:
    """The page."""
    view = open_page(
        "Attribution and gaps", "Money that may be missing, and what each client has brought. Amounts in USD."
    )
    note_ignored(view, "client")
    where = view.filters.on(client="creditor_id")
    st.header("Money that may be missing")
    if view.has(GAPS):
        _gaps(view, where)
    st.header("Clients")
    if view.has(CLIENTS):
        _clients(view, where)


def _gaps(view: View, where: Condition) -> None:
    count = view.one(GAPS, "count(*)", where)
    if not count:
        if view.is_read:
            st.success("No findings" + (" for these clients." if where.params else "."))
        else:
            st.info(NOT_READ)
        return
    # One fee can be in two findings, so what is at stake is added up within a kind only.
    show_cards(
        view,
        "attribution",
        [Card("findings", "Findings", count, "Each with what to do about it.", FINDINGS, where, unit="")],
    )
    columns = (
        "finding",
        "sum(usd_at_stake) AS usd_at_stake",
        "count(*) AS findings_count",
        "max(age_days) AS oldest_days",
    )
    kinds = view.frame(GAPS, columns, where, "GROUP BY 1 ORDER BY 2 DESC NULLS LAST, 1")
    st.caption(SELECT_HINT)
    cell = selected_cell(kinds, key="kinds", alt="Findings by kind")
    if cell is not None:
        row, _ = cell
        rows_behind(view, "kinds", title_case(row["finding"]), FINDINGS, where.same("finding", row["finding"]))
    st.subheader("Most at stake")
    top = view.frame(GAPS, ("finding_id", *FINDINGS.columns), where, "ORDER BY priority LIMIT 100")
    st.caption("Select a cell to see the case and the transactions that a finding rests on.")
    cell = selected_cell(top.drop(columns="finding_id"), key="findings", alt="Findings with most at stake")
    if cell is not None:
        _rests_on(view, cell[0]["case_id"], cell[0]["transaction_id"])


def _rests_on(view: View, case_id: str | None, transaction_id: str | None) -> None:
    if transaction_id is not None:
        rows_behind(
            view,
            "finding-transaction",
            "The transaction",
            TRANSACTIONS,
            Condition().same("transaction_id", transaction_id),
        )
    if case_id is not None:
        rows_behind(view, "finding-case", "The case", CASES, Condition().same("case_id", case_id))
        rows_behind(
            view, "finding-fees", "All transactions of the case", TRANSACTIONS, Condition().same("case_id", case_id)
        )


def _clients(view: View, where: Condition) -> None:
    columns = ("company_name", "fee_total_usd", "fee_total_of_which_estimate_usd", "attribution", "rate_weighted_pct",
               "cases_total", "cases_open", *FEES, "share_of_fees", "country", "linked_at", "creditor_id")  # fmt: skip
    found = view.frame(CLIENTS, columns, where, "ORDER BY fee_total_usd DESC, creditor_id")
    if found.empty:
        st.info("No clients yet.")
        return
    st.caption(SELECT_HINT)
    cell = selected_cell(found.drop(columns="creditor_id"), key="clients", alt="Clients")
    if cell is None:
        return
    row, column = cell
    creditor_id = found.loc[row.name, "creditor_id"]
    own = Condition().same("creditor_id", creditor_id)
    title = f"{row['company_name'] or creditor_id}, {label(column)}"
    if column.startswith("cases_"):
        rows_behind(view, "clients", title, CASES, own.also("is_open") if column == "cases_open" else own)
        return
    if column in FEES:
        own = in_stages(own, (FEES[column],))
    elif column.startswith("fee_total"):
        own = in_stages(own, [stage for stage in FEES.values() if stage not in ("Disputed", "Unclassified")])
        own = own.also(IS_MOVING) if column.endswith("estimate_usd") else own
    rows_behind(view, "clients", title, TRANSACTIONS, own)


main()
