"""The reports on what is to come and what moved, filled by hand from the fees that `tables.py` has made."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from tests.report.maker import TableMaker

CENT4 = Decimal("0.0001")
PARTNERS = (
    "Inkasso Nord GmbH",
    "Recouvrement & Fils",
    "Kreditorenschutz Verein Hamburg von 1871",
    None,
    "Aurora Collect",
    "Baltic Debt",
)
ORDERS = {
    "Pending": 1, "ConfirmedPendingInvoice": 2, "AwaitingCollectionPartnerPayment": 3, "ReadyToInvoiceDebitura": 4,
    "AwaitingDebituraPayment": 5, "Paid": 6, "Disputed": 7,
}  # fmt: skip
DUE = {
    "Pending": ("unknown", 4, None), "ConfirmedPendingInvoice": ("due", 2, 30),
    "AwaitingCollectionPartnerPayment": ("overdue", 1, -12),
    "ReadyToInvoiceDebitura": ("due", 2, 3), "AwaitingDebituraPayment": ("not_before", 3, 24), "Disputed": ("unknown", 4, None),
}  # fmt: skip
STEPS = {
    "Pending": "Collection partner confirms the commission", "ConfirmedPendingInvoice": "Debitura invoices on the 8th",
    "AwaitingCollectionPartnerPayment": "Collection partner pays within 30 days", "ReadyToInvoiceDebitura": "Invoice Debitura",
    "AwaitingDebituraPayment": "Debitura pays within 20 business days", "Disputed": "Settle the dispute",
}  # fmt: skip


def share_out(total: Decimal, parts: int) -> list[Decimal]:
    """`total` in `parts` unequal amounts that add up to it."""
    cuts = [(total * index * index / (parts * parts)).quantize(CENT4) for index in range(parts + 1)]
    return [after - before for before, after in pairwise([*cuts[:-1], total])]


def _paid_on(stage: str, due_on: date | None) -> date | None:
    return due_on + timedelta(days=30) if due_on and stage == "ConfirmedPendingInvoice" else due_on


def fill_calendar(maker: TableMaker, sums: dict[str, Decimal], now: date) -> None:
    """Money that is not paid, split over payers; the first part of each class is later than the rest."""
    for stage, total in sums.items():
        if stage == "Paid" or not total:
            continue
        due_class, order, days = DUE[stage]
        is_ours = stage in ("ReadyToInvoiceDebitura", "AwaitingDebituraPayment", "Disputed")
        for number, usd in enumerate(share_out(total, 3 if is_ours else len(PARTNERS))):
            due_on = None if days is None else now + timedelta(days=days + 35 * (number % 3) * (1 if days > 0 else -1))
            partner = PARTNERS[number % len(PARTNERS)]
            maker.insert(
                "reports.payment_calendar", due_class=due_class, due_class_order=order, due_on=due_on,
                due_month=due_on and due_on.replace(day=1), payment_due_on=_paid_on(stage, due_on),
                payment_class=due_class, payer="Debitura" if is_ours else partner or "unknown",
                payer_kind="debitura" if is_ours else "collection_partner", revenue_stage=stage, stage_order=ORDERS[stage],
                currency="EUR", is_final=stage not in ("Pending", "Disputed"), is_expected_income=stage != "Disputed",
                transaction_count=number + 2, referral_fee=usd, referral_fee_usd=usd,
                of_which_estimate_usd=usd if stage == "Pending" else 0, days_in_stage_max=9 + number, next_step=STEPS[stage],
            )  # fmt: skip
            if is_ours or stage == "Pending":
                continue
            maker.insert(
                "reports.receivables_by_collection_partner", collection_partner=partner or "unknown", revenue_stage=stage,
                currency="EUR", stage_order=ORDERS[stage], is_expected_income=stage != "Disputed", transaction_count=number + 2,
                case_count=number + 1, client_count=1, referral_fee=usd, referral_fee_usd=usd,
                of_which_estimate_usd=usd if stage == "Pending" else 0, oldest_days_in_stage=9 + 20 * number, next_due_on=due_on,
                overdue_count=number if due_class == "overdue" else 0, overdue_usd=usd if due_class == "overdue" else 0,
                payment_due_on=due_on if due_class in ("overdue", "due") else None,
                payment_overdue_count=number if due_class == "overdue" else 0,
                payment_overdue_usd=usd if due_class == "overdue" else 0,
            )  # fmt: skip


def fill_invoice(maker: TableMaker, total: Decimal, names: list[str], now: date) -> None:
    for number, fee in enumerate(share_out(total, 130)):
        currency, client = ("EUR", "GBP", "DKK")[number % 3], number % min(9, len(names))
        maker.insert(
            "reports.invoice_draft", currency=currency, line_number=number // 3 + 1, creditor_id=f"{client:08d}-0000",
            company_name=names[client], transaction_id=f"t-{number}", case_id=f"case-{number}", case_reference=f"K7TR{number:04d}",
            collected_on=now - timedelta(days=number), referral_fee_pct=50, referral_fee=fee * 7 // 8, referral_fee_usd=fee,
            may_be_clawed_back=number % 40 == 0,
        )  # fmt: skip


def fill_waterfall(maker: TableMaker, dice: random.Random, sums: dict[str, Decimal], now: date) -> None:
    """Five months that close, told backwards from the closing sums."""
    closing = dict(sums)
    for ago in range(5):
        index = now.year * 12 + now.month - 1 - ago
        month = date(index // 12, index % 12 + 1, 1)
        flows = {stage: _thousandth(dice, closing[stage]) for stage in closing}
        chain = [stage for stage in ORDERS if stage in closing and stage != "Disputed"]
        moved_in = {after: flows[before] for before, after in pairwise(chain)}
        for stage, total in closing.items():
            new = flows[stage] * 2 if stage == "Pending" else Decimal(0)
            out = flows[stage] if stage in chain[:-1] else Decimal(0)
            fx = flows[stage] / 10 if stage == "Pending" else Decimal(0)
            edited, gone = -flows[stage] / 50, flows[stage] / 40
            opening = total - new - moved_in.get(stage, Decimal(0)) + out - edited - fx + gone
            maker.insert(
                "reports.stage_waterfall", month=month, revenue_stage=stage, month_label=f"{month:%Y-%m}",
                stage_order=ORDERS[stage],
                is_current_month=ago == 0, opening_usd=opening, appeared_usd=new, moved_in_usd=moved_in.get(stage, Decimal(0)),
                moved_out_usd=out, edited_usd=edited, fx_usd=fx, gone_usd=gone, closing_usd=total, opening_count=9, closing_count=9,
            )  # fmt: skip
            closing[stage] = opening


def _thousandth(dice: random.Random, total: Decimal) -> Decimal:
    """A tenth or so, with no more decimals than a 200th of it can have."""
    return Decimal(int(total) // dice.randrange(8, 14) * 200).scaleb(-2) / 2


def fill_changes(maker: TableMaker, dice: random.Random, names: list[str], moment: object) -> None:
    kinds = (("new", None, "Pending", 40), ("moved", "Pending", "ConfirmedPendingInvoice", 0),
             ("moved", "ReadyToInvoiceDebitura", "AwaitingDebituraPayment", 0), ("edited", "210.0000", "180.5000", -30),
             ("gone", "ConfirmedPendingInvoice", None, -60), ("returned", None, "Pending", 20))  # fmt: skip
    for number in range(60):
        change, before, after, usd = kinds[number % len(kinds)]
        delta = Decimal(usd) + Decimal(dice.randrange(-50000, 50000)).scaleb(-4) if usd else Decimal(0)
        maker.insert(
            "reports.what_changed", subject="transaction", subject_id=f"t-{number}", change=change,
            company_name=names[number % len(names)],
            from_value=before, to_value=after, currency="EUR", delta_amount=delta, delta_usd=delta,
            delta_expected_usd=delta if number % 11 else Decimal(0), is_expected_income=number % 11 != 0, not_before=moment,
            not_after=moment,
        )  # fmt: skip
    for number in range(3):
        maker.insert("reports.what_changed", subject="case", subject_id=f"case-{number}", change="reopened",
                     company_name=names[number % len(names)],
                     from_value="Closed", to_value="Active", not_after=moment)  # fmt: skip


def fill_summary(maker: TableMaker, dice: random.Random, now: date) -> None:
    first = now.replace(day=1)
    last = (first - timedelta(days=1)).replace(day=1)
    spans = {
        "today": (now, now), "yesterday": (now - timedelta(days=1),) * 2, "month_to_date": (first, now),
        "last_month_to_date": (last, last + (now - first)), "last_month": (last, first - timedelta(days=1)),
        "same_month_last_year": (date(now.year - 1, 3, 1), date(now.year - 1, 3, 31)),
        "trailing_12_months": (date(now.year - 1, now.month, now.day + 1), now),
    }  # fmt: skip
    for order, (period, (from_on, to_on)) in enumerate(spans.items(), 1):
        for basis in ("collected", "recognized", "invoiced", "paid"):
            usd = Decimal((to_on - from_on).days + 1) * 61 + Decimal(dice.randrange(10000)).scaleb(-4)
            maker.insert(
                "reports.revenue_summary", period=period, basis=basis, period_order=order, from_on=from_on, to_on=to_on,
                transaction_count=4, referral_fee_usd=usd, of_which_estimate_usd=usd / 8 if basis == "collected" else 0,
                disputed_usd=0, is_complete=basis == "collected" or order < 4,
            )  # fmt: skip


def fill_forecast(maker: TableMaker, now: date) -> None:
    for ahead in range(13):
        index = now.year * 12 + now.month - 1 + ahead
        month = date(index // 12, index % 12 + 1, 1)
        parts = {
            "AwaitingDebituraPayment": 900 - 70 * ahead,
            "Pending": 300 + 40 * ahead,
            "NotYetCollected": 90 * ahead,
        }
        for stage, usd in (*parts.items(), ("Total", sum(parts.values()))):
            source = {"Total": "total", "NotYetCollected": "open_cases"}.get(stage, "pipeline")
            maker.insert(
                "reports.revenue_forecast", month=month, source=source, revenue_stage=stage, horizon_months=ahead,
                expected_usd=max(usd, 0),
                median_usd=max(usd, 0) * Decimal("0.97"), low_usd=max(usd, 0) * Decimal("0.6"),
                high_usd=max(usd, 0) * Decimal("1.5"),
                method="Empirical delays from each stage to Paid", is_reliable=True,
            )  # fmt: skip
        for made in range(1, 7):
            maker.insert(
                "reports.forecast_backtest", made_on=date(2025, made, 28), month=month, horizon_months=ahead, median_usd=1000,
                low_usd=700, high_usd=1400, actual_usd=1100 + 60 * made if ahead < 9 else None, error_usd=-100 - 60 * made,
                is_in_band=made < 6,
            )  # fmt: skip


def fill_vintages(maker: TableMaker, now: date) -> None:
    for currency, size in (("EUR", 400), ("DKK", 300), ("GBP", 100)):
        for ago in range(20):
            index = now.year * 12 + now.month - 1 - ago
            for age in range(20):
                share = Decimal(round(0.5 * (1 - 0.86 ** (age + 1)) * (1 + size / 4000), 6)).quantize(
                    Decimal("0.000001")
                )
                is_past = age < ago
                maker.insert(
                    "reports.recovery_vintage", created_month=date(index // 12, index % 12 + 1, 1), months_since=age,
                    currency=currency,
                    cases=size, gross_amount=size * 1000, recovered_amount=size * 1000 * share if age <= ago else None,
                    recovered_share=share if age <= ago else None, is_complete=is_past, projected_share=share,
                    method="chain ladder",
                )  # fmt: skip


def fill_funnel(maker: TableMaker, names: list[str]) -> None:
    steps = (
        "wanted",
        "registered",
        "signed",
        "access",
        "loaded",
        "first_case",
        "first_payment",
        "first_payment",
        "left",
    )
    for number, name in enumerate([*names, *(f"Neuer Kunde {n}" for n in range(20))]):
        maker.insert(
            "reports.onboarding_funnel", client_key=f"k-{number}", external_tenant_id=f"T-{number}", company_name=name,
            stage=steps[number % len(steps)], days_in_stage=number, is_stuck=number > 14 and number % 9 < 3,
            outstanding="signature of the agreement", claims_submitted=0, claims_waiting=0,
        )  # fmt: skip


def fill_client(maker: TableMaker, fees: dict[str, Decimal], number: int, now: datetime) -> None:
    """The cases and transactions of one client: two payments per stage, which add up to its fees."""
    for place, (stage, usd) in enumerate(fees.items()):
        due_class, _, days = DUE.get(stage, ("unknown", 4, None))
        due_on = None if days is None else now.date() + timedelta(days=days)
        for part, fee in enumerate(share_out(usd, 2)):
            maker.insert(
                "marts.fct_transactions", transaction_id=f"{stage}-{part}", creditor_id=f"{number:08d}-0000", case_id=f"c-{place}",
                case_reference=f"K7TR000{place}", occurred_at=now - timedelta(days=place), payment_amount=1000,
                payment_currency="EUR",
                fee_pct=50, referral_fee=fee / 2, earnings_currency="EUR", referral_fee_usd=fee, revenue_stage=stage,
                is_expected_income=stage != "Disputed", is_final=stage not in ("Pending", "Disputed"), due_class=due_class,
                is_estimate=stage == "Pending", is_clawback_risk=False,
                next_due_on=due_on, payment_due_on=_paid_on(stage, due_on), payment_class=due_class, next_step=STEPS.get(stage),
                debtor_name="Gert Skyldner",
            )  # fmt: skip
        maker.insert(
            "marts.fct_cases", case_id=f"c-{place}", reference=f"K7TR000{place}", creditor_id=f"{number:08d}-0000",
            debtor_country="DE",
            created_at=now - timedelta(days=90 + place), currency="EUR", gross_amount=5000, remainder=3000, recovered_amount=2000,
            lifecycle="Active", outcome="open", is_open=True, fee_total_usd=usd, debtor_name="Gert Skyldner",
        )  # fmt: skip
