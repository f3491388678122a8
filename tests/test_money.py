"""Amounts are exact decimals from the wire to the report: whatever digits come, the sums are those of paper and pencil."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from debitura_pipeline.settings import Endpoint, Secret, load_settings
from debitura_pipeline.sync import sync
from tests.dbt.worlds import World
from tests.support.listing_server import number, serving
from tests.support.prepared import lay_warehouse

CREDITORS = [str(UUID(int=number)) for number in range(1, 6)]
CURRENCIES = ("EUR", "DKK", "USD")
STATUSES = {
    "Pending": ("Unpaid", "NotInvoiced", None),
    "ReadyToInvoiceDebitura": ("Paid", "PaymentReceived", "Pending"),
    "AwaitingDebituraPayment": ("Paid", "PaymentReceived", "Invoiced"),
    "Paid": ("Paid", "PaymentReceived", "Paid"),
}
AMOUNTS = ("payment", "revenue", "revenue_usd", "fee", "fee_usd", "recognized_usd")
AWKWARD = [
    "0.005", "0.00005", "0.00015", "0.00025", "1E-05", "5e-5", "1.5E+3", "-0.0", "0", "100.000000000", "0.1", "0.2",
    "0.30000000000000004", "1.10", "-12.345", "2.675", "1.00005", "99999.99995", "12345678901234.5678",
    "-12345678901234.5678", "9007199254740993", "4503599627370497.5",
]  # fmt: skip


def landed(text: str) -> Decimal:
    """What the wire's text is worth in DECIMAL(18,4)."""
    return Decimal(text).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)


digits = st.integers(-(10**12), 10**12)
texts = st.one_of(
    st.sampled_from([text for text in AWKWARD if abs(Decimal(text)) < 10**14]),
    st.builds(lambda whole, places: str(Decimal(whole).scaleb(-places)), digits, st.integers(0, 8)),
    st.builds(lambda whole, zeros: f"{whole}.{'0' * zeros}", digits, st.integers(1, 6)),
    st.builds(lambda whole, power: f"{whole}E{power}", st.integers(-999, 999), st.integers(-7, 8)),
)


@dataclass(frozen=True)
class Payment:
    """One transaction as the test knows it: place in the reports, and the texts of its amounts."""

    creditor: str
    stage: str
    currency: str
    month: int
    amounts: dict[str, str]

    def on_the_wire(self, serial: int) -> dict[str, Any]:
        commission, platform, referral = STATUSES[self.stage]
        tenant = f"tenant-{CREDITORS.index(self.creditor)}"
        client = {"externalTenantId": tenant, "creditorId": self.creditor, "companyName": tenant.title()}
        amount = {name: number(text) for name, text in self.amounts.items()}
        date = f"2026-{self.month:02d}-11T08:00:{serial % 60:02d}Z"
        return {
            "transactionId": str(UUID(int=10_000 + serial)),
            "date": date,
            "client": client,
            "case": {
                "invoiceId": str(UUID(int=7_000 + serial % 9)), "caseReference": f"R{serial % 9}", "debtorName": "Nobody Else",
                "originalAmount": number("1000.50"), "currency": self.currency,
            },
            "payment": {"amount": amount["payment"], "currency": self.currency, "paymentDate": date},
            "earnings": {
                "currency": self.currency, "debituraRevenue": amount["revenue"], "debituraRevenueUsd": amount["revenue_usd"],
                "referralFeePercentage": number("12.50"), "referralFeeAmount": amount["fee"],
                "referralFeeAmountUsd": amount["fee_usd"], "isEstimate": commission != "Paid",
            },
            "recognition": {
                "isRecognized": platform == "PaymentReceived", "referralFeeRecognizedUsd": amount["recognized_usd"],
            },
            "status": {
                "commissionPaymentStatus": commission, "platformInvoicingStatus": platform,
                "referralInvoicingStatus": referral,
            },
        }  # fmt: skip


def total(values: list[Decimal]) -> Decimal:
    return sum(values, Decimal("0.0000"))


