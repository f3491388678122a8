"""A hundred planted gaps of every kind among clean rows, and rows that look like gaps: the report names each, with its worth.

Every payment is in EUR and bears a fee of 3 % (Debitura's revenue 6 %, the rate 50 %); a euro is 1.10 USD. So an amount of
100 EUR that is missing is worth 3.30 USD.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.worlds import World, at_stage, night

AS_OF = 25  # nights after the first load: 26 March
USD_A_EURO = Decimal("0.033")
PAID_DAYS = 5  # business days in which Debitura pays here, so that its dates are over by then
Figures = tuple[Decimal, Decimal]  # at stake and paid, USD

OLD: dict[str, Any] = {"occurred_at": datetime(2025, 10, 1, tzinfo=UTC)}
CLOSED: dict[str, Any] = {"lifecycle": "Closed", "close_code": "Paid", "finished_at": datetime(2026, 2, 20, tzinfo=UTC)}


class Planter:
    """Clients, cases and payments with the sums that the report is to show."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"clients": {}, "cases": {}, "transactions": {}}
        self.planted: dict[str, Figures] = {}

    def client(self, name: str, **values: Any) -> None:
        self.rows["clients"][name] = {"external_tenant_id": name, "company_name": name, **values}

    def case(self, name: str, client: str, recovered: str | int = 100, **values: Any) -> None:
        self.rows["cases"][name] = {
            "creditor_id": client, "remainder": Decimal(1000) - Decimal(recovered), "expected_referral_rate_pct": "50", **values
        }  # fmt: skip

    def pay(self, name: str, client: str, case: str, stage: str = "Paid", seen: int = 0, **values: Any) -> None:
        """A payment of 100 EUR: fee 3.00 EUR, 3.30 USD."""
        self.rows["transactions"][name] = {
            "creditor_id": client, "case_id": case, "payment_amount": "100", "debitura_revenue": "6",
            "debitura_revenue_usd": "6.6", "referral_fee": "3", "seen": seen, **at_stage(stage, "3.3"), **values,
        }  # fmt: skip

    def paid_case(self, name: str, client: str, recovered: str | int = 100, stage: str = "Paid", **values: Any) -> None:
        self.case(name, client, recovered)
        self.pay(f"t-{name}", client, name, stage, **values)

    def plant(self, finding: str, subject: str, at_stake: str | Decimal, paid: str | Decimal = "0") -> None:
        self.planted[f"{finding} {subject}"] = (Decimal(at_stake), Decimal(paid))

    def write(self) -> None:
        for resource, rows in self.rows.items():
            self.world.add_many(resource, rows, last=AS_OF)


def money_on_cases(planter: Planter) -> None:
    """Closed as paid without a transaction, more recovered than paid, open cases of archived clients."""
    planter.client("acme")
    for number in range(30):
        planter.paid_case(f"clean-{number}", "acme")
    for number in range(20):
        recovered = 100 + 10 * number
        planter.case(f"untold-{number}", "acme", recovered, **CLOSED)
        planter.plant("closed_paid_without_transaction", f"untold-{number}", recovered * USD_A_EURO)
        more = 10 + 5 * number
        planter.paid_case(f"more-{number}", "acme", 100 + more)
        planter.plant("recovered_more_than_paid", f"more-{number}", more * USD_A_EURO)
    for number in range(4):
        client = f"gone-{number}"
        planter.client(client, gone=10)
        planter.paid_case(f"{client}-before", client)
        planter.rows["cases"][f"{client}-before"] |= CLOSED
        planter.case(f"{client}-open", client, 1000 - 200 - number)
        planter.plant("archived_client_open_cases", client, (200 + number) * USD_A_EURO)


def payments_of_strangers(planter: Planter) -> None:
    """Payments of unknown cases and clients, and from before the link; each third is paid out already."""
    planter.client("late", linked_at=datetime(2026, 2, 1, tzinfo=UTC))
    for number in range(10):
        stage, at_stake, paid = ("Paid", "0", "3.3") if number % 3 == 0 else ("Pending", "3.3", "0")
        planter.pay(f"stray-{number}", "acme", f"nowhere-{number}", stage)
        planter.plant("transaction_of_unknown_case", f"stray-{number}", at_stake, paid)
        ghost = f"ghost-{number}"
        planter.case(f"{ghost}-case", ghost, 200)
        for part in ("Paid", "Pending"):
            planter.pay(f"{ghost}-{part}", ghost, f"{ghost}-case", part)
        planter.plant("transaction_of_unknown_client", ghost, "3.3", "3.3")
        planter.paid_case(f"early-{number}", "late", stage=stage, occurred_at=datetime(2026, 1, 20, tzinfo=UTC))
        planter.plant("transaction_before_link", f"t-early-{number}", at_stake, paid)


