"""Years of nights of a sandbox world in a warehouse: each night's changed rows landed, and merged by the pipeline's own merge.

Belongs here: which rows have changed, their landings. Does not: HTTP, proofs of completeness; the rows are read from the world.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.base import DeletionScope
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_sandbox.api.documents import case_document, client_document, money, transaction_document
from debitura_sandbox.world.columns import from_us
from debitura_sandbox.world.daily_changes import advance_world
from debitura_sandbox.world.initial_state import make_world
from debitura_sandbox.world.world import RESOURCES, World, WorldOptions
from tests.support.truth import EXPECTED
from tests.warehouse.landings import Landings

# Which columns of the world a row of the listing shows; of clients everything, as they are few.
SHOWN = {
    "cases": ("remainder", "lifecycle", "close_code", "phase", "started", "finished", "needs_info", "responded",
              "partner", "rate", "gross"),
    "transactions": ("amount", "revenue", "fee", "commission", "platform", "referral"),
}  # fmt: skip
KEY = b"a key for the forecast's nights"


class Nights:
    """A warehouse file in `folder`, and the world that it follows."""

    def __init__(self, folder: Path, options: WorldOptions) -> None:
        self.world: World = make_world(options)
        self.folder = folder
        self.settings = load_settings({"DEBITURA_DATA_DIR": str(folder), "DEBITURA_PRIVACY_KEY": "k" * 32})
        self._landings = folder / "landings"
        self._seen: dict[str, dict[str, Any]] = {}

    def play(self, days: int) -> None:
        """The first load, if there was none, and a night after each of so many days. Estimates show their last USD."""
        with open_warehouse(self.settings) as warehouse:
            if not self._seen:
                self._merge(warehouse, 0)
            for day in range(1, days + 1):
                advance_world(self.world, 1)
                self._merge(warehouse, self.world.day, is_whole=day == days)

    def _merge(self, warehouse: Any, night: int, *, is_whole: bool = False) -> None:
        at = from_us(self.world.now_us)
        landings = Landings(self._landings)
        for resource in RESOURCES:
            live = self.world.live(resource)
            rows = np.flatnonzero(live) if is_whole or resource == "clients" else self._changed(resource, live)
            gone = self._gone(resource, live)
            landed = landings.land(
                resource,
                list(self._documents(resource, rows.tolist())),
                at=at,
                sync_id=f"{night:06d}-{resource}",
                deletion_scope=DeletionScope("keys", keys=gone) if gone else DeletionScope("none"),
                partner=(self.world.mode, None) if resource == "transactions" else None,
            )
            warehouse.merge(landed, allow_shrink=True)
            self._note(resource, live)
        shutil.rmtree(self._landings)

    def _changed(self, resource: str, live: Any) -> Any:
        """Rows that are new, back, or look different."""
        known = self._seen.get(resource)
        if known is None:
            return np.flatnonzero(live)
        table, size = self.world.table(resource), len(known["live"])
        is_changed = live.copy()
        is_changed[:size] &= ~known["live"]
        for name in SHOWN[resource]:
            is_changed[:size] |= live[:size] & (table[name][:size] != known[name])
        return np.flatnonzero(is_changed)

    def _gone(self, resource: str, live: Any) -> tuple[str, ...]:
        known = self._seen.get(resource)
        if known is None:
            return ()
        rows = np.flatnonzero(known["live"] & ~live[: len(known["live"])])
        return tuple(self.world.ids(resource, rows))

    def _note(self, resource: str, live: Any) -> None:
        table = self.world.table(resource)
        self._seen[resource] = {"live": live, **{name: table[name].copy() for name in SHOWN.get(resource, ())}}

    def _documents(self, resource: str, rows: list[int]) -> Iterable[dict[str, Any]]:
        """The rows of `raw` that the API's answers come to."""
        world, (_, as_row) = self.world, EXPECTED[resource]
        if resource == "clients":
            stats = world.client_stats()
            found = (client_document(world, row, stats) for row in rows)
        elif resource == "cases":
            found = (case_document(world, row) for row in rows)
        else:
            chosen = np.array(rows, dtype=np.int64)
            usd = zip(rows, world.usd(chosen, "fee").tolist(), world.usd(chosen, "revenue").tolist(), strict=True)
            found = (transaction_document(world, row, money(fee), money(revenue)) for row, fee, revenue in usd)
        return (as_row(document, KEY) for document in found)