def load(folder: Path, payments: list[Payment]) -> Path:
    """Sync these payments into a warehouse; its path. The API's totals are given as exact sums."""
    revenue: dict[str, Any] = {}
    for stage in STATUSES:
        fees = [landed(one.amounts["fee_usd"]) for one in payments if one.stage == stage]
        name = stage[:1].lower() + stage[1:]
        revenue |= {f"{name}ReferralFeeUsd": number(str(total(fees))), f"{name}Count": len(fees)}
    all_usd = total([landed(one.amounts["revenue_usd"]) for one in payments])
    rows = {"/clients": [], "/cases": [], "/reporting/transactions": [p.on_the_wire(n) for n, p in enumerate(payments)]}
    sums = {"/reporting/transactions": {"revenue": revenue, "totalDebituraRevenueUsd": number(str(all_usd))}}
    with serving(rows, sums) as url:
        env = {"DEBITURA_API_URL": url, "DEBITURA_API_KEY": "any", "DEBITURA_DATA_DIR": str(folder)}
        chosen = load_settings(env)
        lay_warehouse(chosen)
        reports = sync(chosen, Endpoint(url, Secret("any"), None, is_simulated=True))
    assert [total for total in reports[2].control_totals if total.verdict == "differs" and total.scope == "all"] == []
    return folder / "warehouse.duckdb"


COLUMNS = "payment_amount, debitura_revenue, debitura_revenue_usd, referral_fee, referral_fee_usd, referral_fee_recognized_usd"


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(amounts=st.lists(st.fixed_dictionaries(dict.fromkeys(AMOUNTS, texts)), min_size=1, max_size=130))
def test_every_amount_lands_as_its_digits_say(
    tmp_path_factory: pytest.TempPathFactory, amounts: list[dict[str, str]]
) -> None:
    payments = [Payment(CREDITORS[0], "Paid", "EUR", 1, texts) for texts in amounts]
    warehouse = load(tmp_path_factory.mktemp("money") / "data", payments)
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute(f"SELECT {COLUMNS} FROM raw.transactions ORDER BY transaction_id").fetchall()
    assert found == [tuple(landed(one[name]) for name in AMOUNTS) for one in amounts]


def random_text(chance: random.Random) -> str:
    if chance.random() < 0.1:
        return chance.choice([text for text in AWKWARD if abs(Decimal(text)) < 10**13])
    value = Decimal(chance.randint(-(10**9), 10**10)).scaleb(-chance.choice([0, 1, 2, 2, 2, 3, 4, 5, 7]))
    return f"{value:E}" if chance.random() < 0.1 else str(value) + ("00" if "." in str(value) else "")


def test_the_reports_add_up_to_the_last_digit(tmp_path: Path) -> None:
    """A thousand payments with random digits, through merge and dbt, against sums of decimals."""
    chance = random.Random(4_711)
    payments = [
        Payment(
            chance.choice(CREDITORS), chance.choice(list(STATUSES)), chance.choice(CURRENCIES), chance.randint(1, 6),
            {name: random_text(chance) for name in AMOUNTS},
        )
        for _ in range(1_000)
    ]  # fmt: skip
    warehouse = load(tmp_path / "data", payments)
    world = World.__new__(World)
    world.path = warehouse
    world.build("--exclude", "test_type:unit", command="run")
    by_client: dict[tuple[str, int, str, str], list[Payment]] = defaultdict(list)
    by_stage: dict[str, list[Decimal]] = defaultdict(list)
    for one in payments:
        by_client[one.creditor, one.month, one.stage, one.currency].append(one)
        by_stage[one.stage].append(landed(one.amounts["fee_usd"]))
    found = world.rows(
        "SELECT creditor_id, extract(month FROM month), revenue_stage, currency, transaction_count, referral_fee, "
        "referral_fee_usd FROM reports.revenue_by_client"
    )
    assert {tuple(row[:4]): tuple(row[4:]) for row in found} == {
        place: (
            len(group),
            total([landed(one.amounts["fee"]) for one in group]),
            total([landed(one.amounts["fee_usd"]) for one in group]),
        )
        for place, group in by_client.items()
    }
    stages = "SELECT revenue_stage, sum(referral_fee_usd) FROM reports.revenue_pipeline GROUP BY revenue_stage"
    assert dict(world.rows(stages)) == {stage: total(fees) for stage, fees in by_stage.items() if stage != "Paid"}
    recovered = world.rows("SELECT sum(payment_amount), sum(debitura_revenue) FROM marts.fct_transactions")
    assert recovered == [tuple(total([landed(p.amounts[name]) for p in payments]) for name in ("payment", "revenue"))]
