"""A small world by hand, built once: every report's figures against sums worked in these comments."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.bi import reconcile
from tests.dbt.worlds import World, at_stage, night

D = Decimal


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three clients: Acme (attributed), Bolt (linked), Cask (archived on night 4). Figures as of night 30, 31 March.

    t-paid      Acme, case-1, EUR: Pending from the first load, Invoiced from night 5, Paid from night 9:    33.00 USD
    t-old       Acme, case-1, EUR: Paid ever since the first load:                                           11.00 USD
    t-pending   Acme, case-1, EUR: an estimate, 2.20 USD
    t-sek       Bolt, case-2, SEK: recognised from night 3, ready to invoice:                                10.00 USD
    t-disputed  Bolt, case-2, EUR: Disputed from night 6:                                                    50.00 USD
    t-credited  Bolt, case-9 (never listed), EUR: fits no stage:                                              4.00 USD
    t-gone      Acme, no longer listed since night 7:                                                       999.00 USD
    """
    world = World(tmp_path_factory.mktemp("reports") / "warehouse.duckdb")
    world.sync(night(0))
    world.sync(night(30))
    world.mode((0, "PayWhenPaid"))
    world.add("clients", "acme", (0, {"company_name": "Acme", "earnings_usd": "46.20", "cases_total": 3}), last=30)
    world.add(
        "clients",
        "bolt",
        (0, {"company_name": "Bolt", "external_tenant_id": "tenant-2", "is_attributed": False}),
        last=30,
    )
    world.add("clients", "cask", (0, {"company_name": "Cask", "external_tenant_id": "tenant-3"}), gone=4)

    of_acme, of_bolt = {"creditor_id": "acme"}, {"creditor_id": "bolt", "external_tenant_id": "tenant-2"}
    closed = {
        "lifecycle": "Closed",
        "close_code": "Paid",
        "remainder": "0",
        "finished_at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    world.add("cases", "case-1", (0, of_acme), (9, closed), last=30)
    world.add(
        "cases", "case-2", (0, {**of_bolt, "currency": "SEK", "gross_amount": "300", "remainder": "200"}), last=30
    )
    world.add("cases", "case-3", (0, {**of_acme, **closed, "gross_amount": "500"}), last=30)  # paid, and no transaction
    world.add("cases", "case-4", (0, {"creditor_id": "cask", "gross_amount": "80", "remainder": "80"}), last=30)
    world.add("cases", "case-5", (0, of_acme), gone=8)

    paid, march = at_stage("Paid"), {"occurred_at": datetime(2026, 3, 1, tzinfo=UTC)}
    world.add(
        "transactions",
        "t-paid",
        (0, {**of_acme, **at_stage("Pending")}),
        (5, at_stage("AwaitingDebituraPayment")),
        (9, paid),
        last=30,
    )
    small = {"debitura_revenue": "20", "debitura_revenue_usd": "22", "referral_fee": "10", "payment_amount": "333.3333"}
    world.add("transactions", "t-old", (0, {**of_acme, **small, **at_stage("Paid", "11")}), last=30)
    tiny = {"debitura_revenue": "4", "debitura_revenue_usd": "4.4", "referral_fee": "2", "payment_amount": "66.6667"}
    world.add("transactions", "t-pending", (0, {**of_acme, **march, **tiny, **at_stage("Pending", "2.20")}), last=30)
    krona = {
        **of_bolt, "case_id": "case-2", "earnings_currency": "SEK", "payment_currency": "SEK", "payment_amount": "1000",
        "debitura_revenue": "200", "debitura_revenue_usd": "20", "referral_fee": "100", "referral_fee_pct": "0.5",
    }  # fmt: skip
    world.add(
        "transactions", "t-sek", (0, {**krona, **at_stage("AwaitingCollectionPartnerPayment", "10")}),
        (3, at_stage("ReadyToInvoiceDebitura", "10")), last=30,
    )  # fmt: skip
    large = {
        "debitura_revenue": "100",
        "debitura_revenue_usd": "100",
        "referral_fee": "50",
        "case_id": "case-2",
        **of_bolt,
    }
    world.add(
        "transactions",
        "t-disputed",
        (0, {**large, **at_stage("AwaitingDebituraPayment", "50")}),
        (6, at_stage("Disputed", "50")),
        last=30,
    )
    odd = {"debitura_revenue": "8", "debitura_revenue_usd": "8", "referral_fee": "4", "case_id": "case-9", **of_bolt}
    world.add("transactions", "t-credited", (0, {**odd, **at_stage("Unclassified", "4")}), last=30)
    world.add("transactions", "t-gone", (0, {**of_acme, **at_stage("Paid", "999")}), gone=7)

    world.control("transactions", "stage", "Paid", "count", "2")
    world.control("transactions", "stage", "Paid", "usd", "44")
    world.control("transactions", "stage", "Disputed", "usd", "51", "differs")
    world.control("clients", "earnings_usd", "all", "usd", "46.20", scope="acme")
    world.build("--exclude-resource-type", "unit_test")
    return world


def by(world: World, report: str, *keys: str) -> dict[Any, dict[str, Any]]:
    rows = world.records(f"reports.{report}")
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in rows}


