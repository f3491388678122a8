"""One run at a time on a data directory, on either engine, and on a DuckDB file that two data directories share."""

from __future__ import annotations

import asyncio
import contextvars
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.settings import Settings, WarehouseUrl
from debitura_pipeline.warehouse.run_lock import (
    REPORT_AFTER_S,
    REPORT_EVERY_S,
    LockWait,
    current_run,
    exclusive_dev,
    exclusive_run,
)


def as_another_run(settings: Settings, lock_wait: LockWait | None = None) -> None:
    def take() -> None:
        with exclusive_run(settings, "other", lock_wait):
            pass

    contextvars.Context().run(take)


def test_second_run_is_told_who_where_and_since_when_in_one_line(settings: Settings) -> None:
    with exclusive_run(settings, "nightly"), pytest.raises(WarehouseBusy) as busy:
        as_another_run(settings)
    said = str(busy.value)
    assert f"the data directory {settings.data_dir.resolve()}: nightly, process {os.getpid()} on host " in said
    assert re.search(r", since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\. Nothing was touched", said)
    assert "\n" not in said
    as_another_run(settings)


def test_who_has_it_can_be_asked(settings: Settings) -> None:
    assert current_run(settings) is None
    with exclusive_run(settings, "replay"):
        found = current_run(settings)
        assert found is not None
        assert (found.what, found.pid) == ("replay", os.getpid())
    assert current_run(settings) is None


def test_what_a_run_starts_is_part_of_it(settings: Settings) -> None:
    """A nightly's syncs and builds are the nightly's, also where its event loop runs them in threads."""

    async def beside() -> None:
        await asyncio.to_thread(within)

    def within() -> None:
        with exclusive_run(settings, "sync"):
            pass

    with exclusive_run(settings, "nightly"):
        within()
        asyncio.run(beside())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, within).result()
        with pytest.raises(WarehouseBusy):
            as_another_run(settings)


def test_a_thread_that_does_not_belong_to_the_run_is_kept_out(settings: Settings) -> None:
    refused: list[BaseException] = []

    def stranger() -> None:
        try:
            with exclusive_run(settings, "sync"):
                pass
        except WarehouseBusy as busy:
            refused.append(busy)

    with exclusive_run(settings, "nightly"):
        thread = threading.Thread(target=stranger)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_what_goes_on_after_the_run_has_ended_has_nothing_more(settings: Settings) -> None:
    with exclusive_run(settings, "nightly"):
        left_over = contextvars.copy_context()
    with exclusive_run(settings, "replay"), pytest.raises(WarehouseBusy, match="replay"):
        left_over.run(lambda: exclusive_run(settings, "sync").__enter__())


def test_two_data_directories_with_one_duckdb_file_take_turns(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    shared = WarehouseUrl("duckdb", path=tmp_path / "shared.duckdb")
    first = replace(settings, data_dir=tmp_path / "first", warehouse=shared)
    second = replace(
        settings, data_dir=tmp_path / "second", warehouse=replace(shared, path=tmp_path / "link/shared.duckdb")
    )
    with exclusive_run(first, "nightly"):
        with pytest.raises(WarehouseBusy, match=r"the warehouse \S*/shared.duckdb: nightly, process"):
            as_another_run(second)
        as_another_run(replace(second, warehouse=WarehouseUrl("duckdb", path=tmp_path / "own.duckdb")))
    as_another_run(second)


def test_a_patient_run_says_for_whom_it_waits_and_not_too_often(settings: Settings) -> None:
    at, told, slept = [0.0], list[tuple[float, str]](), list[float]()

    def sleep(seconds: float) -> None:
        at[0] += seconds
        slept.append(seconds)

    lock_wait = LockWait(150.0, lambda line: told.append((at[0], line)), sleep, lambda: at[0])
    with exclusive_run(settings, "nightly"), pytest.raises(WarehouseBusy, match=r"Waited 2 minutes\. Another run has"):
        as_another_run(settings, lock_wait)
    assert [when for when, _ in told] == [
        REPORT_AFTER_S,
        REPORT_AFTER_S + REPORT_EVERY_S,
        REPORT_AFTER_S + 2 * REPORT_EVERY_S,
    ]
    assert all(f"nightly, process {os.getpid()} on host" in line for _, line in told)
    assert at[0] <= 151


def test_a_patient_run_goes_on_when_the_other_has_ended(settings: Settings) -> None:
    running = exclusive_run(settings, "nightly")
    contextvars.Context().run(running.__enter__)

    def end(_: float) -> None:
        running.__exit__(None, None, None)

    with exclusive_run(settings, "sync", LockWait(60, print, end)):
        assert current_run(settings).what == "sync"  # type: ignore[union-attr]


def test_one_dev_at_a_time_and_runs_beside_it(settings: Settings) -> None:
    with exclusive_dev(settings), exclusive_dev(settings):
        as_another_run(settings)
        with pytest.raises(WarehouseBusy, match=r"Another `debitura dev` has the data directory .*: dev, process"):
            contextvars.Context().run(exclusive_dev(settings).__enter__)
