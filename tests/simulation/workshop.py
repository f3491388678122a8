"""What thousands of histories share so that each costs tenths of a second: one shaper, one warehouse in memory, no disk waits.

Belongs here: the stand-ins, each with its reason, and putting things back. Does not: histories. Everything that decides
what is read, proven and merged is the pipeline's own.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pytest

from debitura_pipeline.extract import narrow, overlay, prove, read, turn
from debitura_pipeline.landing import row_hash
from debitura_pipeline.landing.contract import TABLES
from debitura_pipeline.landing.shape import Shaped, Shaper
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.sync import land, merging, prepare, upkeep
from debitura_pipeline.warehouse.duckdb import DuckDbWarehouse
from debitura_pipeline.warehouse.tables import all_tables
from tests.simulation.plain_overlay import PlainOverlay, TwinOverlay
from tests.simulation.shelf import clear_shelf, shelved
from tests.simulation.sketch import SketchWarehouse
from tests.simulation.world import KEY
from tests.support.pipeline import PRIVACY_KEY

MEMORY = Path("/dev/shm")
KEPT_SHAPES = 4_000
COMPARED = {name: getattr(merging, name) for name in ("control_totals", "per_client_totals")}
PAGE_MODULES = (read, turn, narrow)  # each has the page's size under this name
PAGE_ROWS = "PAGE_ROWS"


class KeptWarehouse(DuckDbWarehouse):
    """The same tables and statements, in memory, created once and emptied between histories."""

    def __init__(self, spill: Path) -> None:
        super().__init__(duckdb.connect(":memory:", config={"threads": 1}), spill)
        super().prepare()

    def prepare(self) -> None:
        """The tables are there."""

    def empty(self) -> None:
        for schema, name, _ in all_tables():
            self.execute_outside(f"DELETE FROM {schema}.{name}")


def _remembered(shape: Callable[..., Shaped]) -> Callable[..., Shaped]:
    @functools.lru_cache(KEPT_SHAPES)
    def known(resource: str, pages: tuple[bytes, ...], canonical: bool) -> Shaped:
        return shape(resource, pages, canonical=canonical)

    return lambda resource, pages, *, canonical=True: known(resource, tuple(pages), canonical)


class Engines:
    """Stands in for the module `duckdb`: in-memory engines lent again and again. Starting one takes longer than its use."""

    def __init__(self) -> None:
        self._free: list[duckdb.DuckDBPyConnection] = []

    def connect(self, *_: Any, **__: Any) -> Lent:
        return Lent(self._free.pop() if self._free else duckdb.connect(":memory:", config={"threads": 1}), self._free)


class Lent:
    """A lent engine; closing it drops what was made in it and gives it back."""

    def __init__(self, own: duckdb.DuckDBPyConnection, free: list[duckdb.DuckDBPyConnection]) -> None:
        self._own, self._free = own, free
        self._registered: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def register(self, name: str, rows: Any) -> None:
        self._own.register(name, rows)
        self._registered.append(name)

    def close(self) -> None:
        for name in self._registered:
            self._own.unregister(name)
        for kind, name in MADE_BY_OVERLAY:
            self._own.execute(f"DROP {kind} IF EXISTS {name}")
        self._free.append(self._own)


MADE_BY_OVERLAY = (("VIEW", "before"), ("TABLE", "gone"), ("TABLE", "landed"))


def md5_of(_: object, texts: pa.Array) -> pa.Array:
    """What `row_hash` has DuckDB work out: for five rows, Python is quicker."""
    return pa.array([hashlib.md5(text.encode()).hexdigest() for text in texts.to_pylist()], pa.string())


@dataclass(frozen=True)
class Start:
    """What a first sync left: rows that the sketch keeps under `name`, and the world's clock and count of requests."""

    name: str
    seconds: float
    requests: int


class Workshop:
    """Open it once per process; `settle_in` gives the folder and settings of the next history."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="debitura-sim-", dir=MEMORY if MEMORY.is_dir() else None))
        self._patch = pytest.MonkeyPatch()
        self.starts: dict[Any, Start] = {}
        self.shaper = Shaper("pseudonymous", KEY)
        # The same bytes give the same rows: most windows of a quiet night were shaped the night before.
        self.shaper.shape = _remembered(self.shaper.shape)  # type: ignore[method-assign]
        self._real, self._sketch = KeptWarehouse(self._root / "spill"), SketchWarehouse()
        self.warehouse: KeptWarehouse | SketchWarehouse = self._sketch

    def __enter__(self) -> Self:
        patch = self._patch
        for module in (prepare, merging, upkeep):
            patch.setattr(module, "open_warehouse", self._open)
        patch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the process
        patch.setattr(row_hash, "_md5", md5_of)
        patch.setattr(Shaped, "write", shelved(Shaped.write))
        engines = Engines()
        for module in (overlay, prove):
            patch.setattr(module, "duckdb", engines)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.undo()
        self.shaper.close()
        self._real.close()
        self._sketch.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def settle_in(self, refresh_days: int, *, is_real: bool) -> Settings:
        """An empty warehouse, the real one or the sketch, and an empty folder."""
        shutil.rmtree(self._root / "data", ignore_errors=True)
        clear_shelf()
        self.warehouse = self._real if is_real else self._sketch
        self.warehouse.empty()
        self._patch.setattr(land, "Overlay", TwinOverlay if is_real else PlainOverlay)
        for name, own in COMPARED.items():  # the sketch keeps no control totals
            self._patch.setattr(merging, name, own if is_real else lambda *_: [])
        return load_settings(
            {
                "DEBITURA_DATA_DIR": str(self._root / "data"),
                "DEBITURA_PRIVACY_KEY": PRIVACY_KEY,
                "DEBITURA_REFRESH_DAYS": str(refresh_days),
            }
        )

    def doubt(self) -> None:
        """Until the next history, each answer of the overlay is asked of the real one, too."""
        self._patch.setattr(land, "Overlay", TwinOverlay)

    def keep(self, seconds: float, requests: int) -> Start:
        name = f"start_{len(self.starts)}"
        self._sketch.keep(name)
        return Start(name, seconds, requests)

    def resume(self, start: Start) -> None:
        self._sketch.resume(start.name)

    @contextmanager
    def sizes(self, page_rows: int, window_rows: int) -> Iterator[None]:
        """Pages and windows as small as the worlds, so that lists have many pages, windows split and hunts pay."""
        with pytest.MonkeyPatch.context() as patch:
            for module in PAGE_MODULES:
                patch.setattr(module, PAGE_ROWS, page_rows)
            patch.setattr(read, "MAX_WINDOW_ROWS", window_rows)
            patch.setattr(turn, "WINDOW_ROWS", window_rows)
            patch.setattr(narrow, "LEAF_ROWS", page_rows)
            yield

    def live(self, resource: str) -> dict[str, dict[str, Any]]:
        """Live rows of `raw.<resource>` by key: the contract's columns and `_verified_at`."""
        table = TABLES[resource]
        names = (*table.names, "_verified_at")
        columns = ", ".join(f'"{name}"' for name in names)
        found = self.warehouse.rows(f"SELECT {columns} FROM raw.{resource} WHERE _deleted_at IS NULL")
        return {row[0]: dict(zip(names, row, strict=True)) for row in found}

    @contextmanager
    def _open(
        self, settings: Settings, *, read_only: bool = False, **_: Any
    ) -> Iterator[KeptWarehouse | SketchWarehouse]:
        yield self.warehouse
