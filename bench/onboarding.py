"""Many new clients at once: how many runs, requests and seconds until the sensor has nothing left to do.

Belongs here: the story and its table. Does not: a tick and its run (`bench/tick.py`), which is a process of its own
each time, as under Dagster's daemon; the daemon's half minute between ticks is not waited for.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import machine, wire

SIZES = (50, 500, 5_000)
CASES, TRANSACTIONS = 3, 9  # of each new client
LOADED = (25_000, 75_000)  # of a partner whose night is behind it
MOST_BESIDE = 500  # added one by one at the sandbox's admin door


@dataclass(frozen=True)
class Story:
    """From the first tick to the one that finds nothing to do. `tick_s`: the first tick, and the last."""

    runs: int
    requests: int
    wall_s: float
    in_runs_s: float
    tick_s: tuple[float, float]


def measure(runs: int, clients: int | None = None) -> None:
    print("| new clients | warehouse | runs | requests | wall s | of it in runs | first tick s | last tick s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for size in (clients,) if clients else SIZES:
        _row(size, "empty", [_empty(size) for _ in range(runs)])
        if size <= MOST_BESIDE:
            _row(size, f"{LOADED[0]:,} / {LOADED[1]:,} loaded", [_beside(size) for _ in range(runs)])


def _row(size: int, warehouse: str, stories: list[Story]) -> None:
    wall = [story.wall_s for story in stories]
    spread = f" ({min(wall):.0f}–{max(wall):.0f})" if len(wall) > 1 else ""
    first, last = (statistics.median(story.tick_s[place] for story in stories) for place in (0, 1))
    in_runs = statistics.median(story.in_runs_s for story in stories)
    print(
        f"| {size:,} | {warehouse} | {statistics.median(s.runs for s in stories):.0f} | "
        f"{statistics.median(s.requests for s in stories):,.0f} | {statistics.median(wall):.0f}{spread} | {in_runs:.0f} | "
        f"{first:.1f} | {last:.2f} |",
        flush=True,
    )


def _empty(size: int) -> Story:
    """A partner whose clients are all new: nothing was ever loaded."""
    world = ["--clients", str(size), "--cases", str(CASES * size), "--transactions", str(TRANSACTIONS * size)]
    with machine.sandbox(*world) as address, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return _until_done(address, machine.settings(address, Path(folder)))


def _beside(size: int) -> Story:
    """A partner who is loaded, and whose new clients arrive together."""
    world = ["--clients", "25", "--cases", str(LOADED[0]), "--transactions", str(LOADED[1])]
    with machine.sandbox(*world) as address, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        env = machine.settings(address, Path(folder))
        _until_done(address, env)
        for number in range(size):
            new = {"tenant": f"new-{number}", "cases": CASES, "transactions": TRANSACTIONS}
            wire.admin(address, "clients", new)
        return _until_done(address, env)


def _until_done(address: str, env: dict[str, str]) -> Story:
    before, runs, wall, in_runs, ticks = _requests(address), 0, 0.0, 0.0, []
    while True:
        cost, found = machine.measure([sys.executable, "-m", "bench.tick"], env)
        ticks.append(found["tick_s"])
        if not found["asked"]:
            return Story(runs, _requests(address) - before, wall, in_runs, (ticks[0], ticks[-1]))
        runs, wall, in_runs = runs + 1, wall + cost.wall_s, in_runs + found["run_s"]


def _requests(address: str) -> int:
    return sum(count for name, count in wire.admin(address, "log").items() if "/sandbox/" not in name)
