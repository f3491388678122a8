"""Report tables filled by hand: two years and a half of a made-up partner, from one seed (`maker.py` makes them empty)."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tests.report.maker import TableMaker
from tests.report.tables_to_come import (
    fill_calendar,
    fill_changes,
    fill_client,
    fill_forecast,
    fill_funnel,
    fill_invoice,
    fill_summary,
    fill_vintages,
    fill_waterfall,
)

NOW = datetime(2026, 3, 9, 2, 14, tzinfo=UTC)
EXPECTED = [
    "Paid",
    "AwaitingDebituraPayment",
    "ReadyToInvoiceDebitura",
    "AwaitingCollectionPartnerPayment",
    "ConfirmedPendingInvoice",
    "Pending",
]
FEE = dict(
    zip(
        EXPECTED,
        [
            "paid",
            "awaiting_debitura_payment",
            "ready_to_invoice_debitura",
            "awaiting_collection_partner_payment",
            "confirmed_pending_invoice",
            "pending",
        ],
        strict=True,
    )
)
CLIENT = 1  # the one with cases and transactions of its own
RESOURCES = ("clients", "cases", "transactions")
AGES = ["000-030", "031-060", "061-090", "091-180", "181-365", "366+"]
HOSTILE = 'Ødegård & Søn <script>alert("x")</script> "ApS"'


def money(dice: random.Random, most: int = 900) -> Decimal:
    return Decimal(dice.randrange(1, most * 10_000)).scaleb(-4)


def fill(maker: TableMaker, *, seed: int = 7, months: int = 30, clients: int = 14, is_whole: bool = True) -> None:
    """A believable partner: every report has rows, amounts have four decimals, one client's name is hostile.

    `is_whole`: with what is to come and what moved, whose charts take most of a page's time."""
    dice = random.Random(seed)
    maker.connection.begin()
    _readings(maker)
    names = [
        HOSTILE,
        "Nordlys Tømrer og Entreprenørvirksomhed Aktieselskab af 1897",
        *(f"Klient {n} A/S" for n in range(3, clients + 1)),
    ]
    fees = _revenue(maker, dice, names, months)
    _clients(maker, dice, names, fees)
    _pipeline(maker, dice)
    _cases(maker, dice)
    _rates(maker)
    _findings(maker, dice, names)
    _controls(maker, dice, names, fees)
    if is_whole:
        _fill_the_rest(maker, dice, names, fees)
    maker.connection.commit()


def _fill_the_rest(
    maker: TableMaker, dice: random.Random, names: list[str], fees: dict[tuple[int, str], Decimal]
) -> None:
    sums = {
        stage: sum((usd for (_, name), usd in fees.items() if name == stage), Decimal(0))
        for stage in (*EXPECTED, "Disputed")
    }
    fill_calendar(maker, sums, NOW.date())
    fill_invoice(maker, sums["ReadyToInvoiceDebitura"], names, NOW.date())
    fill_waterfall(maker, dice, sums, NOW.date())
    fill_changes(maker, dice, names, NOW)
    fill_summary(maker, dice, NOW.date())
    fill_forecast(maker, NOW.date())
    fill_vintages(maker, NOW.date())
    fill_funnel(maker, names)
    own = {stage: usd for (number, stage), usd in fees.items() if number == CLIENT}
    fill_client(maker, own, CLIENT, NOW)


def _readings(maker: TableMaker) -> None:
    for minute, resource in (
        (number - 1440 * night, name) for night in (1, 0) for number, name in enumerate(RESOURCES)
    ):
        started = NOW - timedelta(minutes=10 - minute)
        maker.insert(
            "ops.syncs",
            sync_id=f"s-{resource}-{started:%d}",
            resource=resource,
            mode="full",
            status="done",
            started_at=started,
            finished_at=started,
            is_proven=True,
        )
    maker.insert("raw.partner_history", invoicing_trigger_mode="PayWhenPaid", _valid_from=NOW)
    for number in range(3):
        maker.insert("raw.cases", case_id=f"case-{number}", debtor_name="Gert Skyldner", debtor_key="0a1b")


