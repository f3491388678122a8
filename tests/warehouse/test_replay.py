"""Rebuilding from the landing zone gives the tables as they stood; so does merging everything twice."""

from __future__ import annotations

import pytest

from debitura_pipeline.errors import LandingError
from debitura_pipeline.warehouse.base import FailedSync, LandedSync, MergeCounts
from debitura_pipeline.warehouse.engine import SqlWarehouse
from tests.support.day import engine_of_the_day
from tests.warehouse.landings import Landings, case, night
from tests.warehouse.nights import many_nights
from tests.warehouse.states import check_rules, state


def test_replay_gives_the_tables_as_they_stood(warehouse: SqlWarehouse, landings: Landings) -> None:
    nights = many_nights(landings)
    counts = [warehouse.merge(landed) for landed in nights]
    check_rules(warehouse)
    assert sum(count.returned for count in counts) and sum(count.deleted for count in counts)
    before = state(warehouse)
    assert warehouse.replay(reversed(nights)) == sorted_by_clock(nights, counts)
    assert state(warehouse) == before
    warehouse.replay(landed for landed in nights)
    assert state(warehouse) == before


def sorted_by_clock(nights: list[LandedSync], counts: list[MergeCounts]) -> list[MergeCounts]:
    """Counts in the order in which a replay of the reversed list merges them: by clock, ties as they come."""
    pairs = list(zip(nights, counts, strict=True))[::-1]
    return [count for _, count in sorted(pairs, key=lambda pair: pair[0].at)]


@engine_of_the_day("postgresql")
def test_merging_each_landing_twice_is_merging_it_once(warehouse: SqlWarehouse, landings: Landings) -> None:
    nights = many_nights(landings)
    for landed in nights:
        warehouse.merge(landed)
        before = state(warehouse)
        again = warehouse.merge(landed)
        assert (again.inserted, again.changed, again.deleted, again.returned) == (0, 0, 0, 0)
        assert state(warehouse) == before


@engine_of_the_day("duckdb")
def test_replay_mends_damaged_tables(warehouse: SqlWarehouse, landings: Landings) -> None:
    nights = many_nights(landings)
    for landed in nights:
        warehouse.merge(landed)
    before = state(warehouse)
    warehouse.execute("DELETE FROM raw.cases WHERE case_id < 'c2'")
    warehouse.execute("UPDATE raw.cases_superseded SET lifecycle = 'wrong'")
    warehouse.replay(nights)
    assert state(warehouse) == before


@engine_of_the_day("postgresql")
def test_replay_lets_through_what_was_let_through(warehouse: SqlWarehouse, landings: Landings) -> None:
    rows = [case(f"c{number}") for number in range(50)]
    nights = [landings.land("cases", rows), landings.land("cases", rows[:1], at=night(1))]
    warehouse.merge(nights[0])
    warehouse.merge(nights[1], allow_shrink=True)
    assert [count.deleted for count in warehouse.replay(nights)] == [0, 49]


@engine_of_the_day("duckdb")
def test_replay_keeps_the_records_of_failed_syncs(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.record_failure(
        FailedSync("f", "cases", "full", night(0), night(0), night(0), night(0), 1, 0, 0), "HTTP 403"
    )
    warehouse.replay([landings.land("cases", [case("a")])])
    assert warehouse.rows("SELECT sync_id, status FROM ops.syncs ORDER BY 1") == [("f", "failed"), ("sync-1", "done")]


@engine_of_the_day("postgresql")
def test_replay_of_an_incomplete_landing_zone_changes_nothing(warehouse: SqlWarehouse, landings: Landings) -> None:
    nights = many_nights(landings)
    for landed in nights:
        warehouse.merge(landed)
    before = state(warehouse)
    nights[-1].files[0].unlink()
    with pytest.raises(LandingError):
        warehouse.replay(nights)
    assert state(warehouse) == before
