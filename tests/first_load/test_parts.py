"""How a load is cut, when a part is lost, and what each reader may use; all without a server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.errors import RateLimitExhausted, SharedStoreError
from debitura_pipeline.extract.window_record import Totals, VerifiedWindow
from debitura_pipeline.extract.windows import Slice, Window
from debitura_pipeline.first_load.part_store import PartStore
from debitura_pipeline.first_load.plan import Beat, LoadPart, LoadPlan, PartResult, chained, grouped
from debitura_pipeline.first_load.progress import (
    ADVANCES_WITHIN_S,
    ASK_S,
    BEAT_S,
    BEGINS_WITHIN_S,
    SILENT_S,
    PartProgress,
)
from debitura_pipeline.first_load.together import ReadTogether
from debitura_pipeline.landing.journal_lines import Begin, StatedTotals
from debitura_pipeline.settings import Concurrency, Endpoint, Secret, Settings, load_settings
from debitura_pipeline.shared_store.objects import FolderObjects
from debitura_pipeline.sync.first_load import has_common_counts
from debitura_pipeline.sync.part import with_share

MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 7)]
EDGES = [None, *MONTHS, None]
WINDOWS = [Window(start, end) for start, end in pairwise(EDGES)]


def test_parts_are_neighbours_of_about_one_size() -> None:
    """A month that holds most rows and cannot be cut is a part of its own, and an empty one is none."""
    parts = grouped(list(zip(WINDOWS, [0, 40, 60, 900, 30, 70, 5], strict=True)), 100)
    assert [part.rows for part in grouped(list(zip(WINDOWS[:2], [0, 900], strict=True)), 100)] == [900]
    assert [part.rows for part in parts] == [100, 900, 105]
    assert [(part.start, part.end) for part in parts] == [(None, MONTHS[2]), (MONTHS[2], MONTHS[3]), (MONTHS[3], None)]
    assert [part.first_number for part in parts] == [100_001, 200_001, 300_001]


def test_windows_cover_a_part_or_do_not() -> None:
    part = LoadPart(1, ((MONTHS[0], MONTHS[1]), (MONTHS[1], MONTHS[3])), 3)
    whole = [_window(1, MONTHS[1], MONTHS[3]), _window(2, MONTHS[0], MONTHS[1])]
    assert [window.seq for window in chained(whole, part) or ()] == [2, 1]
    assert chained(whole[:1], part) is None
    assert chained([*whole[:1], _window(3, MONTHS[0], MONTHS[1] - timedelta(days=1))], part) is None
    assert chained([_window(1, MONTHS[0], None)], part) is None


@pytest.mark.parametrize(
    ("seqs", "is_taken"), [((0, 1), True), ((0,), False), ((0, 1, 1), False), ((0, 900_000), False)]
)
def test_an_attempt_is_taken_over_only_if_it_covers_its_part_with_numbers_of_its_own(
    tmp_path: Path, seqs: tuple[int, ...], is_taken: bool
) -> None:
    """A gap would be rows that no worker has read."""
    part = LoadPart(1, ((None, MONTHS[0]), (MONTHS[0], None)), 2)
    bounds = ((None, MONTHS[0]), (MONTHS[0], None), (MONTHS[0], None))
    lines = tuple(_window(part.first_number + seq, *bounds[at]).as_line() for at, seq in enumerate(seqs))
    store = PartStore(FolderObjects(f"file://{tmp_path}"), "load")
    store.finish(1, "a1", PartResult(windows=lines, requests=1, retries=0))
    reader: Any = SimpleNamespace(folder=SimpleNamespace(windows=[], path=tmp_path), landed={}, number_from=int)
    together = ReadTogether(reader, replace_parts(_plan(is_counted_together=True), part), store, cast(Any, None))
    if is_taken:
        assert together._fetch(part, "a1").windows == lines
    else:
        with pytest.raises(SharedStoreError, match="does not cover the part"):
            together._fetch(part, "a1")


def replace_parts(plan: LoadPlan, *parts: LoadPart) -> LoadPlan:
    return msgspec.structs.replace(plan, parts=parts)


def test_part_whose_worker_is_silent_or_stands_still_is_lost() -> None:
    part = PartProgress(LoadPart(1, ((None, None),), 3))
    part.heard("old", Beat(7, 20), 0.0)
    assert part.sent_at == 0.0, "a worker that an interrupted run has asked goes on"
    assert not part.is_lost_at(SILENT_S - 1)
    assert part.is_lost_at(SILENT_S), "its beat does not change"
    for number in range(int(ADVANCES_WITHIN_S / BEAT_S) + 1):
        part.heard("new", Beat(number, 20), number * BEAT_S)
        assert not part.is_lost_at(number * BEAT_S) or number * BEAT_S >= ADVANCES_WITHIN_S
    assert part.is_lost_at(ADVANCES_WITHIN_S), "it beats, and sends no request"
    part.heard("new", Beat(200, 21), ADVANCES_WITHIN_S)
    assert not part.is_lost_at(ADVANCES_WITHIN_S + 1)


def test_part_that_nobody_takes_waits_and_one_that_was_taken_without_a_word_is_lost() -> None:
    part = PartProgress(LoadPart(1, ((None, None),), 3))
    part.given_up("of an earlier run")
    part.sent_at = 0.0
    assert part.is_to_be_asked_for(ASK_S) and not part.is_to_be_asked_for(ASK_S - 1)
    part.asked_for(1_000.0, is_waiting=True)
    assert not part.is_lost_at(2_000.0), "all workers are busy"
    part.asked_for(2_000.0, is_waiting=False)
    assert not part.is_lost_at(2_000.0 + BEGINS_WITHIN_S - 1), "its process starts"
    assert part.is_lost_at(2_000.0 + BEGINS_WITHIN_S)
    again = replace(part, _gone_since=None)
    again.given_up("of this run")
    assert again.is_lost_at(2_001.0)


@pytest.mark.parametrize("is_counted_together", [True, False])
def test_readers_keep_to_one_budget(tmp_path: Path, is_counted_together: bool) -> None:
    """DEBITURA_CONCURRENCY is never exceeded; where requests are not counted together, each reader has its share of the minute."""
    settings = _settings(tmp_path, DEBITURA_REQUESTS_PER_MINUTE="90", DEBITURA_CONCURRENCY="8")
    plan = _plan(is_counted_together)
    of_worker = with_share(settings, plan)
    assert of_worker.concurrency == Concurrency(2, 2)
    assert of_worker.requests_per_minute == (90 if is_counted_together else 30)
    adaptive = with_share(_settings(tmp_path), plan)
    assert adaptive.concurrency == _settings(tmp_path).concurrency

    async def of_run() -> tuple[int, int, int]:
        now = datetime(2026, 1, 1, tzinfo=UTC)

        async def no_sleep(seconds: float) -> None:
            raise RateLimitExhausted(f"would wait {seconds} s")

        endpoint = Endpoint("http://127.0.0.1:9", Secret("a key"), None, is_simulated=True)
        async with open_client(settings, endpoint, Runtime(now=lambda: now, sleep=no_sleep)) as client:
            limiter, sent = client._rate_limiter, 0
            with client.shared_among(plan.readers, is_counted_together=is_counted_together):
                within = client.concurrency_limit
                with pytest.raises(RateLimitExhausted):
                    while True:
                        await limiter.acquire()
                        sent += 1
            return within, client.concurrency_limit, sent

    assert asyncio.run(of_run()) == (2, 8, 90 if is_counted_together else 30)


def test_requests_are_counted_together_in_the_warehouse_or_the_data_directory(tmp_path: Path) -> None:
    store = {"DEBITURA_SHARED_STORE": f"file://{tmp_path / 'store'}"}
    postgres = {"DEBITURA_WAREHOUSE": "postgresql://user:password@host/db"}
    cases = [({}, True), (postgres, True), ({**store, **postgres}, True), (store, False)]
    assert [has_common_counts(_settings(tmp_path, **env)) for env, _ in cases] == [known for _, known in cases]


def _settings(folder: Path, **env: str) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(folder / "data"), **env})


def _window(seq: int, start: datetime | None, end: datetime | None) -> VerifiedWindow:
    return VerifiedWindow(Slice(Window(start, end)), seq, Totals(1, {}), 1, 1, 1, None, None)


def _plan(is_counted_together: bool) -> LoadPlan:
    at = MONTHS[0]
    begin = Begin(sync_id="s", resource="cases", mode="full", at=at, upper_bound=at, partner=(None, None), tenant=None)
    return LoadPlan(
        begin=begin,
        identity={},
        privacy="full",
        totals=StatedTotals(0, {}),
        readers=3,
        is_counted_together=is_counted_together,
        parts=(),
    )