def test_stages_and_months_of_transactions(world: World) -> None:
    rows = {row["transaction_id"]: row for row in world.records("marts.fct_transactions")}
    assert {name: row["revenue_stage"] for name, row in rows.items()} == {
        "t-paid": "Paid", "t-old": "Paid", "t-pending": "Pending", "t-sek": "ReadyToInvoiceDebitura",
        "t-disputed": "Disputed", "t-credited": "Unclassified",
    }  # fmt: skip
    assert (rows["t-paid"]["invoiced_seen_at"], rows["t-paid"]["paid_seen_at"]) == (night(5), night(9))
    assert (rows["t-old"]["invoiced_seen_at"], rows["t-old"]["paid_seen_at"]) == (None, None)
    assert rows["t-sek"]["fee_pct"] == D(50)
    assert rows["t-sek"]["implied_fx_rate"] == D("0.1")


def test_attribution_by_client(world: World) -> None:
    """Acme: 33 + 11 paid + 2.20 pending = 46.20, which is what the API says. Bolt: 10 in the total, 50 and 4 beside it.
    All: 56.20, so Acme has 46.20 / 56.20 = 0.822064."""
    rows = by(world, "attribution_by_client", "creditor_id")
    acme, bolt, cask = rows["acme"], rows["bolt"], rows["cask"]
    assert (acme["fee_paid_usd"], acme["fee_pending_usd"], acme["fee_total_usd"]) == (D(44), D("2.2"), D("46.2"))
    assert (acme["fee_total_of_which_estimate_usd"], acme["share_of_fees"]) == (D("2.2"), D("0.822064"))
    assert (acme["earnings_difference_usd"], acme["cases_total"], acme["cases_difference"]) == (D(0), 2, None)
    assert (acme["cases_open"], acme["cases_closed"], acme["cases_earning"]) == (0, 2, 1)
    assert (bolt["fee_total_usd"], bolt["fee_disputed_usd"], bolt["fee_unclassified_usd"]) == (D(10), D(50), D(4))
    assert (bolt["attribution"], cask["client_record"], cask["fee_total_usd"]) == ("linked", "archived", D(0))


def test_revenue_by_month(world: World) -> None:
    """Collected in February, EUR: 33 + 11 = 44, the 50 disputed and the 4 beside it; March: 2.20, all estimate."""
    rows = by(world, "revenue_by_month", "basis", "month", "currency")
    february, march = date(2026, 2, 1), date(2026, 3, 1)
    collected = rows["collected", february, "EUR"]
    assert (collected["referral_fee_usd"], collected["referral_fee"], collected["transaction_count"]) == (
        D(44),
        D(40),
        2,
    )
    assert (collected["disputed_fee_usd"], collected["unclassified_fee_usd"], collected["of_which_estimate_usd"]) == (
        D(50),
        D(4),
        D(0),
    )
    assert (
        rows["collected", march, "EUR"]["of_which_estimate_usd"]
        == rows["collected", march, "EUR"]["referral_fee_usd"]
        == D("2.2")
    )
    assert rows["collected", february, "SEK"]["referral_fee"] == D(100)
    assert rows["paid", march, "EUR"]["referral_fee_usd"] == D(33)
    assert rows["paid", None, "EUR"]["referral_fee_usd"] == D(11)
    assert rows["paid", None, "EUR"]["month_label"] == "unknown"
    assert rows["recognized", march, "SEK"]["referral_fee_usd"] == D(10)
    assert rows["invoiced", None, "EUR"]["disputed_fee_usd"] == D(50)
    assert all(row["referral_fee_usd"] < 999 for row in rows.values())


def test_revenue_by_client(world: World) -> None:
    rows = by(world, "revenue_by_client", "company_name", "month_label", "revenue_stage", "currency")
    assert rows["Acme", "2026-02", "Paid", "EUR"]["referral_fee_usd"] == D(44)
    assert rows["Acme", "2026-03", "Pending", "EUR"]["of_which_estimate_usd"] == D("2.2")
    assert rows["Bolt", "2026-02", "ReadyToInvoiceDebitura", "SEK"]["referral_fee"] == D(100)
    assert sum(row["referral_fee_usd"] for row in rows.values()) == D("110.2")


