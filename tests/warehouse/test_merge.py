"""What becomes of a row: inserted, unchanged, changed, deleted, returned; what stands in history for it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.errors import LandingError, ShrinkRefused, WarehouseError
from debitura_pipeline.landing.findings import BadRow
from debitura_pipeline.landing.landing_zone import sha256_of
from debitura_pipeline.warehouse.base import DeletionScope, MergeCounts
from debitura_pipeline.warehouse.engine import SqlWarehouse, max_deletions
from tests.warehouse.landings import Landings, case, night, transaction
from tests.warehouse.states import check_rules, state


def meta(warehouse: SqlWarehouse, key: str) -> dict[str, Any]:
    names = ("_first_seen_at", "_changed_at", "_verified_at", "_deleted_at", "_sync_id")
    found = warehouse.rows(f"SELECT {', '.join(names)} FROM raw.cases WHERE case_id = $1", (key,))
    assert len(found) == 1
    return dict(zip(names, found[0], strict=True))


def versions(warehouse: SqlWarehouse, key: str, column: str = "lifecycle") -> list[tuple[Any, ...]]:
    sql = f"SELECT {column}, _valid_from, _valid_to, _deleted_at FROM raw.cases_history WHERE case_id = $1 ORDER BY 2"
    return warehouse.rows(sql, (key,))


def test_first_reading_fills_rows_and_opens_a_version_each(warehouse: SqlWarehouse, landings: Landings) -> None:
    counts = warehouse.merge(landings.land("cases", [case("a")], [case("b")], at=night(0)))
    assert counts == MergeCounts(inserted=2, changed=0, deleted=0, unchanged=0, returned=0)
    instant = night(0)
    assert meta(warehouse, "a") == {
        "_first_seen_at": instant,
        "_changed_at": instant,
        "_verified_at": instant,
        "_deleted_at": None,
        "_sync_id": "sync-1",
    }
    assert versions(warehouse, "a") == [("Active", instant, None, None)]
    check_rules(warehouse)


def test_every_value_arrives_as_it_was_landed(warehouse: SqlWarehouse, landings: Landings) -> None:
    row = case("a", gross_amount=Decimal("12345678901234.5678"), reference='O\'Neil "x"; --', extra='{"new": [1]}')
    warehouse.merge(landings.land("cases", [row]))
    names = ", ".join(row)
    assert warehouse.rows(f"SELECT {names} FROM raw.cases") == [tuple(row.values())]
    assert warehouse.rows(f"SELECT {names} FROM raw.cases_history") == [tuple(row.values())]


def test_unchanged_row_is_verified_and_nothing_else(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a")], at=night(0)))
    counts = warehouse.merge(landings.land("cases", [case("a")], at=night(1)))
    assert counts == MergeCounts(0, 0, 0, 1, 0)
    found = meta(warehouse, "a")
    assert (found["_changed_at"], found["_verified_at"], found["_sync_id"]) == (night(0), night(1), "sync-1")
    assert warehouse.rows("SELECT _verified_at FROM raw.cases_history") == [(night(1),)]
    check_rules(warehouse)


def test_changed_row_closes_its_version_and_opens_the_next(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b")], at=night(0)))
    counts = warehouse.merge(landings.land("cases", [case("a", lifecycle="Closed"), case("b")], at=night(1)))
    assert counts == MergeCounts(0, 1, 0, 1, 0)
    assert versions(warehouse, "a") == [("Active", night(0), night(1), None), ("Closed", night(1), None, None)]
    found = meta(warehouse, "a")
    assert (found["_first_seen_at"], found["_changed_at"], found["_sync_id"]) == (night(0), night(1), "sync-2")
    check_rules(warehouse)


def test_row_no_longer_shown_is_marked_and_its_version_closed(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b")], at=night(0)))
    counts = warehouse.merge(landings.land("cases", [case("b")], at=night(1)))
    assert counts == MergeCounts(0, 0, 1, 1, 0)
    found = meta(warehouse, "a")
    assert (found["_deleted_at"], found["_changed_at"], found["_verified_at"]) == (night(1), night(0), night(0))
    assert versions(warehouse, "a") == [("Active", night(0), night(1), night(1))]
    assert warehouse.merge(landings.land("cases", [case("b")], at=night(2))).deleted == 0
    assert meta(warehouse, "a")["_deleted_at"] == night(1)
    check_rules(warehouse)


def test_row_that_comes_back_is_live_again_and_history_shows_the_gap(
    warehouse: SqlWarehouse, landings: Landings
) -> None:
    for number, rows in enumerate(([case("a"), case("b")], [case("b")], [case("b")], [case("a"), case("b")])):
        counts = warehouse.merge(landings.land("cases", rows, at=night(number)))
    assert counts == MergeCounts(0, 0, 0, 1, 1)
    assert versions(warehouse, "a") == [
        ("Active", night(0), night(1), night(1)),
        ("Active", night(3), None, None),
    ]
    found = meta(warehouse, "a")
    assert (found["_deleted_at"], found["_first_seen_at"], found["_changed_at"]) == (None, night(0), night(3))
    check_rules(warehouse)


def test_the_later_reading_of_a_key_wins(warehouse: SqlWarehouse, landings: Landings) -> None:
    files = ([case("a", lifecycle="Old"), case("b")], [case("a", lifecycle="New"), case("c")], [case("b")])
    assert warehouse.merge(landings.land("cases", *files)).inserted == 3
    assert warehouse.rows("SELECT lifecycle FROM raw.cases WHERE case_id = 'a'") == [("New",)]
    assert warehouse.merge(landings.land("cases", *files, at=night(1))).unchanged == 3
    check_rules(warehouse)


@pytest.mark.parametrize("rows", [[case("a"), case("a")], [case("a"), {**case("b"), "case_id": None}]])
def test_file_with_a_key_twice_or_none_is_refused(
    warehouse: SqlWarehouse, landings: Landings, rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(WarehouseError, match="one key twice"):
        warehouse.merge(landings.land("cases", rows))
    assert warehouse.rows("SELECT count(*) FROM raw.cases") == [(0,)]


def test_same_landing_twice_changes_nothing(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b"), case("c")], at=night(0)))
    second = landings.land("cases", [case("a", lifecycle="Closed"), case("d")], [case("c")], at=night(1))
    warehouse.merge(second)
    before = state(warehouse)
    assert warehouse.merge(second) == MergeCounts(0, 0, 0, 3, 0)
    assert state(warehouse) == before


def test_estimate_follows_the_exchange_rate_without_a_new_version(warehouse: SqlWarehouse, landings: Landings) -> None:
    estimate = transaction("t", is_estimate=True, referral_fee_usd=Decimal("10.0000"))
    warehouse.merge(landings.land("transactions", [estimate], at=night(0)))
    moved = {**estimate, "referral_fee_usd": Decimal("10.5000")}
    assert warehouse.merge(landings.land("transactions", [moved], at=night(1))).unchanged == 1
    for table in ("raw.transactions", "raw.transactions_history"):
        found = warehouse.rows(f"SELECT referral_fee_usd, _changed_at, _verified_at, _sync_id FROM {table}")
        assert found == [(Decimal("10.5000"), night(0), night(1), "sync-1")]
    final = {**moved, "is_estimate": False}
    assert warehouse.merge(landings.land("transactions", [final], at=night(2))).changed == 1
    assert warehouse.rows("SELECT count(*) FROM raw.transactions_history") == [(2,)]
    check_rules(warehouse)


def test_settled_amount_that_moves_makes_a_version(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("transactions", [transaction("t")], at=night(0)))
    edited = transaction("t", referral_fee_usd=Decimal("10.1235"))
    assert warehouse.merge(landings.land("transactions", [edited], at=night(1))).changed == 1


def test_extra_and_debtor_name_follow_without_a_new_version(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b")], at=night(0)))
    told = case("a", extra='{"flag": true}', debtor_name="Somebody")
    assert warehouse.merge(landings.land("cases", [told, case("b")], at=night(1))).unchanged == 2
    for table in ("raw.cases", "raw.cases_history"):
        sql = f"SELECT CAST(extra AS VARCHAR), debtor_name, _changed_at FROM {table} WHERE case_id = 'a'"
        assert warehouse.rows(sql) == [('{"flag": true}', "Somebody", night(0))]
    assert warehouse.rows("SELECT count(*) FROM raw.cases_history") == [(2,)]
    check_rules(warehouse)


def test_older_sync_is_refused(warehouse: SqlWarehouse, landings: Landings) -> None:
    older = landings.land("cases", [case("a", lifecycle="Old")], at=night(0))
    warehouse.merge(landings.land("cases", [case("a")], at=night(1)))
    before = state(warehouse)
    with pytest.raises(WarehouseError, match="merged already"):
        warehouse.merge(older)
    assert state(warehouse) == before
    warehouse.merge(landings.land("transactions", [transaction("t")], at=night(0)))


def test_two_syncs_of_one_instant_leave_one_version(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b"), case("c")], at=night(0)))
    warehouse.merge(landings.land("cases", [case("a", lifecycle="X"), case("c"), case("d")], at=night(1)))
    rows = [case("a", lifecycle="Y"), case("b"), case("d", lifecycle="Z")]
    warehouse.merge(landings.land("cases", rows, at=night(1)))
    assert versions(warehouse, "a") == [("Active", night(0), night(1), None), ("Y", night(1), None, None)]
    assert versions(warehouse, "d") == [("Z", night(1), None, None)]
    warehouse.merge(landings.land("cases", [case("a"), case("b")], at=night(1)))
    warehouse.merge(landings.land("cases", rows, at=night(1)))
    check_rules(warehouse)


def test_reading_of_one_client_deletes_only_that_clients_rows(warehouse: SqlWarehouse, landings: Landings) -> None:
    other = {"external_tenant_id": "tenant-2"}
    warehouse.merge(landings.land("cases", [case("a"), case("b"), case("x", **other), case("y", **other)]))
    reading = landings.land(
        "cases", [case("x", **other)], at=night(1), deletion_scope=DeletionScope("client", ("tenant-2",))
    )
    assert warehouse.merge(reading) == MergeCounts(0, 0, 1, 1, 0)
    live = warehouse.rows("SELECT case_id, _verified_at FROM raw.cases WHERE _deleted_at IS NULL ORDER BY 1")
    assert live == [("a", night(0)), ("b", night(0)), ("x", night(1))]
    check_rules(warehouse)


def test_partial_reading_deletes_nothing(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b")]))
    assert (
        warehouse.merge(landings.land("cases", [case("b")], at=night(1), deletion_scope=DeletionScope("none"))).deleted
        == 0
    )
    assert warehouse.merge(landings.land("cases", at=night(2), deletion_scope=DeletionScope("none"))) == MergeCounts(
        0, 0, 0, 0, 0
    )
    assert warehouse.rows("SELECT case_id, _verified_at FROM raw.cases ORDER BY 1") == [
        ("a", night(0)),
        ("b", night(1)),
    ]


def test_keys_that_a_reading_found_gone_are_marked_and_no_others(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b"), case("c"), case("d")]))
    gone = DeletionScope("keys", keys=("a", "b", "unknown"))
    reading = landings.land("cases", [case("b"), case("c")], at=night(1), deletion_scope=gone)
    assert warehouse.merge(reading) == MergeCounts(0, 0, 1, 2, 0)
    assert warehouse.rows("SELECT case_id, _deleted_at FROM raw.cases WHERE _deleted_at IS NOT NULL") == [
        ("a", night(1))
    ]
    assert meta(warehouse, "d")["_verified_at"] == night(0)
    check_rules(warehouse)


def test_row_in_quarantine_is_neither_deleted_nor_verified(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a"), case("b")]))
    bad = BadRow("f" * 64, "a", "grossAmount is not a number", '{"id": "a"}')
    assert warehouse.merge(landings.land("cases", [case("b")], at=night(1), bad=[bad])).deleted == 0
    found = meta(warehouse, "a")
    assert (found["_deleted_at"], found["_verified_at"]) == (None, night(0))
    assert warehouse.merge(landings.land("cases", [case("b")], at=night(2))).deleted == 1
    check_rules(warehouse)


def test_shrinking_by_more_than_a_twentieth_is_refused(warehouse: SqlWarehouse, landings: Landings) -> None:
    rows = [case(f"c{number}") for number in range(100)]
    warehouse.merge(landings.land("cases", rows))
    before = state(warehouse)
    reading = landings.land("cases", [*rows[21:], case("new")], at=night(1))
    with pytest.raises(ShrinkRefused, match="21 of 100 live rows") as refused:
        warehouse.merge(reading)
    assert refused.value.facts == {"resource": "cases", "live": 100, "gone": 21}
    assert state(warehouse) == before
    assert warehouse.merge(reading, allow_shrink=True) == MergeCounts(1, 0, 21, 79, 0)
    check_rules(warehouse)


@pytest.mark.parametrize(("live", "most"), [(1, 1), (3, 3), (4, 3), (5, 3), (15, 11), (21, 15), (27, 20), (400, 20)])
def test_of_a_small_partners_rows_three_quarters_may_go(
    warehouse: SqlWarehouse, landings: Landings, live: int, most: int
) -> None:
    """A bad day of the API must not empty a small partner's tables, and a client that leaves must not stop its nights."""
    rows = [case(f"c{number}") for number in range(live)]
    warehouse.merge(landings.land("cases", rows))
    if most < live:
        with pytest.raises(ShrinkRefused, match=f"{most + 1} of {live} live rows"):
            warehouse.merge(landings.land("cases", rows[most + 1 :], at=night(1)))
    assert warehouse.merge(landings.land("cases", rows[most:], at=night(2))).deleted == most


