"""Years of nights of a sandbox world in a warehouse: each reading's changed rows, merged by the pipeline's own merge, or written
as the merge would leave them, which takes a tenth of the time.

Belongs here: which rows have changed, their landings and versions. Does not: HTTP, proofs of completeness.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.base import DeletionScope
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.tables import current_columns, version_columns
from debitura_sandbox.api.documents import documents
from debitura_sandbox.world.columns import from_us
from debitura_sandbox.world.daily_changes import advance_world
from debitura_sandbox.world.initial_state import make_world
from debitura_sandbox.world.world import RESOURCES, World, WorldOptions
from tests.support.truth import EXPECTED
from tests.warehouse.landings import Landings, row_hash

# Columns of the world that a row of the listing shows; of clients all are read.
SHOWN = {
    "cases": ("remainder", "lifecycle", "close_code", "phase", "started", "finished", "needs_info", "responded",
              "partner", "rate", "gross"),
    "transactions": ("amount", "revenue", "fee", "commission", "platform", "referral"),
}  # fmt: skip
CLIENTS_EVERY = 14  # days
KEY = b"a key for the forecast's nights"

Row = dict[str, Any]


class Reading(NamedTuple):
    """What a night's reading of a resource has found."""

    resource: str
    at: datetime
    rows: list[Row]
    gone: tuple[str, ...]


class Nights:
    """A warehouse file in `folder`, and the world that it follows."""

    def __init__(self, folder: Path, options: WorldOptions) -> None:
        self.world: World = make_world(options)
        self.settings = load_settings({"DEBITURA_DATA_DIR": str(folder), "DEBITURA_PRIVACY_KEY": "k" * 32})
        self._folder = folder
        self._seen: dict[str, dict[str, Any]] = {}

    @property
    def path(self) -> Path:
        """The warehouse."""
        path = self.settings.warehouse.path
        assert path is not None
        return path

    def merge(self, days: int) -> None:
        """The first load and a night after each of so many days, by the real merge."""
        with open_warehouse(self.settings) as warehouse:
            for reading in self._readings(days):
                landed = Landings(self._folder / "landings").land(
                    reading.resource,
                    reading.rows,
                    at=reading.at,
                    sync_id=f"{reading.at:%Y%m%d}-{reading.resource}",
                    deletion_scope=DeletionScope("keys", keys=reading.gone) if reading.gone else DeletionScope("none"),
                    partner=(self.world.mode, None) if reading.resource == "transactions" else None,
                )
                warehouse.merge(landed, allow_shrink=True)
        shutil.rmtree(self._folder / "landings")

    def write(self, days: int) -> None:
        """The same, written at once: current rows and closed versions as the merge leaves them."""
        versions = {resource: Versions(resource) for resource in RESOURCES}
        last = None
        for last in self._readings(days):
            versions[last.resource].take(last)
        with open_warehouse(self.settings) as warehouse:
            for resource in RESOURCES:
                versions[resource].write(warehouse)
            at = from_us(self.world.now_us)
            for resource in RESOURCES:
                warehouse.execute(
                    "INSERT INTO ops.syncs (sync_id, resource, mode, status, started_at, finished_at, is_proven) "
                    "VALUES ($1, $2, 'small', 'done', $3, $3, true)",
                    (f"{at:%Y%m%d}-{resource}", resource, at),
                )
            warehouse.execute(
                "INSERT INTO raw.partner_history (invoicing_trigger_mode, _valid_from) VALUES ($1, $2)",
                (self.world.mode, from_us(self.world.start_us)),
            )

    def _readings(self, days: int) -> Iterator[Reading]:
        """Estimates show their last USD at the end only."""
        for day in range(days + 1):
            if day:
                advance_world(self.world, 1)
            is_last = day == days
            for resource in RESOURCES:
                if resource != "clients" or is_last or day % CLIENTS_EVERY == 0:
                    yield self._read(resource, is_whole=is_last)

    def _read(self, resource: str, *, is_whole: bool) -> Reading:
        live, known = self.world.live(resource), self._seen.get(resource)
        gone: tuple[str, ...] = ()
        if known is not None:
            gone = tuple(self.world.ids(resource, np.flatnonzero(known["live"] & ~live[: len(known["live"])])))
        chosen = live if is_whole or resource == "clients" else self._changed(resource, live)
        rows = list(self._rows(resource, np.flatnonzero(chosen)))
        table = self.world.table(resource)
        self._seen[resource] = {"live": live, **{name: table[name].copy() for name in SHOWN.get(resource, ())}}
        return Reading(resource, from_us(self.world.now_us), rows, gone)

    def _changed(self, resource: str, live: Any) -> Any:
        """Rows that are new, back, or look different."""
        known = self._seen.get(resource)
        if known is None:
            return live
        table, size = self.world.table(resource), len(known["live"])
        is_changed = live.copy()
        is_changed[:size] &= ~known["live"]
        for name in SHOWN[resource]:
            is_changed[:size] |= live[:size] & (table[name][:size] != known[name])
        return is_changed

    def _rows(self, resource: str, chosen: Any) -> Iterator[Row]:
        """The rows of `raw` that the API's answers come to."""
        _, as_row = EXPECTED[resource]
        return (as_row(document, KEY) for document in documents(self.world, resource, chosen))


class Versions:
    """Current rows and closed versions of a resource."""

    def __init__(self, resource: str) -> None:
        self._table = TABLES[resource]
        self._current: dict[str, Row] = {}
        self._closed: list[Row] = []

    def take(self, reading: Reading) -> None:
        """Follow a reading, as `merge_sql` does."""
        at, sync_id = reading.at, f"{reading.at:%Y%m%d}-{reading.resource}"
        for row in reading.rows:
            key, old, hashed = row[self._table.key], self._current.get(row[self._table.key]), row_hash(self._table, row)
            made = {**row, "_row_hash": hashed, "_verified_at": at, "_deleted_at": None}
            if old is not None and old["_row_hash"] == hashed and old["_deleted_at"] is None:
                self._current[key] = {**old, **made}
                continue
            if old is not None and old["_changed_at"] < at:
                self._closed.append({**old, "_valid_from": old["_changed_at"], "_valid_to": old["_deleted_at"] or at})
            first = at if old is None else old["_first_seen_at"]
            opening = row[self._table.opened] if self._table.opened and row["is_estimate"] else None
            self._current[key] = {
                **made, "_first_seen_at": first, "_changed_at": at, "_sync_id": sync_id, "_opening_fee_usd": opening
            }  # fmt: skip
        for key in reading.gone:
            self._current[key] = {**self._current[key], "_deleted_at": at}

    def write(self, warehouse: Any) -> None:
        """Into the empty tables of `raw`."""
        name = self._table.resource
        for table, columns, rows in (
            (name, current_columns(self._table), list(self._current.values())),
            (f"{name}_superseded", version_columns(self._table), self._closed),
        ):
            names = [column for column, _ in columns]
            with warehouse.transaction():
                warehouse.stage_rows("filled", columns, [tuple(row.get(column) for column in names) for row in rows])
                shown = ", ".join(f'"{column}"' for column in names)
                warehouse.run(f"INSERT INTO raw.{table} ({shown}) SELECT {shown} FROM filled")
                warehouse.run("DROP TABLE filled")
