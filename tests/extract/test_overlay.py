"""The state that a night compares with the API's totals: the rows before, with what was landed on top."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.base import MAX_ROUNDS, Forecast, Night
from debitura_pipeline.incremental.expected_state import Missing, Overlay
from debitura_pipeline.incremental.hourly_totals import Ledger

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def parquet(path: Path, select: str) -> Path:
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def landed(path: Path, seq: int, *keys: str) -> Path:
    """A landed file that shows these cases, still open."""
    rows = ", ".join(f"('{key}')" for key in keys)
    return parquet(
        path,
        f"SELECT k AS case_id, TIMESTAMPTZ '2026-03-02 00:00:00+00' AS created_at, 'Active' AS lifecycle, 'c' AS creditor_id, "
        f"CAST({seq} AS BIGINT) AS _seq FROM (VALUES {rows}) AS v(k)",
    )


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    """Two closed cases, `a` and `b`, as the warehouse has them."""
    before = parquet(
        tmp_path / "before.parquet",
        "SELECT k AS key, TIMESTAMPTZ '2026-03-02 00:00:00+00' AS created_at, 'closed' AS bucket, CAST(0 AS DECIMAL(18,4)) AS usd, "
        "false AS is_doubtful, 'c' AS creditor_id, TIMESTAMPTZ '2026-03-01 00:00:00+00' AS _verified_at "
        "FROM (VALUES ('a'), ('b')) AS v(k)",
    )
    opened = Overlay(before, "cases", None, "created_at")
    yield opened
    opened.close()


def test_a_row_of_a_file_that_no_longer_counts_is_withdrawn_until_it_is_shown_or_known_gone(
    overlay: Overlay, tmp_path: Path
) -> None:
    both, other = landed(tmp_path / "1.parquet", 1, "a", "b", "new"), landed(tmp_path / "2.parquet", 2, "b")
    overlay.use([both])
    assert overlay.withdrawn() == []
    overlay.use([other])
    assert [row.key for row in overlay.withdrawn()] == ["a"], "`b` is shown again, and `new` was never in the warehouse"
    again = landed(tmp_path / "3.parquet", 3, "a")
    overlay.use([other, again])
    assert overlay.withdrawn() == []
    overlay.use([other])
    overlay.drop(["a"])
    assert overlay.withdrawn() == []


class OneRound(Night):
    """A night whose totals agree at once, and whose reading of `a` was replaced by one that does not show it."""

    can_settle = True

    async def first_look(self) -> None:
        """Nothing is read."""

    async def take_turn(self) -> None:
        """No day is due."""

    async def look_closer(self, number: int) -> list[str]:
        return []

    async def settle(self, rows: Sequence[Missing]) -> None:
        if self.can_settle:
            self.lose(rows)

    def agrees(self, closing: Totals, ledger: Ledger) -> bool:
        return True

    async def estimate(self, full: int) -> Forecast:
        return Forecast(())

    async def forecast(self) -> Forecast:
        return Forecast(())


class StillApi:
    """Gives the closing totals; counts how often they were asked for."""

    listing = SimpleNamespace(resource="cases")

    def __init__(self) -> None:
        self.asked = 0

    async def totals(self, _: object) -> Totals:
        self.asked += 1
        return Totals(1, {})


def night_of(overlay: Overlay, tmp_path: Path) -> OneRound:
    overlay.use([landed(tmp_path / "1.parquet", 1, "a", "b")])
    overlay.use([landed(tmp_path / "2.parquet", 2, "b")])
    reader: Any = StillApi()
    return OneRound(reader, overlay, DAY + timedelta(days=1), 30)


def test_a_night_finds_out_what_became_of_a_row_that_is_withdrawn(overlay: Overlay, tmp_path: Path) -> None:
    """It fell back to its old values, which a total that was equal by chance called proven."""
    reading = asyncio.run(night_of(overlay, tmp_path).read())
    assert reading.gone == ("a",)
    assert overlay.missing(Window(None, None), None) == []


def test_a_night_does_not_end_while_a_row_is_withdrawn(overlay: Overlay, tmp_path: Path) -> None:
    night = night_of(overlay, tmp_path)
    night.can_settle = False
    with pytest.raises(UnprovenError):
        asyncio.run(night.read())
    assert night.reader.asked == MAX_ROUNDS  # type: ignore[attr-defined]