def test_the_more_rows_there_are_the_more_may_go() -> None:
    assert all(max_deletions(live) <= max_deletions(live + 1) for live in range(2_000))


def test_a_list_that_other_rows_belong_to_does_not_go_empty(warehouse: SqlWarehouse, landings: Landings) -> None:
    """Two clients of a small partner, gone with an empty answer while its cases are there."""
    warehouse.merge(landings.land("clients", [{"creditor_id": "x"}, {"creditor_id": "y"}]))
    warehouse.merge(landings.land("cases", [case(f"c{number}") for number in range(4)]))
    before = state(warehouse)
    with pytest.raises(ShrinkRefused, match="2 of 2 live rows were not returned by the API, though 4 live cases"):
        warehouse.merge(landings.land("clients", [], at=night(1)))
    assert state(warehouse) == before
    assert warehouse.merge(landings.land("cases", [case("c0")], at=night(1))).deleted == 3
    assert warehouse.merge(landings.land("clients", [], at=night(2))).deleted == 2


def test_twentieth_of_a_large_table_may_go(warehouse: SqlWarehouse, landings: Landings) -> None:
    rows = [case(f"c{number}") for number in range(440)]
    warehouse.merge(landings.land("cases", rows))
    assert warehouse.merge(landings.land("cases", rows[22:], at=night(1))).deleted == 22


def test_missing_file_stops_the_merge_before_anything_is_touched(warehouse: SqlWarehouse, landings: Landings) -> None:
    landed = landings.land("cases", [case("a")], [case("b")])
    landed.files[1].unlink()
    with pytest.raises(LandingError, match=r"00002\.parquet"):
        warehouse.merge(landed)
    assert warehouse.rows("SELECT count(*) FROM raw.cases") == [(0,)]


def test_truncated_file_rolls_everything_back(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a")]))
    before = state(warehouse)
    landed = landings.land("cases", [case("a", lifecycle="X")], [case("b")], at=night(1))
    body = landed.files[1].read_bytes()
    landed.files[1].write_bytes(body[:-20])
    with pytest.raises(LandingError, match=r"00002\.parquet has changed"):
        warehouse.merge(landed)
    landed = replace(landed, sha256=(landed.sha256[0], sha256_of(landed.files[1])))  # landed like that
    with pytest.raises(WarehouseError):
        warehouse.merge(landed)
    assert state(warehouse) == before
