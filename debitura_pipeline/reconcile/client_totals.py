"""Compare the totals in each client's own record with its cases and transactions. Sends no requests.

Differences are warnings only: the API computes these figures apart from its lists and does not define what they count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from debitura_pipeline.contract.stages import EARNINGS
from debitura_pipeline.extract.comparison import stated_precision
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.reconcile.control_totals import RunQuery, compare_one


class _ClientRow(NamedTuple):
    """A live client: the figures of its own record, then ours under the names of the query's columns; one sum for each of
    `EARNINGS` follows."""

    creditor_id: str
    cases_total: int | None
    cases_closed: int | None
    earnings_usd: Decimal | None
    cases: int
    cases_when_read: int
    closed: int
    merged: int
    payments: int


def compare_client_totals(rows: RunQuery) -> list[ControlTotal]:
    """Return three totals per live client: cases, closed cases and earnings. `rows` runs a query on the warehouse."""
    size = len(_ClientRow._fields)
    clients = [(_ClientRow._make(row[:size]), row[size:]) for row in rows(_CLIENTS)]
    precision = stated_precision(client.earnings_usd for client, _ in clients)
    return [total for client, fees in clients for total in _compare(client, fees, precision)]


def _compare(client: _ClientRow, sums: Sequence[Decimal], precision: Decimal) -> Iterator[ControlTotal]:
    scope = client.creditor_id
    cases = [("all cases", client.cases), ("cases known when the client was read", client.cases_when_read)]
    closed = [("Closed", client.closed), ("Closed and Merged", client.closed + client.merged)]
    fees = [(meaning.name, value) for meaning, value in zip(EARNINGS, sums, strict=True)]
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
        SELECT creditor_id, count(*) AS payments, {", ".join(f"sum({m.sql}) AS earned_{i}" for i, m in enumerate(EARNINGS))}
        FROM raw.transactions
        WHERE _deleted_at IS NULL
        GROUP BY creditor_id
    ), compared AS (
        SELECT clients.creditor_id, cases_total, cases_closed, earnings_usd,
            coalesce(client_cases.cases, 0) AS cases, coalesce(cases_when_read, 0) AS cases_when_read,
            coalesce(closed, 0) AS closed, coalesce(merged, 0) AS merged, coalesce(payments, 0) AS payments,
            {", ".join(f"coalesce(earned_{i}, 0) AS earned_{i}" for i in range(len(EARNINGS)))}
        FROM raw.clients
        LEFT JOIN client_cases ON client_cases.creditor_id = clients.creditor_id
        LEFT JOIN client_fees ON client_fees.creditor_id = clients.creditor_id
        WHERE clients._deleted_at IS NULL
    )
    SELECT {", ".join([*_ClientRow._fields, *(f"earned_{i}" for i in range(len(EARNINGS)))])}
    FROM compared ORDER BY creditor_id"""
