"""What a plan, a status and a check read of the warehouse: only what concerns the claims, and each client's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.source import read_claims
from debitura_pipeline.submission import status_document
from debitura_pipeline.submission.known import api_day, current_creditors, read_warehouse_state
from debitura_pipeline.submission.lookups import fold_spelling
from debitura_pipeline.submission.proof import check_submissions
from debitura_pipeline.submission.record import Records, read_records
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.source.rows import as_csv, claim_row

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
OLD, NEW, OTHER = (f"6d5c1f9e-0000-4000-8000-00000000000{number}" for number in range(3))
TENANT = "tenant-1"  # was the old client's, and is the new one's


@pytest.fixture
def settings(tmp_path: Path, warehouse_env: dict[str, str]) -> Settings:
    (tmp_path / "claims.csv").write_text(as_csv([claim_row(1), claim_row(2)]))
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_CLAIMS": str(tmp_path / "claims.csv")}
    production = {"DEBITURA_ENVIRONMENT": "production", "DEBITURA_API_KEY": "k", "DEBITURA_WRITES": "cases"}
    return load_settings({**env, **production, **warehouse_env})


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[SqlWarehouse]:
    with open_warehouse(settings) as found:
        put(found, "raw.clients", creditor_id=OLD, external_tenant_id=TENANT, _deleted_at=NOW)
        put(found, "raw.clients", creditor_id=NEW, external_tenant_id=TENANT)
        yield found


def put(warehouse: SqlWarehouse, table: str, **values: Any) -> None:
    marks = ", ".join(f"${place}" for place in range(1, len(values) + 1))
    warehouse.run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def case(warehouse: SqlWarehouse, number: int, creditor: str, reference: str | None, age_days: int, **more: Any) -> str:
    case_id = f"7d5c1f9e-0000-4000-8000-00000000000{number}"
    facts: dict[str, Any] = {
        "case_id": case_id,
        "reference": f"DC-{number}",
        "creditor_id": creditor,
        "creditor_reference": reference,
    }
    facts |= {"external_tenant_id": TENANT, "gross_amount": Decimal(5), "currency": "EUR", "debtor_country": "Germany"}
    put(warehouse, "raw.cases", **{**facts, "created_at": NOW - timedelta(days=age_days), **more})
    return case_id


def test_only_cases_that_concern_the_claims_are_read(settings: Settings, warehouse: SqlWarehouse) -> None:
    same = case(warehouse, 1, NEW, "INV-1", 400)
    case(warehouse, 2, NEW, "elsewhere", 400)
    case(warehouse, 3, NEW, None, 3)
    case(warehouse, 4, NEW, "INV-1", 3, _deleted_at=NOW)
    case(warehouse, 5, OTHER, None, 3, external_tenant_id="tenant-2")
    alike = case(warehouse, 6, NEW, "inv-1", 400)
    known = read_warehouse_state(warehouse, read_claims(settings, NOW.date(), is_noted=False), NOW)
    (found,) = known.cases.items()
    assert (found[0], sorted(found[1])) == (
        (NEW, "inv-1"),
        [("INV-1", same, "DC-1", 5, "EUR", "Germany"), ("inv-1", alike, "DC-6", 5, "EUR", "Germany")],
    )
    assert dict(known.look_alikes) == {(NEW, Decimal(5), "EUR", "DE"): [("DC-3", None)]}


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ("CAF\u00c9-1", "cafe\u0301-1"),
        ("STRASSE-1", "stra\u00dfe-1"),
        ("stra\u00dfe-1", "STRASSE-1"),
        ("FI-1", "\ufb01-1"),
    ],
)
def test_cases_under_other_spellings_are_read_whatever_the_database_takes_for_lower_case(
    tmp_path: Path, settings: Settings, warehouse: SqlWarehouse, stored: str, wanted: str
) -> None:
    case(warehouse, 1, NEW, stored, 400)
    (tmp_path / "claims.csv").write_text(as_csv([claim_row(1, creditor_reference=wanted)]))
    known = read_warehouse_state(warehouse, read_claims(settings, NOW.date(), is_noted=False), NOW)
    assert [rows[0][0] for (_, folded), rows in known.cases.items() if folded == fold_spelling(wanted)] == [stored]


def test_record_of_a_tenants_former_client_hides_no_other(settings: Settings, warehouse: SqlWarehouse) -> None:
    there = case(warehouse, 1, NEW, "INV-1", 3)
    case(warehouse, 2, NEW, "by hand", 3)
    case(warehouse, 3, OLD, "INV-9", 3)
    Records(warehouse).store(
        [
            Record(TENANT, "INV-1", NEW, state="submitted", case_id=there),
            Record(TENANT, "INV-1", OLD, state="refused"),
            Record(TENANT, "INV-2", OLD, state="submitted", case_id=OTHER),
        ]
    )
    creditors = current_creditors(warehouse, [TENANT, "nobody"])
    assert creditors == {TENANT: NEW}
    source = read_claims(settings, NOW.date(), is_noted=False)
    status = status_document(settings, source, read_records(warehouse), NOW, creditors)
    shown = [(row.row, row.creditor_reference, row.state) for row in status.rows]
    assert shown[:2] == [(1, "INV-1", "submitted"), (2, "INV-2", "planned")]
    assert set(shown[2:]) == {(None, "INV-1", "refused"), (None, "INV-2", "submitted")}
    put(warehouse, "ops.syncs", sync_id="one", resource="cases", mode="client", status="done", started_at=NOW)
    verdict = check_submissions(settings, warehouse, NOW)
    assert verdict.description == "Not checked yet: cases were never read in full"
    put(warehouse, "ops.syncs", sync_id="all", resource="cases", mode="small", status="done", started_at=NOW)
    verdict = check_submissions(settings, warehouse, NOW)
    assert verdict.table is not None and set(verdict.table.rows) == {
        (TENANT, "INV-2", "planned", "missing"),
        (TENANT, "by hand", "DC-2", "not in the source"),
    }
    assert (verdict.figures["missing"], verdict.figures["not_in_source"], verdict.passed) == (1, 1, False)


def test_status_repeats_nothing_of_an_earlier_version_of_the_row(settings: Settings, tmp_path: Path) -> None:
    rows = [claim_row(1), claim_row(2, amount="-1"), claim_row(3, amount="-1")]
    (tmp_path / "claims.csv").write_text(as_csv(rows))
    records = [
        Record(TENANT, "INV-1", NEW, state="invalid", error_types="currency"),
        Record(TENANT, "INV-2", NEW, state="waiting_for_client", message="the client has not signed everything"),
        Record(TENANT, "INV-3", NEW, state="refused", http_status=422, error_types="ValidationError"),
    ]
    source = read_claims(settings, NOW.date(), is_noted=False)
    status = status_document(settings, source, records, NOW, {TENANT: NEW})
    shown = {row.creditor_reference: (row.state, row.reasons) for row in status.rows}
    assert shown["INV-1"] == ("planned", ())
    assert shown["INV-2"][0] == "invalid" and "amount" in shown["INV-2"][1][0]
    assert shown["INV-3"] == ("refused", ("ValidationError",))


def test_day_is_the_apis(settings: Settings, warehouse: SqlWarehouse) -> None:
    assert api_day(settings, warehouse, NOW) == date(2026, 5, 4)
    put(warehouse, "ops.syncs", sync_id="1", resource="cases", as_of=NOW + timedelta(days=1))
    assert api_day(settings, warehouse, NOW) == date(2026, 5, 5), "this machine's clock is behind"
    assert api_day(settings, warehouse, NOW + timedelta(days=9)) == date(2026, 5, 13)