def test_revenue_pipeline(world: World) -> None:
    """10 February to 31 March: 49 days; 1 to 31 March: 30 days. What is paid is not in it."""
    rows = by(world, "revenue_pipeline", "revenue_stage", "age_bucket", "currency")
    assert rows["Pending", "000-030", "EUR"]["of_which_estimate_usd"] == D("2.2")
    assert rows["ReadyToInvoiceDebitura", "031-060", "SEK"]["oldest_age_days"] == 49
    assert not rows["Disputed", "031-060", "EUR"]["is_expected_income"]
    assert {stage for stage, _, _ in rows} == {"Pending", "ReadyToInvoiceDebitura", "Disputed", "Unclassified"}


def test_attribution_gaps(world: World) -> None:
    """EUR in USD by revenue: Acme 66 + 22 + 4.4, Bolt 100 + 8 USD over 60 + 20 + 4 + 100 + 8 EUR = 200.4 / 192 = 1.04375.
    Acme's fee share: 42 of 1400 EUR paid = 3 %. case-3: 500 * 1.04375 * 3 % = 15.65625. Cask, without transactions, has
    everyone's share: Acme 42 of 1400 EUR and Bolt 100 of 1000 SEK at 0.1 USD: 53.8375 / 1561.25 = 3.4484 %, to six places
    0.034484; 80 * 1.04375 * 0.034484 = 2.879414."""
    rows = by(world, "attribution_gaps", "finding_id")
    assert rows["closed_paid_without_transaction case-3"]["usd_at_stake"] == D("15.6563")
    assert rows["archived_client_open_cases cask"]["usd_at_stake"] == D("2.8794")
    assert rows["archived_client_open_cases cask"]["rests_on"] == "case-4"
    assert rows["transaction_of_unknown_case t-credited"]["usd_at_stake"] == D(4)
    assert [row["priority"] for row in world.records("reports.attribution_gaps", "priority")] == [1, 2, 3]


def test_payout_reconciliation(world: World) -> None:
    rows = by(world, "payout_reconciliation", "scope", "creditor_id", "stage")
    paid, disputed = rows["all", None, "Paid"], rows["all", None, "Disputed"]
    assert (paid["api_usd"], paid["warehouse_usd"], paid["warehouse_count"], paid["verdict"]) == (
        D(44),
        D(44),
        2,
        "equal",
    )
    assert (disputed["usd_difference"], disputed["verdict"]) == (D(-1), "differs")
    assert rows["client", "acme", "earnings_usd"]["verdict"] == "equal"
    assert rows["all", None, "Pending"]["verdict"] == "unproven"


def test_case_outcomes(world: World) -> None:
    """Recovered, EUR: case-1 with 1000 of 1000 in 50 days and case-3 with 500 of 500 in 50 days."""
    rows = by(world, "case_outcomes", "outcome", "currency")
    recovered = rows["recovered", "EUR"]
    assert (recovered["cases"], recovered["recovered_amount"], recovered["recovered_share_of_gross"]) == (2, D(1500), D(1))
    assert (recovered["days_to_close_median"], recovered["fee_total_usd"]) == (50, D("46.2"))
    assert rows["open", "SEK"]["recovered_share_of_gross"] == D("0.333333")
    assert sum(row["cases"] for row in rows.values()) == 4


def test_data_quality(world: World) -> None:
    rows = by(world, "data_quality", "check_name")
    figures = {name: row["figure"] for name, row in rows.items() if row["verdict"] != "ok"}
    assert figures == {
        "attribution_gaps": D(3), "unclassified_stages": D(1), "transactions_of_unknown_case": D(1),
        "control_totals_transactions": D(1), "control_totals_missing": D(2), "control_totals_cases": None,
        "deleted_transactions": D(1),
    }  # fmt: skip
    assert rows["control_totals_transactions"]["verdict"] == "fail"
    assert (rows["deleted_transactions"]["verdict"], rows["deleted_transactions"]["usd"]) == ("warn", D(999))
    assert rows["control_totals_cases"]["verdict"] == "not_checked"
    assert rows["simulated_data"]["verdict"] == "ok"


def test_past_is_as_it_was_known(world: World) -> None:
    def stages(at: datetime) -> dict[str, str]:
        return dict(world.rows("SELECT transaction_id, revenue_stage FROM marts.transactions_as_of(?)", [at]))

    assert stages(night(4))["t-paid"] == "Pending"
    assert stages(night(5))["t-paid"] == "AwaitingDebituraPayment"
    assert "t-gone" in stages(night(6))
    assert "t-gone" not in stages(night(7))
    assert world.rows("SELECT lifecycle FROM marts.cases_as_of(?) WHERE case_id = 'case-1'", [night(8)]) == [
        ("Active",)
    ]


def test_dashboards_show_the_cents_of_the_reports(world: World, tmp_path: Path) -> None:
    """They read the transactions, because filters need them; without filters that must come to the same."""
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "warehouse.duckdb").symlink_to(world.path)
    compared = list(reconcile.pairs(tmp_path, world.rows))
    assert len(compared) > 15
    assert [(name, shown, said) for name, shown, said in compared if shown != said] == []
