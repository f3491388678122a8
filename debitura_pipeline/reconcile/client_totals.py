"""Compare the totals in each client's own record with its cases and transactions. Sends no requests.

Differences are warnings only: the API computes these figures apart from its lists and does not define what they count.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from debitura_pipeline.extract.comparison import stated_precision
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.reconcile.control_totals import RunQuery, compare_one


class _ClientRow(NamedTuple):
    """A live client: the figures of its own record, then ours under the names of the query's columns."""

    creditor_id: str
    cases_total: int | None
    cases_closed: int | None
    earnings_usd: Decimal | None
    cases: int
    cases_when_read: int
    closed: int
    merged: int
    payments: int
    fees: Decimal
    undisputed: Decimal
    final: Decimal
    recognized: Decimal
    paid: Decimal


def compare_client_totals(rows: RunQuery) -> list[ControlTotal]:
    """Return three totals per live client: cases, closed cases and earnings. `rows` runs a query on the warehouse."""
    clients = [_ClientRow._make(row) for row in rows(_CLIENTS)]
    precision = stated_precision(client.earnings_usd for client in clients)
    return [total for client in clients for total in _compare(client, precision)]


def _compare(client: _ClientRow, precision: Decimal) -> Iterator[ControlTotal]:
    scope = client.creditor_id
    cases = [("all cases", client.cases), ("cases known when the client was read", client.cases_when_read)]
    closed = [("Closed", client.closed), ("Closed and Merged", client.closed + client.merged)]
    fees = [
        ("all fees", client.fees),
        ("fees without disputed ones", client.undisputed),
        ("final fees", client.final),
        ("recognized fees", client.recognized),
        ("fees paid out", client.paid),
    ]
    yield compare_one("clients", "cases_total", "all", "count", client.cases_total, cases, scope=scope)
    yield compare_one("clients", "cases_closed", "all", "count", client.cases_closed, closed, scope=scope)
    yield compare_one(
        "clients", "earnings_usd", "all", "usd", client.earnings_usd, fees,
        scope=scope, precision=precision, rows=client.payments,
    )  # fmt: skip


_CLIENTS = f"""
    WITH client_cases AS (
        SELECT cases.creditor_id, count(*) AS cases,
            count(CASE WHEN cases.created_at <= clients._verified_at THEN 1 END) AS cases_when_read,
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
    ), compared AS (
        SELECT clients.creditor_id, cases_total, cases_closed, earnings_usd,
            coalesce(client_cases.cases, 0) AS cases, coalesce(cases_when_read, 0) AS cases_when_read,
            coalesce(closed, 0) AS closed, coalesce(merged, 0) AS merged, coalesce(payments, 0) AS payments,
            coalesce(fees, 0) AS fees, coalesce(undisputed, 0) AS undisputed, coalesce(final, 0) AS final,
            coalesce(recognized, 0) AS recognized, coalesce(paid, 0) AS paid
        FROM raw.clients
        LEFT JOIN client_cases ON client_cases.creditor_id = clients.creditor_id
        LEFT JOIN client_fees ON client_fees.creditor_id = clients.creditor_id
        WHERE clients._deleted_at IS NULL
    )
    SELECT {", ".join(_ClientRow._fields)} FROM compared ORDER BY creditor_id"""
