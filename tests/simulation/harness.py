"""What thousands of histories share so that each costs tenths of a second, and all that is not the pipeline's own in them.

Real: planning, reading, windows, the expected state (`ExpectedState`), proof, page transform, row hashes, landed Parquet
files and journals, certificates, the merge with its SQL, history, control totals, replay, verify. Not real: there is no
socket (`direct_client.py`); the warehouse and the expected state's engines are DuckDB databases in memory, made once and
emptied between histories; nothing waits for a disk (`os.fsync` does nothing, files lie in /dev/shm); nothing runs in
threads, so that a seed plays the same each time; one plan is followed where both would do; pages and windows hold as many
rows as suits small worlds.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

import pytest

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.incremental.base import CostEstimate
from debitura_pipeline.incremental.cases import CasesSync
from debitura_pipeline.incremental.transactions import TransactionsSync
from debitura_pipeline.landing.transform import PageTransformer, TransformedPages
from debitura_pipeline.settings import Privacy, Settings, load_settings
from debitura_pipeline.sync import proof, reconciliation, repair, replay, runner  # noqa: F401 (all that is patched is loaded)
from debitura_pipeline.warehouse import identity
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from debitura_sandbox.world.world import DATES
from tests.simulation.crash import Deaths
from tests.simulation.engines import Engines, MemoryWarehouse
from tests.simulation.first_night import FirstNight
from tests.simulation.options import Profile
from tests.simulation.world import KEY, Rows
from tests.support.pipeline import PRIVACY_KEY

MEMORY = Path("/dev/shm")
WINDOWS_REMEMBERED = 2_000  # some 20 KB each
ALWAYS = 1_000  # a nightly plan is followed whatever it costs: a world of forty rows is always cheaper to read whole

READING = ("extract", "incremental", "reconcile")  # packages whose sizes a profile changes
P = ParamSpec("P")
T = TypeVar("T")


def scales(profile: Profile) -> dict[str, int]:
    """Sizes by the names of their constants, so that lists of forty rows have many pages, windows are split and a drill-down pays.

    Each is set in every module of `extract/` and `sync/` that has it.
    """
    return {
        "PAGE_ROWS": profile.page_rows,
        "LEAF_ROWS": profile.page_rows,
        "MAX_WINDOW_ROWS": profile.window_rows,
        "WINDOW_ROWS": profile.window_rows,
        "CHAIN_ROWS": max(profile.page_rows, profile.window_rows // 2),
        "SMALL_PAGES": profile.small_pages,
        "MAX_INCREMENTAL_SHARE": ALWAYS,
    }


class Merged(NamedTuple):
    """A line of `ops.syncs`."""

    sync_id: str
    mode: str
    at: datetime
    is_proven: bool
    message: str


class CachingTransformer(PageTransformer):
    """Shapes the same pages once: worlds of one profile begin with the same rows, and most windows of a night stand still."""

    def __init__(self, privacy: Privacy, key: bytes) -> None:
        super().__init__(privacy, key)
        self._known: dict[bytes, TransformedPages] = {}

    def transform(self, resource: str, pages: Sequence[bytes], *, canonical: bool = True) -> TransformedPages:
        """As by `PageTransformer`, of whose result nothing changes afterwards."""
        asked = hashlib.sha256(f"{resource} {canonical} {[len(page) for page in pages]}".encode())
        for page in pages:
            asked.update(page)
        key = asked.digest()
        if key not in self._known:
            if len(self._known) >= WINDOWS_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = super().transform(resource, pages, canonical=canonical)
        return self._known[key]


class Harness:
    """Open it once per process; `reset` gives the folder and settings of the next history."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="debitura-sim-", dir=MEMORY if MEMORY.is_dir() else None))
        self._patch = pytest.MonkeyPatch()
        self.transformer = CachingTransformer("pseudonymous", KEY)
        self.first_nights: dict[Profile, FirstNight] = {}
        self.deaths = Deaths(self._root / "data")
        self.engines = Engines()
        self._memory = MemoryWarehouse(self._root / "spill", self.deaths)

    def __enter__(self) -> Self:
        for module in (*modules_with("open_warehouse", "sync"), identity):
            self._patch.setattr(module, "open_warehouse", self._open)
        for module in (*modules_with("warehouse_exists", "sync"), identity):
            self._patch.setattr(module, "warehouse_exists", lambda _, **options: True)
        for module in modules_with("duckdb", *READING):
            self._patch.setattr(module, "duckdb", self.engines)
        self._patch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the process
        self._patch.setattr(asyncio, "to_thread", here)
        logging.disable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.undo()
        logging.disable(logging.NOTSET)
        self.transformer.close()
        self._memory.close()
        self.engines.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def reset(self, refresh_days: int, first: FirstNight | None = None) -> Settings:
        """An empty warehouse and an empty folder; or both as a first night left them."""
        self.after_death()
        shutil.rmtree(self._root / "data", ignore_errors=True)
        self._memory.empty()
        if first is not None:
            first.lay_out(self._root / "data")
            self._memory.fill(first.tables)
        return load_settings(
            {
                "DEBITURA_DATA_DIR": str(self._root / "data"),
                "DEBITURA_PRIVACY_KEY": PRIVACY_KEY,
                "DEBITURA_REFRESH_DAYS": str(refresh_days),
            }
        )

    def keep(self, profile: Profile, seconds: float, kept: dict[str, Rows], counted: dict[str, set[int]]) -> FirstNight:
        """What a first night has left, for other histories of the same profile."""
        folder = self._root / f"first-{profile.world.seed}"
        shutil.copytree(self._root / "data", folder)
        self.first_nights[profile] = FirstNight(folder, self._memory.saved(), seconds, kept, counted)
        return self.first_nights[profile]

    def after_death(self) -> None:
        """What the system does when a process is gone: its connections are closed, what was not committed is undone."""
        self.deaths.disarm()
        self._memory.drop_connections()
        self.engines.drop_all()

    @contextmanager
    def sizes(self, profile: Profile) -> Iterator[None]:
        """Pages and windows as small as the worlds, and the list's own date, while a history is played."""
        with pytest.MonkeyPatch.context() as patch:
            for name, rows in scales(profile).items():
                found = modules_with(name, *READING, "sync")
                assert found, f"no module has {name} any more: say in `scales` what took its place"
                for module in found:
                    patch.setattr(module, name, rows)
            if profile.has_months:
                for night in (CasesSync, TransactionsSync):
                    patch.setattr(night, "estimate", as_if_long(night.estimate))
            if profile.goes_by_paid:
                patch.setitem(DATES, "transactions", "paid")
            yield

    @property
    def warehouse(self) -> DuckDbWarehouse:
        """The warehouse, for looking and for tests that change it by hand."""
        return self._memory.own

    def live(self, resource: str) -> dict[str, dict[str, Any]]:
        """Live rows of `raw.<resource>` by key: the contract's columns and `_verified_at`."""
        table = TABLES[resource]
        names = (*table.names, "_verified_at")
        columns = ", ".join(f'"{name}"' for name in names)
        rows = self.warehouse.rows(f"SELECT {columns} FROM raw.{resource} WHERE _deleted_at IS NULL")
        found = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
        assert len(found) == len(rows), f"{resource}: a key stands there twice"
        return found

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of `raw` and their versions, in an order of their own."""
        names = [name for resource in TABLES for name in (resource, f"{resource}_history")]
        return {name: sorted(self.warehouse.rows(f"SELECT * FROM raw.{name}"), key=repr) for name in names}

    def merged(self, resource: str) -> list[Merged]:
        """The syncs that the warehouse calls done, the oldest first."""
        columns = "sync_id, mode, as_of, is_proven, coalesce(message, '')"
        sql = f"SELECT {columns} FROM ops.syncs WHERE resource = ? AND status = 'done' ORDER BY as_of"
        return [Merged(*row) for row in self.warehouse.rows(sql, (resource,))]

    @contextmanager
    def _open(self, settings: Settings, *, read_only: bool = False, **_: Any) -> Iterator[DuckDbWarehouse]:
        with self._memory.connection() as warehouse:
            yield warehouse


def as_if_long(
    estimate: Callable[[Any, int], Awaitable[CostEstimate]],
) -> Callable[[Any, int], Awaitable[CostEstimate]]:
    """A nightly plan compares as many windows as the list is worth: here as if it had thousands of pages, so months."""
    return lambda night, full: estimate(night, full * ALWAYS)


def modules_with(name: str, *packages: str) -> list[ModuleType]:
    """Loaded modules of the pipeline's `packages` that hold `name`."""
    prefix = tuple(f"debitura_pipeline.{package}." for package in packages)
    return [module for key, module in sorted(sys.modules.items()) if key.startswith(prefix) and hasattr(module, name)]


async def here(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Stands in for `asyncio.to_thread`."""
    await asyncio.sleep(0)
    return work(*args, **options)