def _month(months_ago: int) -> date:
    index = NOW.year * 12 + NOW.month - 1 - months_ago
    return date(index // 12, index % 12 + 1, 1)


def _revenue(maker: TableMaker, dice: random.Random, names: list[str], months: int) -> dict[tuple[int, str], Decimal]:
    fees: dict[tuple[int, str], Decimal] = {}
    for ago in range(months):
        for number, name in enumerate(names):
            for stage in (*EXPECTED, "Disputed"):
                age = ago / max(months, 1)
                chance = {"Paid": age * 1.3, "Pending": 0.7 - age * 2, "Disputed": 0.02}.get(stage, 0.35 - age)
                if dice.random() < chance / (1 + number / 4):
                    usd = money(dice, 1900 // (number + 2) + 40)
                    fees[number, stage] = fees.get((number, stage), Decimal(0)) + usd
                    maker.insert(
                        "reports.revenue_by_client",
                        creditor_id=f"{number:08d}-0000",
                        company_name=name,
                        month=_month(ago),
                        month_label=f"{_month(ago):%Y-%m}",
                        revenue_stage=stage,
                        currency="EUR",
                        transaction_count=dice.randrange(1, 9),
                        referral_fee=usd,
                        referral_fee_usd=usd,
                        of_which_estimate_usd=usd if stage == "Pending" else Decimal(0),
                        clawback_risk_usd=usd / 2 if stage == "Paid" and ago % 11 == 0 else Decimal(0),
                    )
        for basis in ("collected", "recognized", "invoiced", "paid"):
            maker.insert(
                "reports.revenue_by_month",
                basis=basis,
                month=_month(ago),
                month_label=f"{_month(ago):%Y-%m}",
                currency="EUR",
                transaction_count=4,
                referral_fee_usd=money(dice, 4000),
            )
    maker.insert(
        "reports.revenue_by_month",
        basis="paid",
        month_label="unknown",
        currency="EUR",
        transaction_count=1,
        referral_fee_usd=money(dice),
    )
    return fees


def _clients(maker: TableMaker, dice: random.Random, names: list[str], fees: dict[tuple[int, str], Decimal]) -> None:
    everything = sum((usd for (_, stage), usd in fees.items() if stage != "Disputed"), Decimal(0))
    for number, name in enumerate(names):
        own = {stage: fees.get((number, stage), Decimal(0)) for stage in (*EXPECTED, "Disputed")}
        expected = sum((own[stage] for stage in EXPECTED), Decimal(0))
        cases = dice.randrange(20, 400)
        maker.insert(
            "reports.attribution_by_client",
            creditor_id=f"{number:08d}-0000",
            company_name=name,
            external_tenant_id=f"tenant-{number}",
            attribution="attributed" if number % 4 else "linked",
            rate_min_pct=40,
            rate_weighted_pct=Decimal("47.5"),
            rate_max_pct=50,
            transactions_total=12,
            cases_total=cases,
            cases_open=cases // 5,
            fee_total_usd=expected,
            fee_disputed_usd=own["Disputed"],
            share_of_fees=expected / everything,
            linked_at=NOW - timedelta(days=200 + number * 31),
            last_fee_at=NOW - timedelta(days=number * 3),
            **{f"fee_{FEE[stage]}_usd": own[stage] for stage in EXPECTED},
        )


def _pipeline(maker: TableMaker, dice: random.Random) -> None:
    steps = {
        "Pending": "Collection partner confirms the commission",
        "ConfirmedPendingInvoice": "Debitura invoices on the 8th",
        "AwaitingCollectionPartnerPayment": "Collection partner pays within 30 days",
        "ReadyToInvoiceDebitura": "Invoice Debitura",
        "AwaitingDebituraPayment": "Debitura pays within 20 business days",
        "Disputed": "Settle the dispute",
    }
    for order, (stage, step) in enumerate(steps.items(), start=1):
        for number, age in enumerate(AGES):
            usd = money(dice, 3000 // (number + 1))
            maker.insert(
                "reports.revenue_pipeline",
                revenue_stage=stage,
                stage_order=order,
                age_bucket=age,
                currency="EUR",
                transaction_count=dice.randrange(1, 40),
                referral_fee_usd=usd,
                of_which_estimate_usd=Decimal(0),
                is_expected_income=stage != "Disputed",
                oldest_age_days=20 + number * 60,
                next_step=step,
                next_due_on=date(2026, 3, 8 + order),
                overdue_count=number % 2,
                overdue_usd=usd if number % 2 else Decimal(0),
            )


def _cases(maker: TableMaker, dice: random.Random) -> None:
    for outcome, most in {
        "open": 900,
        "recovered": 1500,
        "uncollectable": 400,
        "exhausted": 300,
        "client_decision": 200,
        "rejected": 120,
        "system": 60,
        "other": 40,
        "merged": 15,
    }.items():
        for phase in ("Pre-legal", "Legal", "Enforcement", "none"):
            for country, currency in (("DK", "DKK"), ("DE", "EUR"), ("GB", "GBP")):
                gross = money(dice, most * 400)
                maker.insert(
                    "reports.case_outcomes",
                    debtor_country=country,
                    engagement_phase=phase,
                    outcome=outcome,
                    currency=currency,
                    cases=dice.randrange(1, most if phase == "Pre-legal" else most // 6 + 2),
                    gross_amount=gross,
                    remainder=gross / 2,
                    recovered_amount=gross / 2,
                )


def _rates(maker: TableMaker) -> None:
    for currency, cases in (("all", 7240), ("EUR", 3000), ("DKK", 2240), ("GBP", 2000)):
        amounts = {} if currency == "all" else {
            "gross_of_ended": 4000 * cases, "recovered_of_ended": 1816 * cases,
            "recovered_share_of_gross_of_ended": Decimal("0.454"),
            "gross_of_ended_and_open": 6000 * cases, "recovered_of_ended_and_open": 2000 * cases,
        }  # fmt: skip
        maker.insert(
            "reports.recovery_rates", debtor_country="all", currency=currency, cases=cases, cases_open=cases // 5,
            cases_merged=cases // 50,
            cases_never_started=cases // 20, cases_ended=cases // 2, cases_recovered=cases // 3,
            recovered_share_of_cases_ended=Decimal("0.569"), **amounts,
        )  # fmt: skip


def _findings(maker: TableMaker, dice: random.Random, names: list[str]) -> None:
    kinds = [
        (
            "closed_paid_without_transaction",
            "Closed as Paid on 3 Dec 2025, no transaction since.",
            "Ask Debitura for the payment of this case.",
        ),
        ("stage_overdue", "In stage Ready to invoice for 74 days; due 8 Jan 2026.", "Send the invoice."),
        (
            "fee_rate_differs",
            "Fee 30 % of Debitura's revenue, the case promises 50 %.",
            "Ask Debitura to correct the rate.",
        ),
        ("zero_fee", "Fee 0 at a rate of 50 %.", "Ask whether the payment is eligible."),
        ("archived_client_open_cases", "12 cases are open.", "Ask what becomes of them."),
    ]
    for number in range(24):
        kind, detail, advice = kinds[number % len(kinds)]
        usd = None if number % 7 == 6 else Decimal(2000 - number * 70) + money(dice, 2)
        maker.insert(
            "reports.attribution_gaps",
            finding_id=f"{kind}:{number}",
            priority=number + 1,
            finding=kind,
            usd_at_stake=usd,
            age_days=20 + number * 9,
            company_name=names[number % len(names)],
            creditor_id=f"{number % len(names):08d}-0000",
            case_id=f"case-{number % 3}",
            row_count=1,
            rests_on=f"case-{number % 3}",
            detail=detail,
            what_to_do=advice,
        )
    for number in range(3):
        maker.insert(
            "marts.fct_cases", case_id=f"case-{number}", reference=f"K7TRW2Q{number}", debtor_name="Gert Skyldner"
        )


def _controls(maker: TableMaker, dice: random.Random, names: list[str], fees: dict[tuple[int, str], Decimal]) -> None:
    for stage in (*EXPECTED, "Disputed"):
        usd = sum((part for (_, name), part in fees.items() if name == stage), Decimal(0))
        drift = Decimal("12.3400") if stage == "Pending" else Decimal(0)
        maker.insert(
            "reports.payout_reconciliation",
            scope="all",
            resource="transactions",
            stage=stage,
            api_count=120,
            warehouse_count=120,
            count_difference=0,
            api_usd=usd - drift,
            warehouse_usd=usd,
            usd_difference=drift,
            verdict="unproven" if drift else "equal",
            checked_at=NOW,
        )
    for resource, group in (("cases", "total"), ("cases", "active"), ("clients", "total"), ("clients", "attributed")):
        maker.insert(
            "reports.payout_reconciliation",
            scope="all",
            resource=resource,
            stage=group,
            api_count=40,
            warehouse_count=40,
            count_difference=0,
            verdict="equal",
            checked_at=NOW,
        )
    for name in names:
        maker.insert(
            "reports.payout_reconciliation",
            scope="client",
            resource="transactions",
            stage="earnings",
            creditor_id=name,
            company_name=name,
            api_usd=1,
            warehouse_usd=1,
            usd_difference=0,
            verdict="equal",
            checked_at=NOW,
        )
    for check, area, verdict, figure, unit in (
        ("windows_proven", "completeness", "ok", 0, "windows"),
        ("rows_in_quarantine", "contract", "warn", 3, "rows"),
        ("new_enum_values", "contract", "ok", 0, "values"),
        ("hours_since_reading", "freshness", "ok", 4, "hours"),
        ("unclassified_transactions", "consistency", "ok", 0, "transactions"),
    ):
        maker.insert(
            "reports.data_quality",
            check_name=check,
            area=area,
            verdict=verdict,
            figure=Decimal(figure),
            unit=unit,
            since=NOW if verdict == "warn" else None,
            meaning=f"What {check.replace('_', ' ')} says.",
            what_to_do="Look into ops.quarantine and tell Debitura.",
        )
