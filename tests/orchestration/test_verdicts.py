"""What the checks say, asked of a real DuckDB file with rows written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.orchestration.metadata import table_metadata
from debitura_pipeline.reconcile.control_totals import MOVES_WITH_RATES, NOT_STATED_BY_API
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse import checks
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})) as opened:
        yield opened


def synced(warehouse: Warehouse, sync_id: str, hours_ago: int = 0, **more: object) -> None:
    row = {
        "resource": "cases",
        "mode": "small",
        "status": "done",
        "is_proven": True,
        "windows": 2,
        "rows_read": 5,
        **more,
    }
    row |= {"sync_id": sync_id, "started_at": NOW - timedelta(hours=hours_ago)}
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    warehouse.execute(f"INSERT INTO ops.syncs ({', '.join(row)}) VALUES ({places})", tuple(row.values()))


def total(
    warehouse: Warehouse,
    verdict: str,
    at: datetime = NOW,
    scope: str = "all",
    resource: str = "cases",
    detail: str | None = None,
) -> None:
    warehouse.execute(
        "INSERT INTO ops.control_totals (sync_id, checked_at, resource, check_name, scope, bucket, unit, api_value,"
        " warehouse_value, verdict, detail) VALUES ('s', $1, $2, 'rows', $3, 'all', 'count', 12, 11, $4, $5)",
        (at, resource, scope, verdict, detail),
    )


def test_completeness_is_of_the_last_sync_whatever_a_single_clients_reading_did(warehouse: Warehouse) -> None:
    assert checks.completeness("cases", warehouse.rows).description == "cases were never read"
    synced(warehouse, "old", 24, status="failed", message="HTTP 403")
    assert not checks.completeness("cases", warehouse.rows).passed
    synced(warehouse, "new", 1)
    assert checks.completeness("cases", warehouse.rows).passed
    synced(warehouse, "one-client", 0, mode="client", status="failed")
    assert checks.completeness("cases", warehouse.rows).figures["sync"] == "new"


def test_last_of_two_syncs_within_a_second_is_told_by_their_clock(warehouse: Warehouse) -> None:
    """The API's `Date` has no fractions, so the later of two can seem to have started first; `as_of` always ascends."""
    synced(warehouse, "earlier", 0, as_of=NOW)
    synced(warehouse, "later", 1, as_of=NOW + timedelta(microseconds=1), status="failed", message="HTTP 403")
    assert checks.completeness("cases", warehouse.rows).figures["sync"] == "later"


@pytest.mark.parametrize("loaded", [(), ("clients", "cases"), ("one client",)])
def test_nothing_found_says_nothing_before_everything_was_read(warehouse: Warehouse, loaded: tuple[str, ...]) -> None:
    """A check that has nothing to look at must not read like one that found nothing."""
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS reports")
    warehouse.execute("CREATE TABLE reports.attribution_gaps (finding_id VARCHAR)")
    for resource in TABLES if loaded == ("one client",) else loaded:
        synced(warehouse, resource, resource=resource, mode="client" if loaded == ("one client",) else "small")
    unread = [resource for resource in TABLES if resource not in loaded]
    asked = [checks.control_totals, checks.unique_keys, checks.quarantine_empty, checks.schema_drift]
    found = [question(resource, warehouse.rows) for question in asked for resource in unread]
    found += [checks.client_totals(warehouse.rows), checks.attribution_gaps(warehouse.rows)]
    for verdict in found:
        assert (verdict.passed, verdict.is_warning) == (False, True), "it blocks nothing"
        assert verdict.description.startswith("Not checked yet: ")
    assert found[-1].description == f"Not checked yet: {', '.join(unread)} were never read in full"
    warehouse.execute("INSERT INTO reports.attribution_gaps VALUES ('x')")
    assert checks.attribution_gaps(warehouse.rows).description.endswith("in full; 1 finding in what is loaded")
    for resource in unread:
        synced(warehouse, f"all-{resource}", resource=resource)
    assert checks.attribution_gaps(warehouse.rows).description.startswith("1 finding, ")
    assert all(question(resource, warehouse.rows).passed for question in asked for resource in unread)


def test_a_sync_that_is_not_proven_is_not_complete(warehouse: Warehouse) -> None:
    synced(warehouse, "s", is_proven=False, message="the summary does not follow the dates")
    found = checks.completeness("cases", warehouse.rows)
    assert (found.passed, found.is_warning) == (False, True)
    assert "the summary does not follow the dates" in found.description
    total(warehouse, "differs", scope="one client")
    assert checks.completeness("cases", warehouse.rows).is_warning
    total(warehouse, "differs")
    assert not checks.completeness("cases", warehouse.rows).is_warning, "contradicted, not just unproven"


