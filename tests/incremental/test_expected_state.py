"""The state that a sync compares with the API's totals: baseline rows, replaced by landed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import duckdb
import pytest

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.base import MAX_ROUNDS, CostEstimate, IncrementalSync
from debitura_pipeline.incremental.expected_state import ExpectedState, MissingRow
from debitura_pipeline.incremental.hourly_totals import HourlyTotals

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def parquet(path: Path, select: str) -> Path:
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def landed(path: Path, seq: int, *keys: str) -> Path:
    """A landed file that holds these cases, all open."""
    rows = ", ".join(f"('{key}')" for key in keys)
    return parquet(
        path,
        f"SELECT k AS case_id, TIMESTAMPTZ '2026-03-02 00:00:00+00' AS created_at, 'Active' AS lifecycle, 'c' AS creditor_id, "
        f"CAST({seq} AS BIGINT) AS _seq FROM (VALUES {rows}) AS v(k)",
    )


@pytest.fixture
def expected(tmp_path: Path) -> Iterator[ExpectedState]:
    """Two closed cases in the warehouse, `a` and `b`."""
    before = parquet(
        tmp_path / "before.parquet",
        "SELECT k AS key, TIMESTAMPTZ '2026-03-02 00:00:00+00' AS created_at, 'closed' AS bucket, CAST(0 AS DECIMAL(18,4)) AS usd, "
        "false AS is_estimate, '' AS referral_invoicing_status, CAST(0 AS DECIMAL(18,4)) AS referral_fee_recognized_usd, "
        "false AS changes_silently, 'c' AS creditor_id, TIMESTAMPTZ '2026-03-01 00:00:00+00' AS _verified_at "
        "FROM (VALUES ('a'), ('b')) AS v(k)",
    )
    opened = ExpectedState(before, "cases", None, "created_at")
    yield opened
    opened.close()


def test_a_row_of_a_replaced_file_is_withdrawn_until_it_is_read_again_or_deleted(
    expected: ExpectedState, tmp_path: Path
) -> None:
    both, other = landed(tmp_path / "1.parquet", 1, "a", "b", "new"), landed(tmp_path / "2.parquet", 2, "b")
    expected.apply([both])
    assert expected.withdrawn() == []
    expected.apply([other])
    assert [row.key for row in expected.withdrawn()] == ["a", "new"], "`b` was read again; `new` is in no baseline"
    again = landed(tmp_path / "3.parquet", 3, "a", "new")
    expected.apply([other, again])
    assert expected.withdrawn() == []
    expected.apply([other])
    expected.mark_deleted(["a", "new"])
    assert expected.withdrawn() == []
    assert expected.vanished() == {"c": {"a", "new"}}


def test_a_row_that_is_shown_after_it_was_found_gone_is_resolved_again(expected: ExpectedState, tmp_path: Path) -> None:
    expected.mark_deleted(["a"])
    expected.apply([landed(tmp_path / "1.parquet", 1, "a", "b")])
    expected.apply([landed(tmp_path / "2.parquet", 2, "b")])
    assert [row.key for row in expected.withdrawn()] == ["a"]


def test_rows_that_an_interrupted_run_showed_count_as_shown(expected: ExpectedState, tmp_path: Path) -> None:
    expected.note_shown([landed(tmp_path / "1.parquet", 1, "b", "new")])
    expected.apply([landed(tmp_path / "2.parquet", 2, "b")])
    assert [row.key for row in expected.withdrawn()] == ["new"]


class OneRound(IncrementalSync):
    """A sync whose totals match at once; its read of `a` was replaced by one that does not return `a`."""

    can_resolve = True

    async def initial_read(self) -> None:
        """Nothing is read."""

    async def refresh_due_days(self) -> None:
        """No day is due."""

    async def first_round(self) -> list[str]:
        return []

    async def later_round(self) -> list[str]:
        return []

    async def resolve_missing(self, rows: Sequence[MissingRow]) -> None:
        if self.can_resolve:
            self.mark_deleted([row.key for row in rows])

    def matches(self, closing: Totals, ours: HourlyTotals) -> bool:
        return True

    async def estimate(self, full_requests: int) -> CostEstimate:
        return CostEstimate(())

    async def detailed_estimate(self) -> CostEstimate:
        return CostEstimate(())


class StillApi:
    """States the closing totals; counts how often they were requested."""

    listing = SimpleNamespace(resource="cases")
    shown: ClassVar[dict[int, Any]] = {}

    def __init__(self) -> None:
        self.requests = 0

    def files(self, _: object) -> list[Path]:
        return []

    async def totals(self, _: object) -> Totals:
        self.requests += 1
        return Totals(1, {})


def sync_of(expected: ExpectedState, tmp_path: Path) -> OneRound:
    expected.apply([landed(tmp_path / "1.parquet", 1, "a", "b")])
    expected.apply([landed(tmp_path / "2.parquet", 2, "b")])
    reader: Any = StillApi()
    return OneRound(reader, expected, DAY + timedelta(days=1), 30)


def test_a_withdrawn_row_is_resolved(expected: ExpectedState, tmp_path: Path) -> None:
    """Otherwise it would keep its old values, and a total that matched by chance would prove them."""
    outcome = asyncio.run(sync_of(expected, tmp_path).run())
    assert outcome.deleted == ("a",)
    assert expected.missing(Window(None, None), None) == []


def test_a_sync_does_not_succeed_while_a_row_is_withdrawn(expected: ExpectedState, tmp_path: Path) -> None:
    sync = sync_of(expected, tmp_path)
    sync.can_resolve = False
    with pytest.raises(UnprovenError):
        asyncio.run(sync.run())
    assert sync.reader.requests == MAX_ROUNDS
