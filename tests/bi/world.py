"""A published folder with two nights, filled by hand: transactions and cases of three clients in three currencies."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import yaml

from debitura_pipeline.settings import PROJECT_ROOT
from tests.report.maker import TableMaker, tables

FIRST, SECOND = "20260302T030000Z", "20260303T030000Z"
HOSTILE = "<b>Øst</b> & *Søn* $1$"
CLIENTS = {"c-1": HOSTILE, "c-2": "Nordlys A/S", "c-3": "Acme"}
# Client, month of payment, stage, currency, country, fee, fee in USD, due class.
FEES = (
    ("c-1", 1, "Paid", "EUR", "Germany", "100.0001", "110.0001", None),
    ("c-1", 2, "Paid", "DKK", "Denmark", "70.0000", "10.0049", None),
    ("c-1", 2, "Pending", "EUR", "Germany", "20.0000", "22.0000", "unknown"),
    ("c-2", 1, "ReadyToInvoiceDebitura", "EUR", "Germany", "50.0000", "55.0000", "unknown"),
    ("c-2", 2, "AwaitingDebituraPayment", "EUR", "France", "30.0000", "33.3333", "overdue"),
    ("c-2", 2, "AwaitingCollectionPartnerPayment", "GBP", "France", "8.0000", "10.1010", "not_before"),
    ("c-2", 2, "ConfirmedPendingInvoice", "GBP", "France", "4.0000", "5.0505", "due"),
    ("c-3", 1, "Disputed", "EUR", "Germany", "900.0000", "990.0000", "unknown"),
    ("c-3", None, "Paid", "EUR", None, "1.0000", "1.1000", None),
)


def publish_two_nights(folder: Path) -> None:
    """`nights/FIRST` is current; `nights/SECOND` has one more paid fee of 1,000.00 USD."""
    for stamp, more in ((FIRST, ()), (SECOND, (("c-3", 2, "Paid", "EUR", "Germany", "900.0000", "1000.0000", None),))):
        night = folder / "published" / "nights" / stamp
        night.mkdir(parents=True)
        with tables(night / "warehouse.duckdb") as maker:
            _fill(maker, (*FEES, *more))
        as_of = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).isoformat()
        (night / "night.json").write_text(json.dumps({"as_of": as_of, "published_at": as_of}))
    (folder / "published" / "current").symlink_to(f"nights/{FIRST}")


class PostgresTables:
    """Schemas `marts` and `reports` of a Postgres database, with the columns that the dbt contracts promise."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        for schema in ("marts", "reports"):
            self._run(f"CREATE SCHEMA {schema}")
            for file in sorted((PROJECT_ROOT / "dbt/models" / schema).glob("*.yml")):
                (model,) = yaml.load(file.read_text(), yaml.CSafeLoader)["models"]
                columns = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in model["columns"])
                self._run(f"CREATE TABLE {schema}.{model['name']} ({columns})")

    def insert(self, table: str, **values: Any) -> None:
        names, marks = ", ".join(f'"{name}"' for name in values), ", ".join(["%s"] * len(values))
        self._run(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))

    def _run(self, sql: str, values: list[Any] | None = None) -> None:
        self._connection.execute(sql.encode(), values)


def fill_postgres(url: str) -> None:
    """The first night's rows in the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        _fill(PostgresTables(connection), FEES)


def _fill(maker: TableMaker | PostgresTables, fees: tuple[tuple[Any, ...], ...]) -> None:
    for creditor_id, name in CLIENTS.items():
        maker.insert("marts.dim_clients", creditor_id=creditor_id, company_name=name)
        maker.insert("reports.attribution_by_client", creditor_id=creditor_id, company_name=name, attribution="attributed",
                     fee_total_usd=Decimal(1), fee_paid_usd=Decimal(1), cases_total=2, cases_open=1)  # fmt: skip
    for number, (client, month, stage, currency, country, fee, usd, due) in enumerate(fees):
        collected = date(2026, month, 1) if month else None
        maker.insert(
            "marts.fct_transactions", transaction_id=f"t-{number}", creditor_id=client, company_name=CLIENTS[client],
            case_id=f"k-{number}", revenue_stage=stage, collected_month=collected, occurred_on=collected,
            earnings_currency=currency, debtor_country=country, referral_fee=Decimal(fee), referral_fee_usd=Decimal(usd),
            payment_class=due, payment_due_on=date(2026, 3, number + 1) if due not in (None, "unknown") else None,
            collection_partner="Inkasso", is_estimate=stage in ("Pending", "Disputed"), is_clawback_risk=False,
            is_recognized=stage == "Paid",
            referral_fee_recognized_usd=Decimal(usd) if stage == "Paid" else Decimal(0), days_in_stage=number,
            verified_at=datetime(2026, 3, 2, 3, tzinfo=UTC),
            referral_invoicing_status="Paid" if stage == "Paid" else "Pending", debtor_name="Gert Skyldner",
        )  # fmt: skip
        outcome = "recovered" if number % 2 else "open"
        maker.insert(
            "marts.fct_cases", case_id=f"k-{number}", reference=f"REF{number}", creditor_id=client, company_name=CLIENTS[client],
            created_on=collected, created_month=collected, currency=currency, debtor_country=country, outcome=outcome,
            is_open=outcome == "open", gross_amount=Decimal("1000.0000"), recovered_amount=Decimal(number * 10),
            engagement_phase="Legal", debtor_name="Gert Skyldner",
        )  # fmt: skip
    maker.insert(
        "reports.attribution_gaps", finding_id="f-1", priority=1, finding="zero_fee", usd_at_stake=Decimal("7.0000"),
        creditor_id="c-2", company_name="Nordlys A/S", transaction_id="t-4", case_id="k-4", detail="Fee 0.", what_to_do="Ask.",
    )  # fmt: skip
    for client, stage, is_stuck in (("c-1", "earning", False), ("c-2", "wanted", True), ("c-3", "wanted", False)):
        paid_at = datetime(2026, 1, 5, tzinfo=UTC) if stage == "earning" else None
        maker.insert("reports.onboarding_funnel", client_key=client, creditor_id=client, company_name=CLIENTS[client], stage=stage,
                     is_stuck=is_stuck, first_payment_at=paid_at)  # fmt: skip
    for check, verdict in (("attribution_gaps", "ok"), ("rows_in_quarantine", "warn")):
        maker.insert(
            "reports.data_quality", check_name=check, area="contract", verdict=verdict, figure=Decimal(3), unit="rows"
        )