def fees_that_are_wrong(planter: Planter) -> None:
    """Rates ten points too low and too high, which is a tenth of 6.60 USD, and fees of 0."""
    planter.client("rates")
    for number in range(10):
        planter.paid_case(f"rate-{number}", "rates")
        planter.rows["cases"][f"rate-{number}"]["expected_referral_rate_pct"] = "60" if number % 2 else "40"
        planter.plant("fee_rate_differs", f"t-rate-{number}", *(("0.66", "0") if number % 2 else ("0", "0.66")))
        planter.paid_case(f"zero-{number}", "rates")
        planter.rows["transactions"][f"t-zero-{number}"] |= {"referral_fee": "0", **at_stage("Paid", "0")}
        planter.plant("zero_fee", f"t-zero-{number}", "3.3")


def dates_that_passed(planter: Planter) -> None:
    """Debitura's payments due on 9 to 12 March, invoices due on the 8th, and a stage of which only the age is known."""
    for number in range(1, 5):
        for part in range(number):
            planter.paid_case(f"due-{number}-{part}", "acme", stage="AwaitingDebituraPayment", seen=number)
        planter.plant("stage_overdue", f"AwaitingDebituraPayment 2026-03-{8 + number:02}", number * Decimal("3.3"))
    planter.paid_case("uninvoiced", "acme", stage="ConfirmedPendingInvoice", seen=1)
    planter.plant("stage_overdue", "ConfirmedPendingInvoice 2026-03-08", "3.3")
    planter.paid_case("standing", "acme", stage="AwaitingCollectionPartnerPayment", **OLD)
    planter.plant("stage_may_be_overdue", "AwaitingCollectionPartnerPayment", "3.3")


def what_only_looks_wrong(planter: Planter) -> None:
    """Nothing of this is a finding."""
    planter.client("linked-only", is_attributed=False)
    planter.paid_case("linked-more", "linked-only", 400)
    planter.case("linked-untold", "linked-only", 400, **CLOSED)
    planter.paid_case("rounded", "acme", "100.90")
    planter.paid_case("in-dollars", "acme", 400, payment_currency="USD", earnings_currency="USD", debitura_revenue_usd="6",
                      referral_fee_usd="3")  # fmt: skip
    planter.case("merged", "acme", 300, lifecycle="Merged")
    planter.case("never-started", "acme", 300, **CLOSED | {"close_code": "Case never started"})
    planter.case("shares-nothing", "acme", 300, **CLOSED, **{"expected_referral_rate_pct": "0"})
    planter.case("older-than-link", "late", 300, **CLOSED)
    planter.pay(
        "worth-nothing", "rates", "nowhere", "Pending", referral_fee="0", referral_fee_pct="0", referral_fee_usd="0"
    )
    planter.paid_case("yesterday", "acme", stage="AwaitingDebituraPayment", seen=17)
    planter.paid_case("waiting", "acme", stage="AwaitingCollectionPartnerPayment")
    planter.paid_case("ready-for-long", "acme", stage="ReadyToInvoiceDebitura", **OLD)


@pytest.fixture(scope="module")
def planter(tmp_path_factory: pytest.TempPathFactory) -> Planter:
    world = World(tmp_path_factory.mktemp("gaps") / "warehouse.duckdb")
    world.sync(night(0))
    world.sync(night(AS_OF))
    world.mode((0, "PayWhenPaid"))
    planter = Planter(world)
    for plant in (money_on_cases, payments_of_strangers, fees_that_are_wrong, dates_that_passed, what_only_looks_wrong):
        plant(planter)
    planter.write()
    world.build(
        "--select", "+attribution_gaps", command="run", variables={"debitura_terms_business_days": PAID_DAYS}
    )  # fmt: skip
    return planter


def test_every_planted_gap_is_found_with_its_worth_and_nothing_else(planter: Planter) -> None:
    found = planter.world.rows("SELECT finding_id, usd_at_stake, paid_usd FROM reports.attribution_gaps")
    assert len(planter.planted) == 100
    assert {name: (at_stake, paid) for name, at_stake, paid in found} == planter.planted


def test_largest_stake_comes_first_and_what_is_all_paid_last(planter: Planter) -> None:
    ranked = planter.world.rows("SELECT usd_at_stake FROM reports.attribution_gaps ORDER BY priority")
    stakes = [stake for (stake,) in ranked]
    assert stakes == sorted(stakes, reverse=True)
    assert all(stake >= Decimal("0.005") for stake in stakes[: len(stakes) - stakes.count(Decimal(0))])
