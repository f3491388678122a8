"""One window: its pages count only together, all of one version of the list."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from debitura_pipeline.api.client import Page
from debitura_pipeline.api.envelope import read_envelope
from debitura_pipeline.api.listings import TRANSACTIONS, Query
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract import read
from debitura_pipeline.extract.windows import Slice, Window
from debitura_pipeline.landing.shape import Shaper
from debitura_pipeline.landing.store import SyncFolder
from tests.api.pages import page_of, revenue
from tests.landing.rows import to_json, transaction_row
from tests.simulation.door import Here

AT = datetime(2026, 3, 9, 2, tzinfo=UTC)
HOUR = Slice(Window(datetime(2026, 3, 1, 10, tzinfo=UTC), datetime(2026, 3, 1, 11, tzinfo=UTC)))
ROWS = [transaction_row(transactionId=str(UUID(int=number, version=4))) for number in (1, 2)]
BEFORE, AFTER = revenue(2, "10.00"), revenue(2, "10.01")


class Answers:
    """One row a page; each answer comes with the next of the summaries, the last one for good."""

    def __init__(self, *summaries: str) -> None:
        self.summaries, self.asked = list(summaries), 0

    async def page(self, query: Query, number: int) -> Page:
        self.asked += 1
        summary = self.summaries.pop(0) if len(self.summaries) > 1 else self.summaries[0]
        text = to_json(page_of("data", [ROWS[number - 1]], total=len(ROWS)))
        body = f'{text[:-1]},"summary":{summary}}}'.encode()
        return Page(body, read_envelope(body, query.listing))


def reading(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[read.VerifiedWindow]:
    monkeypatch.setattr(read, "PAGE_ROWS", 1)
    facts: dict[str, Any] = {"mode": "full", "at": AT, "upper_bound": AT, "tenant": None, "partner": [None, None]}
    folder = SyncFolder.create(tmp_path, "transactions", "one", **facts)
    shaping: Any = Here()
    with Shaper("pseudonymous", b"a key of the tests") as shaper:
        return asyncio.run(read.Reader(client, shaper, shaping, folder, TRANSACTIONS, AT, 8).read([HOUR]))


def test_pages_of_one_version_are_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Answers(BEFORE)
    assert [(window.distinct, window.attempts) for window in reading(client, tmp_path, monkeypatch)] == [(2, 1)]
    assert client.asked == 2


def test_a_sum_that_moves_between_two_pages_has_the_window_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many distinct keys as announced, and yet of two versions: one row may be as it was, the other as it is."""
    client = Answers(BEFORE, AFTER)
    assert [(window.distinct, window.attempts) for window in reading(client, tmp_path, monkeypatch)] == [(2, 2)]
    assert client.asked == 4


def test_a_window_that_never_holds_still_is_not_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Answers(*[BEFORE, AFTER] * read.MAX_ATTEMPTS)
    with pytest.raises(UnprovenError, match="different totals"):
        reading(client, tmp_path, monkeypatch)
