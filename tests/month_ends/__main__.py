"""Nights of a small world on DuckDB: `python -m tests.month_ends --nights 400`. Exit status 1 if the past has changed.

Every night's figures by client, stage and currency are kept as they were. dbt builds now and then, and in the end:
    as of each night the warehouse still gives that night's figures, to the last digit;
    each month of `stage_waterfall` closes with the figures of its last night, and is made up of its parts;
    a month that was over at an earlier build is still the same, in every column.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.dbt.worlds import World
from tests.support.past import Figures, figures_as_of, figures_now
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

SWITCHES = {3: "ConfirmedPipeline", 5: "PayWhenPaid"}  # invoicing mode from that eighth of the nights on
BUILDS = 4
ZERO = Decimal(0)

Nights = list[tuple[datetime, Figures]]
Waterfall = dict[tuple[Any, str], dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.month_ends")
    parser.add_argument("--nights", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--transactions", type=int, default=150)
    wanted = parser.parse_args()
    logging.disable(logging.WARNING)
    sandbox = start_sandbox(
        clients=6,
        cases=wanted.transactions // 2,
        transactions=wanted.transactions,
        seed=wanted.seed,
        no_rate_limit=True,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            faults = play(Path(folder), sandbox, wanted.nights)
    finally:
        sandbox.stop()
    for fault in faults[:20]:
        sys.stdout.write(f"{fault}\n")
    return 1 if faults else 0


def play(folder: Path, sandbox: RunningSandbox, nights: int) -> list[str]:
    """Play the nights; a line per fault."""
    pipeline, known, before, faults = Pipeline(folder / "data", sandbox), Nights(), Waterfall(), list[str]()
    began = time.monotonic()
    for night in range(nights):
        happen(sandbox, night, nights)
        pipeline.sync(allow_shrink=True)
        known.append(figures_now(pipeline))
        if (night + 1) % max(nights // BUILDS, 1) == 0 or night + 1 == nights:
            world = build(folder / "data" / "warehouse.duckdb")
            found = waterfall(world)
            faults += [f"night {night}: {fault}" for fault in waterfall_faults(found, known, before)]
            before = found
            say(
                f"{night + 1} nights, {len(found)} rows of the waterfall, {len(faults)} faults, {time.monotonic() - began:.0f} s"
            )
    unlike = [at for at, figures in known if figures_as_of(world.rows, at) != figures]
    say(f"as of {len(known)} nights: {len(known) - len(unlike)} equal to the last digit")
    say(size_of(world))
    return faults + [f"as of {at.isoformat()} the figures are not those of that night" for at in unlike]


def happen(sandbox: RunningSandbox, night: int, nights: int) -> None:
    if night == 0:
        return
    sandbox.admin("advance", {"days": 1})
    for eighth, mode in SWITCHES.items():
        if night == nights * eighth // 8:
            sandbox.admin("change", {"op": "mode", "mode": mode})


def build(path: Path) -> World:
    world = World(path)
    world.build("--select", "+stage_waterfall", "+fct_transactions", command="run")
    return world


def waterfall(world: World) -> Waterfall:
    return {(row["month"], row["revenue_stage"]): row for row in world.records("reports.stage_waterfall")}


def waterfall_faults(found: Waterfall, known: Nights, before: Waterfall) -> list[str]:
    """Parts that do not add up, closings that are not the last night's, finished months that have changed."""
    faults = []
    closings = last_nights(known)
    moved: dict[Any, Decimal] = defaultdict(lambda: ZERO)
    for (month, stage), row in found.items():
        name = f"{month:%Y-%m} {stage}"
        parts = row["appeared_usd"] + row["moved_in_usd"] - row["moved_out_usd"] + row["edited_usd"] + row["fx_usd"]
        if row["opening_usd"] + parts - row["gone_usd"] != row["closing_usd"]:
            faults.append(f"{name} does not close")
        if (row["closing_count"], row["closing_usd"]) != closings[month].get(stage, (0, ZERO)):
            faults.append(
                f"{name}: {row['closing_count']}, {row['closing_usd']}; that night: {closings[month].get(stage)}"
            )
        moved[month] += row["moved_in_usd"] - row["moved_out_usd"]
        earlier = before.get((month, stage))
        if earlier is not None and not earlier["is_current_month"] and earlier != row:
            faults.append(f"{name} was {earlier}, and now is {row}")
    return faults + [f"{month:%Y-%m}: moves come to {usd}" for month, usd in moved.items() if usd]


def last_nights(known: Nights) -> dict[Any, dict[str, tuple[int, Decimal]]]:
    """Count and USD by stage on the last night of each month, by its first day."""
    closings = {}
    for at, figures in known:
        stages: dict[str, tuple[int, Decimal]] = {}
        for (_, stage, _), (count, _, usd, _) in figures.items():
            counted, summed = stages.get(stage, (0, ZERO))
            stages[stage] = counted + count, summed + usd
        closings[at.date().replace(day=1)] = stages
    return closings


def size_of(world: World) -> str:
    ((totals,),) = world.rows("SELECT count(*) FROM ops.estimate_totals")
    ((kept,),) = world.rows("SELECT count(*) FROM raw.transactions_history")
    kinds = world.rows("SELECT kind, count(*) FROM marts.fct_stage_changes GROUP BY 1 ORDER BY 1")
    drift = world.rows(
        "SELECT count(*), sum(abs(of_which_drift_usd)) FROM reports.stage_waterfall WHERE of_which_drift_usd <> 0"
    )
    return f"{totals} rows of totals, {kept} versions; changes {dict(kinds)}; drift in {drift[0][0]} cells, {drift[0][1]} USD"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
