"""Compare the totals in each client's own record with its cases and transactions. Sends no requests.

Differences are warnings only: the API computes these figures apart from its lists and does not define what they count.
"""

from __future__ import annotations

from typing import Any

from debitura_pipeline.extract.comparison import stated_precision
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.reconcile.control_totals import Interpretations, RunQuery, compare_one


def compare_client_totals(rows: RunQuery) -> list[ControlTotal]:
    """Return three totals per live client: cases, closed cases and earnings. `rows` runs a query on the warehouse."""
    found, records = [], rows(_PER_CLIENT)
    precision = stated_precision(record[3] for record in records)
    for record in records:
        creditor, cases, closed, earnings, *ours = record
        total, until, closed_ours, merged, payments, fees, undisputed, final, recognized, paid = ours
        checks: list[tuple[str, str, Any, Interpretations]] = [
            ("cases_total", "count", cases, [("all cases", total), ("cases known when the client was read", until)]),
            ("cases_closed", "count", closed, [("Closed", closed_ours), ("Closed and Merged", closed_ours + merged)]),
            ("earnings_usd", "usd", earnings, [
                ("all fees", fees), ("fees without disputed ones", undisputed), ("final fees", final),
                ("recognized fees", recognized), ("fees paid out", paid),
            ]),
        ]  # fmt: skip
        found += [
            compare_one(
                "clients", check, "all", unit, stated, options, scope=creditor, precision=precision, rows=payments
            )
            for check, unit, stated, options in checks
        ]
    return found


_PER_CLIENT = """
    WITH client_cases AS (
        SELECT cases.creditor_id, count(*) AS total,
            count(CASE WHEN cases.created_at <= clients._verified_at THEN 1 END) AS until,
            count(CASE WHEN lower(cases.lifecycle) = 'closed' THEN 1 END) AS closed,
            count(CASE WHEN lower(cases.lifecycle) LIKE 'merged%' THEN 1 END) AS merged
        FROM raw.cases JOIN raw.clients ON clients.creditor_id = cases.creditor_id
        WHERE cases._deleted_at IS NULL
        GROUP BY cases.creditor_id
    ), client_fees AS (
        SELECT creditor_id, count(*) AS payments, sum(referral_fee_usd) AS fees,
            sum(CASE WHEN lower(referral_invoicing_status) = 'disputed' THEN 0 ELSE referral_fee_usd END) AS undisputed,
            sum(CASE WHEN is_estimate THEN 0 ELSE referral_fee_usd END) AS final,
            sum(referral_fee_recognized_usd) AS recognized,
            sum(CASE WHEN lower(referral_invoicing_status) = 'paid' THEN referral_fee_usd ELSE 0 END) AS paid
        FROM raw.transactions
        WHERE _deleted_at IS NULL
        GROUP BY creditor_id
    )
    SELECT clients.creditor_id, cases_total, cases_closed, earnings_usd,
        coalesce(total, 0), coalesce(until, 0), coalesce(closed, 0), coalesce(merged, 0), coalesce(payments, 0),
        coalesce(fees, 0), coalesce(undisputed, 0), coalesce(final, 0), coalesce(recognized, 0), coalesce(paid, 0)
    FROM raw.clients
    LEFT JOIN client_cases ON client_cases.creditor_id = clients.creditor_id
    LEFT JOIN client_fees ON client_fees.creditor_id = clients.creditor_id
    WHERE clients._deleted_at IS NULL
    ORDER BY clients.creditor_id"""
