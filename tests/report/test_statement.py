"""A client's statement: its amounts are those of the tables, it names nobody else, and the ids that people know find it."""

from __future__ import annotations

import stat
from decimal import Decimal

import duckdb
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.report import ReportFacts, make_report
from debitura_pipeline.report.statement import statement_name
from debitura_pipeline.settings import Settings
from tests.report.maker import tables
from tests.report.reading import read_answers, read_tables
from tests.report.tables import CLIENT, NOW, fill

CREDITOR, TENANT = f"{CLIENT:08d}-0000", f"tenant-{CLIENT}"


def test_amounts_are_those_of_the_client(filled: tuple[Settings, ReportFacts]) -> None:
    settings, _ = filled
    facts = make_report(settings, CREDITOR, now=lambda: NOW)
    shown, answers = read_tables(facts.path.read_text()), read_answers(facts.path.read_text())
    with duckdb.connect(str(settings.warehouse.path), read_only=True) as warehouse:
        own = f"WHERE creditor_id = '{CREDITOR}'"
        fees = warehouse.execute(
            f"SELECT referral_fee_usd, referral_fee FROM marts.fct_transactions {own} ORDER BY occurred_at DESC, transaction_id"
        ).fetchall()
        cases = warehouse.execute(
            f"SELECT fee_total_usd, gross_amount FROM marts.fct_cases {own} ORDER BY created_at DESC"
        ).fetchall()
        (paid, to_come), = warehouse.execute(
            f"SELECT fee_paid_usd, fee_total_usd - fee_paid_usd FROM reports.attribution_by_client {own}"
        ).fetchall()  # fmt: skip
        gaps = warehouse.execute(
            f"SELECT usd_at_stake FROM reports.attribution_gaps {own} ORDER BY priority"
        ).fetchall()
    transactions = shown["client_transactions"]
    assert list(zip(transactions.amounts("Fee, USD"), transactions.amounts("Fee"), strict=True)) == fees
    assert (
        list(zip(shown["client_cases"].amounts("Fee, USD"), shown["client_cases"].amounts("Claim"), strict=True))
        == cases
    )
    assert Decimal(facts.figures["paid_usd"]) == answers["paid"] == paid
    assert answers["to-come"] == sum(
        answers[key] for key in ("overdue", "next", "later", "not-before", "no-date") if key in answers
    )
    assert Decimal(shown["client_calendar"].foot[1]) == sum(shown["client_calendar"].amounts("USD")) == to_come
    assert shown["client_findings"].amounts("At stake, USD (estimate)") == [usd for (usd,) in gaps]


def test_statement_names_no_debtor_and_no_other_client(filled: tuple[Settings, ReportFacts]) -> None:
    """It is made to be passed on to the client."""
    text = make_report(filled[0], TENANT, now=lambda: NOW).path.read_text()
    assert "Client statement" in text and "Nordlys Tømrer" in text
    assert "Skyldner" not in text
    assert "Klient" not in text and "Ødegård" not in text


def test_tenant_id_and_creditor_id_find_the_same_client(filled: tuple[Settings, ReportFacts]) -> None:
    settings, _ = filled
    by_tenant, by_creditor = (make_report(settings, name, now=lambda: NOW).path for name in (TENANT, CREDITOR))
    assert by_tenant.read_text() == by_creditor.read_text()
    assert by_tenant.name == f"statement-{TENANT}.html"
    assert stat.S_IMODE(by_tenant.stat().st_mode) == 0o600
    with pytest.raises(WarehouseError, match=r"No client has the tenant id or creditor id '\.\./\.\./etc'"):
        make_report(settings, "../../etc")


def test_no_two_ids_share_a_file() -> None:
    """Also where the file system knows no upper case: one client would be sent another's statement."""
    ids = ("acme", "ACME", "acme-", "ac/me", "ac me", "../acme", "", "é", "a" * 81, "a" * 82)
    names = {statement_name(name).lower() for name in ids}
    assert len(names) == len(ids)
    assert all("/" not in name and len(name) < 120 for name in names)


def test_tenant_id_of_two_records_asks_which(settings: Settings) -> None:
    """Two records of one tenant are two agreements; a sum of both would be neither."""
    assert settings.warehouse.path is not None
    with tables(settings.warehouse.path) as maker:
        fill(maker, months=2, clients=3, is_whole=False)
        maker.connection.execute("UPDATE reports.attribution_by_client SET external_tenant_id = 'acme'")
    with pytest.raises(
        WarehouseError, match=r"3 client records have the tenant id 'acme': 00000000-0000, 00000001-0000"
    ):
        make_report(settings, "acme")
