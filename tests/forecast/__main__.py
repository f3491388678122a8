"""How often the forecast's band holds what comes: `python -m tests.forecast [--seeds 6] [--days 1000]`; a quarter of an hour.

Each seed is a world of another size. Its nights are played, dbt builds the forecast and its backtest on them, and the months
that came are counted by horizon. Over all seeds, 70 to 90 % of the months have to lie in the band: of all forecasts, of those
that are called reliable, and of the reliable ones at one month, two, three, four to six, and seven to twelve.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from debitura_pipeline.orchestration.manifest import DBT_PROJECT, QUIET, dbt_environment, dbt_executable
from debitura_sandbox.world.world import WorldOptions
from tests.forecast.nights import Nights

SIZES = (1_500, 3_000, 800, 5_000)  # cases; three payments each
LEAST, MOST = 0.70, 0.90
SAME_NIGHTS = 25
REPORTS = ("+revenue_forecast", "+forecast_backtest", "+recovery_vintage")
HORIZONS = ((1, 1), (2, 2), (3, 3), (4, 6), (7, 12))
Outcome = tuple[int, bool, bool]  # months ahead, reliable, in the band


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.forecast")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=11)
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, help="keep the warehouses in this folder")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="debitura-forecast-") as name:
        folder = wanted.keep or Path(name)
        check_that_written_is_merged(folder)
        found: list[Outcome] = []
        for seed in range(wanted.first, wanted.first + wanted.seeds):
            began, cpu = time.monotonic(), os.times()
            outcomes = play(folder / f"seed-{seed}", options(seed, SIZES[seed % len(SIZES)]), wanted.days)
            used = os.times()
            cpu_s = sum(used[:4]) - sum(cpu[:4])
            say(f"seed {seed}, {time.monotonic() - began:.0f} s, {cpu_s:.0f} s CPU: {line(outcomes)}")
            found += outcomes
    say(f"all: {line(found)}")
    missed = misses(found)
    for text in missed:
        say(f"MISSED {text}")
    return 1 if missed else 0


def options(seed: int, cases: int) -> WorldOptions:
    """A world with a past of three years."""
    return WorldOptions(seed=seed, clients=max(8, cases // 100), cases=cases, transactions=3 * cases, years=3)


def play(folder: Path, world: WorldOptions, days: int) -> list[Outcome]:
    """Play a world's nights, and say of every month that was forecast whether it came out in the band."""
    nights = Nights(folder, world)
    nights.write(days)
    build(nights)
    with duckdb.connect(str(nights.path), read_only=True) as connection:
        return connection.execute(
            "SELECT horizon_months, is_reliable, is_in_band FROM reports.forecast_backtest"
        ).fetchall()


def build(nights: Nights) -> None:
    """The reports and all that they rest on, with their tests."""
    arguments = ("--select", *REPORTS, "--exclude-resource-type", "unit_test", "--indirect-selection", "cautious")
    target = nights.path.parent / "target"
    subprocess.run(
        [dbt_executable(), "--quiet", "build", *arguments, "--target-path", target, "--log-path", target],
        cwd=DBT_PROJECT,
        env={**os.environ, **QUIET, **dbt_environment(nights.settings)},
        check=True,
    )


def check_that_written_is_merged(folder: Path) -> None:
    """Nights that are written at once leave the tables that the merge leaves."""
    small = WorldOptions(seed=3, clients=9, cases=150, transactions=400, years=3)
    merged, written = Nights(folder / "merged", small), Nights(folder / "written", small)
    merged.merge(SAME_NIGHTS)
    written.write(SAME_NIGHTS)
    for table in ("clients", "cases", "transactions"):
        one, other = (rows(nights.path, f"raw.{table}_history") for nights in (merged, written))
        assert one == other, f"raw.{table}_history: {len(one)} rows merged and {len(other)} written are not the same"
    say(f"{SAME_NIGHTS} nights written at once are the same as merged")


def rows(path: Path, table: str) -> list[str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return sorted(map(repr, connection.execute(f"SELECT * FROM {table}").fetchall()))


def share(outcomes: list[Outcome]) -> float:
    return sum(is_in_band for _, _, is_in_band in outcomes) / len(outcomes) if outcomes else 0.0


def line(outcomes: list[Outcome]) -> str:
    reliable = [one for one in outcomes if one[1]]
    parts = [f"in the band {share(outcomes):.0%} of {len(outcomes)}, reliable {share(reliable):.0%} of {len(reliable)}"]
    parts += [
        f"{first} to {last} months {share(chosen):.0%} of {len(chosen)}" for first, last, chosen in classes(reliable)
    ]
    return "; ".join(parts)


def classes(outcomes: list[Outcome]) -> list[tuple[int, int, list[Outcome]]]:
    return [(first, last, [one for one in outcomes if first <= one[0] <= last]) for first, last in HORIZONS]


def misses(outcomes: list[Outcome]) -> list[str]:
    """What lies outside 70 to 90 %."""
    reliable = [one for one in outcomes if one[1]]
    groups = [("all forecasts", outcomes), ("reliable forecasts", reliable)]
    groups += [
        (f"reliable forecasts {first} to {last} months ahead", chosen) for first, last, chosen in classes(reliable)
    ]
    return [
        f"{name}: {share(chosen):.1%} of {len(chosen)}" for name, chosen in groups if not LEAST <= share(chosen) <= MOST
    ]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
