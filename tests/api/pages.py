"""Page bodies for the tests, small and in the API's spelling."""

from __future__ import annotations

import json
from typing import Any

STAGES = (
    "pending",
    "confirmedPendingInvoice",
    "awaitingCollectionPartnerPayment",
    "readyToInvoiceDebitura",
    "awaitingDebituraPayment",
    "paid",
    "disputed",
)


def page_of(rows_key: str, rows: list[Any] | None, *, total: int | None = None, **more: Any) -> dict[str, Any]:
    held = len(rows or [])
    paging = {
        "totalResults": held if total is None else total,
        "pageSize": 100,
        "currentPage": 1,
        "responseCount": held,
        "totalPages": 1,
    }
    return {rows_key: rows, "page": paging, **more}


def revenue(count: int = 3, usd: str = "12.50") -> str:
    """The summary of transactions as JSON text, so that a test decides how its numbers are written."""
    parts = ",".join(f'"{stage}ReferralFeeUsd":{usd},"{stage}Count":{count}' for stage in STAGES)
    return f'{{"revenue":{{{parts}}},"totalDebituraRevenueUsd":{usd}}}'


def transactions(rows: list[Any], summary: str) -> bytes:
    text = json.dumps(page_of("data", rows))
    return f'{text[:-1]},"summary":{summary}}}'.encode()
