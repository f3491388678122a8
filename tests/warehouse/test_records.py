"""What `ops` and the partner's history say after merges: syncs, windows, quarantine, drift, control totals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.landing.findings import BadRow, ControlTotal, Drift
from debitura_pipeline.warehouse.base import DeletionScope, FailedSync, Judgement, WindowRecord
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.ops_sql import NOT_COMPARED
from tests.warehouse.landings import FIRST_NIGHT, Landings, case, night
from tests.warehouse.states import state

BAD = BadRow("a" * 64, "k", "id is missing", '{"id": null}')
WORSE = BadRow("b" * 64, None, "no JSON", "not json {")


def window(start: datetime | None, rows: int = 3, at: datetime | None = FIRST_NIGHT) -> WindowRecord:
    return WindowRecord(start, night(9), "all", rows, rows, 1, at, "00001.parquet", "0" * 64)


def failed(sync_id: str) -> FailedSync:
    return FailedSync(sync_id, "cases", "full", night(0), night(0), night(0), night(0), 5, 1, 200)


def test_sync_is_recorded_with_its_figures(warehouse: SqlWarehouse, landings: Landings) -> None:
    proven = Judgement((), True, None)
    warehouse.merge(landings.land("cases", [case("a"), case("b")], windows=[window(None)]), judge=lambda _: proven)
    rows = [case("a", lifecycle="X"), case("c")]
    warehouse.merge(landings.land("cases", rows, at=night(1), windows=[window(None)]))
    found = warehouse.rows(
        "SELECT sync_id, status, as_of, rows_read, rows_inserted, rows_changed, rows_deleted, windows, is_proven "
        "FROM ops.syncs ORDER BY as_of"
    )
    assert found == [
        ("sync-1", "done", night(0), 2, 2, 0, 0, 1, True),
        ("sync-2", "done", night(1), 2, 1, 1, 1, 1, False),  # nobody judged it, so nothing is proven
    ]


def test_failed_sync_is_recorded_and_replaced_when_it_succeeds(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.record_failure(failed("s"), "HTTP 403")
    assert warehouse.rows("SELECT status, message, requests, rows_read FROM ops.syncs") == [
        ("failed", "HTTP 403", 5, 200)
    ]
    warehouse.merge(landings.land("cases", [case("a")], sync_id="s"))
    assert warehouse.rows("SELECT status, message, rows_inserted FROM ops.syncs") == [("done", NOT_COMPARED, 1)]
    warehouse.record_failure(failed("s"), "too late")
    assert warehouse.rows("SELECT status FROM ops.syncs") == [("done",)]


def test_failed_sync_does_not_count_as_a_newer_reading(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.record_failure(replace(failed("s"), at=night(5)), "HTTP 403")
    assert warehouse.merge(landings.land("cases", [case("a")], at=night(1))).inserted == 1


def test_window_keeps_its_identity_from_night_to_night(warehouse: SqlWarehouse, landings: Landings) -> None:
    for number in range(2):
        found = [window(None, 3 + number, night(number)), window(night(-30), 5, night(number))]
        warehouse.merge(landings.land("cases", [case("a")], at=night(number), windows=found))
    rows = warehouse.rows(
        "SELECT window_from, window_to, scope, rows_read, verified_at, sync_id FROM ops.windows ORDER BY 4"
    )
    assert rows == [
        (None, night(9), "all", 4, night(1), "sync-2"),
        (night(-30), night(9), "all", 5, night(1), "sync-2"),
    ]


def test_bad_row_is_open_until_a_complete_reading_no_longer_shows_it(
    warehouse: SqlWarehouse, landings: Landings
) -> None:
    def quarantine() -> list[tuple[object, ...]]:
        return warehouse.rows("SELECT first_seen_at, last_seen_at, resolved_at FROM ops.quarantine")

    warehouse.merge(landings.land("cases", [case("a")], at=night(0), bad=[BAD]))
    assert quarantine() == [(night(0), night(0), None)]
    warehouse.merge(landings.land("cases", [case("a")], at=night(1), bad=[BAD, BAD]))
    assert quarantine() == [(night(0), night(1), None)]
    warehouse.merge(landings.land("cases", [case("a")], at=night(2), deletion_scope=DeletionScope("none")))
    assert quarantine() == [(night(0), night(1), None)]
    for number in (3, 4):
        warehouse.merge(landings.land("cases", [case("a")], at=night(number)))
        assert quarantine() == [(night(0), night(1), night(3))]
    warehouse.merge(landings.land("cases", [case("a")], at=night(5), bad=[BAD]))
    assert quarantine() == [(night(0), night(5), None)]


def test_partial_reading_resolves_the_bad_rows_that_it_read_as_good_ones(
    warehouse: SqlWarehouse, landings: Landings
) -> None:
    """A large partner's nights are partial; its quarantine would never empty otherwise."""
    other = replace(BAD, payload_sha256="d" * 64, row_key="other")
    warehouse.merge(landings.land("cases", [case("a")], at=night(0), bad=[BAD, other]))
    warehouse.merge(landings.land("cases", [case("k")], at=night(1), deletion_scope=DeletionScope("none")))
    found = warehouse.rows("SELECT row_key, resolved_at FROM ops.quarantine ORDER BY 1")
    assert found == [("k", night(1)), ("other", None)]


