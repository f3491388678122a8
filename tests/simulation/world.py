"""A small simulated world in this process, and the truth about it: what every row was at every moment that matters.

The sandbox without a socket, and the record of a reading's moments. Rows are worked out by `tests/support/truth.py`, not
by the pipeline's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from debitura_sandbox.api.app import Sandbox
from debitura_sandbox.api.context import AppOptions
from debitura_sandbox.api.documents import documents
from debitura_sandbox.world import codes
from debitura_sandbox.world import world as sandbox_world
from debitura_sandbox.world.change import Entry
from debitura_sandbox.world.columns import Columns
from debitura_sandbox.world.fx_rates import FxRates
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import DATES, RESOURCES, World, WorldOptions
from tests.support.pipeline import PRIVACY_KEY
from tests.support.truth import EXPECTED, Row

Rows = dict[str, Row]
KEY = PRIVACY_KEY.encode()
SECONDS_PER_REQUEST = 0.05
SQUEEZED = 3
DATED = {"clients": ("linked",), "cases": ("created", "started", "finished"), "transactions": ("date", "paid")}
# The same options begin with the same rows, none of which is ever changed.
_FIRST_ROWS: dict[WorldOptions, dict[str, Rows]] = {}
sandbox_world.FxRates = lru_cache(FxRates)  # type: ignore[assignment,attr-defined]  # ten years of rates: the same for every history


@dataclass
class Moments:
    """What one resource was during a reading: the rows at its first request, then each change, in order."""

    base: Rows
    changes: list[dict[str, Row | None]] = field(default_factory=list)

    @property
    def moved(self) -> bool:
        return bool(self.changes)

    def states(self) -> Iterator[Rows]:
        """The rows at every moment."""
        now = dict(self.base)
        yield now
        for change in self.changes:
            now = {key: row for key, row in (now | change).items() if row is not None}
            yield now

    def counts(self, tenant: str | None = None) -> set[int]:
        """How many rows there were, at every moment; with one tenant id, where given."""
        return {
            sum(tenant in (None, row.get("external_tenant_id")) for row in state.values()) for state in self.states()
        }

    def values(self) -> dict[str, list[Row | None]]:
        """Each key's rows in order of time; None: it was not there."""
        found: dict[str, list[Row | None]] = {key: [row] for key, row in self.base.items()}
        for change in self.changes:
            for key, row in change.items():
                found.setdefault(key, [None]).append(row)
        return found


def squeeze(world: World) -> None:
    """Move the year before the first day together into a few months: a night then asks for five windows, not fourteen."""
    for resource, names in DATED.items():
        for name in names:
            column = world.table(resource)[name]
            known = column != codes.NULL_US
            column[known] = world.start_us - (world.start_us - column[known]) // SQUEEZED
    world.invalidate(*RESOURCES)


