"""Four nights of a small partner, merged as syncs merge them: every stage, a dispute, a claw-back, an edit, a deletion, a move of
an exchange rate, three currencies, a zero share, a part payment that is missing, and a payment in another currency.

The nights are 2, 9 and 31 March and 1 April 2026 at 02:00 UTC. A euro is 1.10 USD, a krone 0.15 USD; on 31 March the estimate of
t1 is read at 1.20. Every rate is 50 %, so that a fee is half of Debitura's revenue.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import Judgement, RunQuery
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.dbt.worlds import at_stage
from tests.warehouse.landings import Landings

NIGHTS = [datetime(2026, month, day, 2, tzinfo=UTC) for month, day in ((3, 2), (3, 9), (3, 31), (4, 1))]
Row = dict[str, Any]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clients() -> list[Row]:
    """Berg is linked, so no case of its own is known to earn. `earnings_usd` is what the API calls earned: recognized fees."""
    return [
        {
            "creditor_id": "client-a", "external_tenant_id": "tenant-a", "company_name": "Acme", "country": "Denmark",
            "is_attributed": True, "onboarding_done": True, "linked_at": _day("2025-01-01"), "cases_total": 3, "cases_closed": 2,
            "earnings_usd": Decimal("32.80"),
        },
        {
            "creditor_id": "client-b", "external_tenant_id": "tenant-b", "company_name": "Berg", "country": "Norway",
            "is_attributed": False, "onboarding_done": True, "linked_at": _day("2025-01-15"), "cases_total": 1, "cases_closed": 0,
            "earnings_usd": Decimal(80),
        },
    ]  # fmt: skip


# Case: client, debtor's country, phase, collection partner, currency, gross, rate expected, created.
CASES = {
    "k1": ("a", "Germany", "Pre-legal", "Nord", "EUR", 1000, 50, "2025-10-01"),
    "k2": ("a", "Denmark", "Legal", "Sol", "DKK", 2000, 50, "2025-09-01"),
    "k3": ("b", "United States", None, None, "USD", 2000, None, "2025-02-01"),
    "k4": ("a", "Germany", "Pre-legal", "Nord", "EUR", 300, 0, "2025-11-01"),
}
# What is left of each case, night by night. k1: 700 are recovered, but its payments are t1, t2 and t13: 100 + 400 + 80 = 580.
REMAINDERS = {
    "k1": (400, 400, 400, 300),
    "k2": (400, 0, 0, 0),
    "k3": (910, 910, 910, 910),
    "k4": (270, 270, 270, 270),
}
CLOSED = {"k2": (1, "Paid", "2026-03-05"), "k4": (0, "Uneconomical to Pursue", "2026-02-15")}


def cases(night: int) -> list[Row]:
    rows = []
    for key, (client, country, phase, partner, currency, gross, rate, created) in CASES.items():
        since, code, finished = CLOSED.get(key, (99, None, None))
        is_closed = night >= since
        rows.append({
            "case_id": key, "reference": key.upper(), "creditor_id": f"client-{client}", "external_tenant_id": f"tenant-{client}",
            "company_name": {"a": "Acme", "b": "Berg"}[client], "debtor_country": country, "engagement_phase": phase,
            "collection_partner": partner, "currency": currency, "gross_amount": Decimal(gross),
            "remainder": Decimal(REMAINDERS[key][night]), "expected_referral_rate_pct": None if rate is None else Decimal(rate),
            "created_at": _day(created), "lifecycle": "Closed" if is_closed else "Active",
            "close_code": code if is_closed else None, "finished_at": _day(finished) if is_closed and finished else None,
        })  # fmt: skip
    return rows


# Transaction: case, collected on, payment and its currency, currency of the fee, fee, USD for one unit.
TRANSACTIONS = {
    "t01": ("k1", "2026-02-10", 100, "EUR", "EUR", 10, "1.10"),
    "t02": ("k1", "2026-02-20", 400, "EUR", "EUR", 20, "1.10"),
    "t03": ("k2", "2026-01-15", 1000, "DKK", "DKK", 100, "0.15"),
    "t04": ("k2", "2026-02-01", 400, "DKK", "DKK", 40, "0.15"),
    "t05": ("k3", "2026-02-05", 300, "USD", "USD", 30, "1"),
    "t06": ("k3", "2025-04-20", 500, "USD", "USD", 50, "1"),
    "t07": ("k1", "2026-02-25", 50, "EUR", "EUR", 5, "1.10"),
    "t08": ("k3", "2026-03-08", 250, "USD", "USD", 25, "1"),
    "t09": ("k4", "2026-03-01", 30, "EUR", "EUR", 0, "1.10"),
    "t10": ("k2", "2026-02-28", 150, "SEK", "DKK", 20, "0.15"),
    "t11": ("k3", "2026-03-31", 40, "USD", "USD", 4, "1"),
    "t12": ("k2", "2025-12-01", 100, "DKK", "DKK", 10, "0.15"),
    "t13": ("k1", "2026-01-10", 80, "EUR", "EUR", 8, "1.10"),
}
PENDING, CONFIRMED, AWAITING = "Pending", "ConfirmedPendingInvoice", "AwaitingCollectionPartnerPayment"
READY, INVOICED, PAID = "ReadyToInvoiceDebitura", "AwaitingDebituraPayment", "Paid"
DISPUTED, UNCLASSIFIED = "Disputed", "Unclassified"
# The stage of each night; None: not listed.
STAGES = {
    "t01": (PENDING, PENDING, PENDING, PENDING),  # 31 March: 12 USD instead of 11
    "t02": (PENDING, CONFIRMED, CONFIRMED, AWAITING),
    "t03": (INVOICED, INVOICED, INVOICED, PAID),
    "t04": (READY, READY, READY, READY),  # 31 March: edited from 40 to 60
    "t05": (INVOICED, DISPUTED, DISPUTED, DISPUTED),
    "t06": (PAID, PAID, PAID, PAID),  # 31 March: the commission is credited, so the fee may be clawed back
    "t07": (PENDING, PENDING, None, None),
    "t08": (None, AWAITING, AWAITING, AWAITING),
    "t09": (READY, READY, READY, READY),
    "t10": (CONFIRMED, CONFIRMED, CONFIRMED, CONFIRMED),
    "t11": (None, None, None, UNCLASSIFIED),
    "t12": (AWAITING, AWAITING, AWAITING, AWAITING),
    "t13": (READY, READY, INVOICED, INVOICED),
}
EDITS: Mapping[str, Row] = {
    "t01": {"referral_fee_usd": Decimal(12), "debitura_revenue_usd": Decimal(24)},
    "t04": {
        "payment_amount": Decimal(600), "referral_fee": Decimal(60), "debitura_revenue": Decimal(120),
        "referral_fee_usd": Decimal(9), "debitura_revenue_usd": Decimal(18), "referral_fee_recognized_usd": Decimal(9),
    },
    "t06": {"commission_status": "Credited", "is_estimate": True},
}  # fmt: skip


def transactions(night: int) -> list[Row]:
    rows = []
    for key, (case, collected, payment, payment_currency, currency, fee, rate) in TRANSACTIONS.items():
        stage = STAGES[key][night]
        if stage is None:
            continue
        usd = fee * Decimal(rate)
        client = CASES[case][0]
        stated = {
            name: Decimal(value) if name.endswith("_usd") else value
            for name, value in at_stage(stage, str(usd)).items()
        }
        rows.append({
            "transaction_id": key, "case_id": case, "case_reference": case.upper(), "creditor_id": f"client-{client}",
            "external_tenant_id": f"tenant-{client}", "company_name": {"a": "Acme", "b": "Berg"}[client],
            "occurred_at": _day(collected), "payment_amount": Decimal(payment), "payment_currency": payment_currency,
            "earnings_currency": currency, "debitura_revenue": Decimal(2 * fee), "debitura_revenue_usd": 2 * usd,
            "referral_fee_pct": Decimal(50 if fee else 0), "referral_fee": Decimal(fee), **stated,
            **(EDITS.get(key, {}) if night >= 2 else {}),
        })  # fmt: skip
    return rows


def totals(resource: str) -> tuple[ControlTotal, ...]:
    """What the API said of the last night. Its Pending was read a moment later, at another rate of exchange."""
    said: dict[str, list[tuple[str, str, str, str, str | int, str | int]]] = {
        "clients": [("rows", "all", "all", "count", 2, 2), ("earnings_usd", "client-a", "all", "usd", "32.80", "32.80"),
                    ("earnings_usd", "client-b", "all", "usd", 80, 80), ("cases_total", "client-a", "all", "count", 3, 3)],
        "cases": [("rows", "all", "all", "count", 4, 4), ("lifecycle", "all", "closed", "count", 2, 2)],
        "transactions": [("rows", "all", "all", "count", 12, 12), ("stage", "all", "Pending", "usd", "12.10", 12),
                         ("stage", "all", "Pending", "count", 1, 1), ("stage", "all", "Paid", "usd", 65, 65),
                         ("stage", "all", "Paid", "count", 2, 2)],
    }  # fmt: skip
    return tuple(
        ControlTotal(
            resource, check, scope, bucket, unit, Decimal(api), Decimal(own),
            "equal" if Decimal(api) == Decimal(own) else "unproven", is_floating=bucket == "Pending",
        )
        for check, scope, bucket, unit, api, own in said[resource]
    )  # fmt: skip


def merge_nights(settings: Settings, folder: Path) -> None:
    """Land and merge all four nights."""
    landings = Landings(folder)
    for number, at in enumerate(NIGHTS):
        rows = {"clients": clients(), "cases": cases(number), "transactions": transactions(number)}
        for resource, found in rows.items():
            landed = landings.land(resource, found, at=at, partner=("PayWhenPaid", Decimal(50)))
            judgement = Judgement(totals(resource) if number == 3 else (), is_proven=True)
            with open_warehouse(settings) as warehouse:
                warehouse.merge(landed, judge=partial(_judge, judgement))


def _judge(judgement: Judgement, _: RunQuery) -> Judgement:
    return judgement
