"""Which clients are read whole when rows vanished during a sync, and which rows stay unsettled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from debitura_pipeline.incremental.client_counts import MAX_PAGES, ClientCounts

MANY = MAX_PAGES * 100 + 1


class Expected:
    """Row `x` of a creditor was shown and then no longer; the creditor has `rows` rows."""

    def __init__(self, creditor: str | None, rows: int) -> None:
        self._creditor, self._rows = creditor, rows

    def vanished(self) -> dict[str | None, set[str]]:
        return {self._creditor: {"x"}}

    def uncertain_deletions(self) -> dict[str | None, set[str]]:
        return {}

    def counts_by_client(self) -> dict[str | None, tuple[int, int]]:
        return {self._creditor: (self._rows, 0)}


@pytest.mark.parametrize(
    ("creditor", "ours", "stated", "read", "unsettled"),
    [
        ("c", 5, 5, ["t"], set()),  # an equal count does not tell a deleted row from one that took its place
        ("c", MANY, MANY, [], {"x"}),
        ("c", MANY, MANY + 1, ["t"], set()),
        ("without tenant id", 5, 5, [], {"x"}),
        (None, 5, 5, [], {"x"}),
    ],
)
def test_a_row_that_vanished_is_settled_or_said_to_be_unsettled(
    creditor: str | None, ours: int, stated: int, read: list[str], unsettled: set[str]
) -> None:
    async def rows_of_client(_: str) -> int:
        return stated

    counts, expected = ClientCounts({"c": "t"}), Expected(creditor, ours)
    known: Any = expected
    assert asyncio.run(counts.to_read(known, rows_of_client)) == read
    assert counts.unsettled == unsettled
    assert asyncio.run(counts.to_read(known, rows_of_client)) == []