class SimWorld:
    """A sandbox whose clock moves with its requests, and whose rows are kept as `raw` must show them.

    `reading`: the resource asked for last; `front`: from which instant (microseconds), if its request said so.
    """

    def __init__(self, options: WorldOptions) -> None:
        self.seconds = 0.0
        self.app = Sandbox(
            Journal(options),
            AppOptions(has_rate_limit=False),
            real=lambda: self.seconds,
            wall=lambda: self.seconds,
        )
        squeeze(self.world)
        self.reading: str | None = None
        self.front: int | None = None
        self.rows: dict[str, Rows] = {resource: {} for resource in RESOURCES}
        self._watched: dict[str, Moments] = {}
        self._begins: str | None = None
        if options in _FIRST_ROWS:
            self.rows = {resource: dict(rows) for resource, rows in _FIRST_ROWS[options].items()}
        else:
            self.refresh()
            _FIRST_ROWS[options] = {resource: dict(rows) for resource, rows in self.rows.items()}

    @property
    def world(self) -> World:
        return self.app.world

    def table(self, resource: str) -> Columns:
        return self.world.table(resource)

    def watch(self, resource: str) -> None:
        """A reading of `resource` begins with the next request. Watched already: the reading goes on (it was resumed)."""
        if resource not in self._watched:
            self._begins = resource

    def unwatch(self, resource: str) -> Moments:
        """The reading is over: what the resource was meanwhile."""
        if self._begins == resource:  # it asked for nothing
            self._watched[resource] = Moments(dict(self.rows[resource]))
            self._begins = None
        return self._watched.pop(resource)

    def forget(self, resource: str) -> None:
        """The reading is given up, if there was one: the next one begins anew."""
        self._begins = None if self._begins == resource else self._begins
        self._watched.pop(resource, None)

    def has_moved(self, resource: str) -> bool:
        """Whether `resource` changed since its reading began."""
        return resource in self._watched and self._watched[resource].moved

    def on_request(self, resource: str | None = None, front: int | None = None) -> None:
        """Called when a request is about to be answered, whatever has changed right before it."""
        self.seconds += SECONDS_PER_REQUEST
        if resource is not None:
            self.reading, self.front = resource, front
        if self._begins is not None:
            self._watched[self._begins] = Moments(dict(self.rows[self._begins]))
            self._begins = None

    def change(self, entry: Entry) -> None:
        """Do what an entry says, and write down what became of which row."""
        facts = self.app.change(entry)
        if entry["op"] == "row":
            self._refresh_row(entry["resource"], facts["row"])
        else:
            self.refresh()

    def insert_many(self, resource: str, like: int, at: Sequence[int], **columns: Any) -> list[int]:
        """Rows like row `like`, one for each instant of `at`, in one statement; their numbers."""
        table = self.table(resource)
        made = {name: np.repeat(table[name][like : like + 1], len(at)) for name in table.names}
        changed = {"alive": np.ones(len(at), bool), DATES[resource]: np.array(at, np.int64)}
        changed |= {name: np.array(values) for name, values in columns.items()}
        rows = table.append(**made | changed)
        self.world.invalidate(*RESOURCES)
        self._note(resource, rows)
        self._note("clients", self.world.client_of(resource, rows[:1]))
        return [int(row) for row in rows]

    def set_alive(self, resource: str, rows: Sequence[int], *, is_alive: bool) -> None:
        """These rows vanish, or come back, all at once."""
        self.table(resource)["alive"][np.array(rows, np.int64)] = is_alive
        self.world.invalidate(*RESOURCES)
        self.refresh()

    def midnight(self) -> None:
        """A day begins: the exchange rates move, nothing else does."""
        self.world.day += 1
        self.world.invalidate(*RESOURCES)
        self.app.clock.move_to(self.world.now_us)
        self._note("transactions", np.arange(len(self.world.transactions)))
        self._note("clients", np.arange(len(self.world.clients)))

    def refresh(self) -> None:
        for resource in RESOURCES:
            self._note(resource, np.arange(len(self.table(resource))))

    def _refresh_row(self, resource: str, row: int) -> None:
        if resource == "clients":  # its rows may go and come with it
            self.refresh()
            return
        self._note(resource, np.array([row]))
        if resource == "cases":
            self._note("transactions", np.flatnonzero(self.world.transactions["case"] == row))
        self._note("clients", self.world.client_of(resource, np.array([row])))

    def _note(self, resource: str, rows: Any) -> None:
        """Work these rows out again, and keep what changed."""
        known, ids = self.rows[resource], self.world.all_ids(resource)
        found: dict[str, Row | None] = {}
        live = self.world.live(resource)[rows]
        shown = documents(self.world, resource, rows[live])
        for row, is_live in zip(rows.tolist(), live.tolist(), strict=True):
            now = EXPECTED[resource][1](next(shown), KEY) if is_live else None
            if known.get(ids[row]) != now:
                found[ids[row]] = now
        if not found:
            return
        for key, now in found.items():
            if now is None:
                del known[key]
            else:
                known[key] = now
        if resource in self._watched:
            self._watched[resource].changes.append(found)