def test_control_totals_of_the_last_night_count_alone(warehouse: Warehouse) -> None:
    total(warehouse, "differs", NOW - timedelta(days=1))
    total(warehouse, "equal")
    total(warehouse, "unproven", detail=MOVES_WITH_RATES)
    found = checks.control_totals("cases", warehouse.rows)
    assert found.passed
    assert found.figures == {"equal": 1, "differs": 0, "unproven": 1}
    assert found.description.endswith("1 equal, 1 move with exchange rates")
    total(warehouse, "unproven", detail=NOT_STATED_BY_API)
    found = checks.control_totals("cases", warehouse.rows)
    assert (found.passed, found.is_warning) == (False, True), "it may go on, and says so"
    assert found.description.endswith("1 could not be compared")
    total(warehouse, "differs")
    found = checks.control_totals("cases", warehouse.rows)
    assert not found.passed
    assert not found.is_warning
    assert found.table is not None
    assert ("rows", "all", "all", "count", "12.0000", "11.0000", "differs", "") in found.table.rows


def test_totals_per_client_warn_and_do_not_mix_with_the_whole(warehouse: Warehouse) -> None:
    total(warehouse, "equal", resource="clients")
    total(warehouse, "differs", scope="0b9f4a52", resource="clients")
    assert checks.control_totals("clients", warehouse.rows).passed
    found = checks.client_totals(warehouse.rows)
    assert (found.passed, found.is_warning) == (False, True)


def test_a_key_that_is_there_twice_is_found(warehouse: Warehouse) -> None:
    synced(warehouse, "s")
    assert checks.unique_keys("cases", warehouse.rows).passed
    older = "INSERT INTO raw.cases_superseded (case_id, _valid_from, _valid_to) VALUES ('a', $1, $2)"
    warehouse.execute("INSERT INTO raw.cases (case_id, _changed_at) VALUES ('a', $1), ('b', $1)", (NOW,))
    assert checks.unique_keys("cases", warehouse.rows).passed
    warehouse.execute(older, (NOW - timedelta(days=2), NOW))
    assert checks.unique_keys("cases", warehouse.rows).passed, "an older version"
    warehouse.execute(older, (NOW - timedelta(days=2), NOW + timedelta(seconds=1)))
    found = checks.unique_keys("cases", warehouse.rows)
    assert not found.passed
    assert found.figures == {"keys_twice": 0, "versions_overlapping": 1}
    warehouse.execute("INSERT INTO raw.cases (case_id, _changed_at) VALUES ('b', $1)", (NOW,))
    assert checks.unique_keys("cases", warehouse.rows).figures["keys_twice"] == 1


def test_quarantine_shows_reasons_and_no_payload_and_forgets_what_is_resolved(warehouse: Warehouse) -> None:
    insert = (
        "INSERT INTO ops.quarantine (resource, payload_sha256, reason, payload, first_seen_at, resolved_at)"
        " VALUES ('cases', $1, 'no id', $2, $3, $4)"
    )
    for resource in ("cases", "clients"):
        synced(warehouse, resource, resource=resource)
    warehouse.execute(insert, ("x", '{"secret": 1}', NOW, NOW))
    assert checks.quarantine_empty("cases", warehouse.rows).passed
    warehouse.execute(insert, ("y", '{"secret": 1}', NOW, None))
    found = checks.quarantine_empty("cases", warehouse.rows)
    assert (found.passed, found.is_warning, found.figures["rows"]) == (False, False, 1)
    assert found.table is not None
    assert [row[:2] for row in found.table.rows] == [("no id", "1")]
    assert "secret" not in str(found.table)
    assert checks.quarantine_empty("clients", warehouse.rows).passed


def test_drift_warns_once(warehouse: Warehouse) -> None:
    synced(warehouse, "one", 24)
    warehouse.execute(
        "INSERT INTO ops.schema_drift (resource, kind, field, value, first_seen_at, sync_id)"
        " VALUES ('cases', 'value', 'lifecycle', 'Pa|used', $1, 'one')",
        (NOW,),
    )
    found = checks.schema_drift("cases", warehouse.rows)
    assert (found.passed, found.is_warning) == (False, True)
    assert found.table is not None
    assert found.table.rows == (("value", "lifecycle", "Pa|used"),)
    synced(warehouse, "two")
    assert checks.schema_drift("cases", warehouse.rows).passed


def test_freshness_allows_a_late_night_and_no_missing_one() -> None:
    assert not checks.freshness("cases", None, NOW).passed
    assert checks.freshness("cases", NOW - timedelta(hours=26), NOW).passed
    assert not checks.freshness("cases", NOW - timedelta(hours=26, minutes=1), NOW).passed


def test_a_long_table_is_cut_and_says_so() -> None:
    table = checks.table_of(("a", "b"), [(number, None) for number in range(checks.MAX_TABLE_ROWS + 3)])
    found: Any = table_metadata("details", table)
    shown = found["details"].records
    assert len(shown) == checks.MAX_TABLE_ROWS
    assert shown[1].data == {"a": "1", "b": ""}
    assert found["details_left_out"].value == 3


def test_a_table_without_rows_has_its_columns() -> None:
    found: Any = table_metadata("parquet", checks.table_of(("file", "bytes"), []))
    assert list(found) == ["parquet"]
    assert [column.name for column in found["parquet"].schema.columns] == ["file", "bytes"]