def test_payload_that_is_no_json_is_kept_all_the_same(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", bad=[BAD, WORSE]))
    found = warehouse.rows("SELECT row_key, reason, payload FROM ops.quarantine ORDER BY payload_sha256")
    assert found == [("k", "id is missing", '{"id": null}'), (None, "no JSON", json.dumps("not json {"))]


def test_thousands_of_bad_rows_are_kept(warehouse: SqlWarehouse, landings: Landings) -> None:
    bad = [BadRow(f"{number:064d}", f"k{number}", "why", "{}") for number in range(2_345)]
    warehouse.merge(landings.land("cases", bad=bad))
    assert warehouse.rows("SELECT count(*), count(DISTINCT payload_sha256) FROM ops.quarantine") == [(2_345, 2_345)]


def test_drift_is_noted_once(warehouse: SqlWarehouse, landings: Landings) -> None:
    drift = [Drift("field", "case.colour", None), Drift("value", "lifecycle", "Sleeping")]
    for number in range(2):
        warehouse.merge(landings.land("cases", [case("a")], at=night(number), drift=drift[: number + 1] * 2))
    found = warehouse.rows("SELECT resource, kind, field, value, first_seen_at FROM ops.schema_drift ORDER BY 5")
    assert found == [
        ("cases", "field", "case.colour", None, night(0)),
        ("cases", "value", "lifecycle", "Sleeping", night(1)),
    ]


def test_partner_gets_a_version_when_mode_or_percentage_changes(warehouse: SqlWarehouse, landings: Landings) -> None:
    ten, twelve = Decimal("10.0000"), Decimal("12.5000")
    seen = [("Monthly", ten), ("Monthly", ten), ("Monthly", twelve), (None, twelve), (None, None), (None, None)]
    for number, partner in enumerate(seen):
        warehouse.merge(landings.land("clients", at=night(number), partner=partner))
    assert warehouse.rows("SELECT * FROM raw.partner_history ORDER BY _valid_from") == [
        ("Monthly", ten, night(0), night(2)),
        ("Monthly", twelve, night(2), night(3)),
        (None, twelve, night(3), night(4)),
        (None, None, night(4), None),
    ]


def test_control_totals_are_written_once_per_sync(warehouse: SqlWarehouse) -> None:
    total = ControlTotal("cases", "per lifecycle", "all", "active", "count", Decimal(7), Decimal(5), "differs", "why")
    for _ in range(2):
        warehouse.write_control_totals("s", night(0), [total, replace(total, bucket="closed")])
    found = warehouse.rows("SELECT bucket, api_value, warehouse_value, difference, checked_at FROM ops.control_totals")
    assert sorted(found) == [
        ("active", Decimal(7), Decimal(5), Decimal(-2), night(0)),
        ("closed", Decimal(7), Decimal(5), Decimal(-2), night(0)),
    ]


def test_the_control_totals_of_a_thousand_clients_fit_into_memory(warehouse: SqlWarehouse) -> None:
    """One statement each, they filled DuckDB's memory."""
    like = ControlTotal("clients", "cases_total", "all", "all", "count", Decimal(7), Decimal(7), "equal", None)
    totals = [replace(like, scope=f"creditor-{n}", check_name=name) for n in range(1_000) for name in ("a", "b", "c")]
    warehouse.write_control_totals("s", night(0), totals)
    changed = [replace(total, warehouse_value=Decimal(6), verdict="differs") for total in totals[:10]]
    warehouse.write_control_totals("s", night(0), changed)
    found = warehouse.rows("SELECT verdict, count(*) FROM ops.control_totals GROUP BY verdict")
    assert dict(found) == {"equal": 2_990, "differs": 10}


def test_resources_do_not_mix(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a")], bad=[BAD], windows=[window(None)]))
    before = state(warehouse)
    warehouse.merge(landings.land("clients", bad=[BAD], windows=[window(None)]))
    after = state(warehouse)
    assert all(set(map(repr, rows)) <= set(map(repr, after[name])) for name, rows in before.items())
