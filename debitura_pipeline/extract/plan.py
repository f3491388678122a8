"""What a sync reads and what it costs: a pure function of what the warehouse knows.

Belongs here: the choice of plan. Does not: requests. Used by `sync.py`. Two plans so far, both reading everything: `small`,
where that is cheap and so always right, and `full`, the first one or one asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from debitura_pipeline.extract.read import PAGE_ROWS
from debitura_pipeline.extract.windows import Window

SMALL_REQUESTS = 200  # below this, reading all is cheaper than finding out what could be left out


@dataclass(frozen=True)
class Knowledge:
    """What the warehouse knows of a resource before the sync: rows that are live now."""

    live_rows: int


@dataclass(frozen=True)
class Plan:
    """Windows to read, and roughly how many requests they will take."""

    mode: str
    windows: tuple[Window, ...]
    requests: int


def plan(known: Knowledge, *, full: bool) -> Plan:
    """The plan for one resource. An empty warehouse is read in full."""
    requests = max(1, -(-known.live_rows // PAGE_ROWS))
    is_small = 0 < known.live_rows and requests < SMALL_REQUESTS
    mode = "small" if is_small and not full else "full"
    return Plan(mode, (Window(None, None),), requests)
