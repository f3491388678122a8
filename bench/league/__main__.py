"""`make league`: this pipeline, dlt's REST source and a plain script, over the same worlds and seeds.

Three parts: nights of a changing world, a full load, and the same at 50 ms latency. `ARGS="--only nights"` takes one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, truth, wire
from bench.league.contestants import Contestant, line_up
from bench.league.judge import Verdict, judge

SEED = 11
NIGHTS = 5
NIGHTS_CASES, LOAD_CASES = 20_000, 100_000
LATENCY_MS = 50
# While a night is read, a row near the beginning of each long listing goes: what follows moves up a place.
SHIFTS: tuple[dict[str, Any], ...] = (
    {"kind": "change", "path": "/cases", "nth": 3, "change": {"op": "row", "resource": "cases", "action": "delete"}},
    {
        "kind": "change", "path": "/reporting/transactions", "nth": 3,
        "change": {"op": "row", "resource": "transactions", "action": "delete"},
    },
)  # fmt: skip


def nights(contestants: Sequence[Contestant], runs: int, cases: int) -> None:
    """Each contestant alone with a world of its own, from the same seed: a first load, then nights. `runs` is not used:
    rows do not vary from run to run, and five nights give five timings."""
    print(f"{cases:,} cases, {3 * cases:,} transactions, a first load and {NIGHTS} nights; per night, medians.\n")
    print("| | rows lost | ghosts | out of date | cents off | requests | wall s | CPU s | peak MiB |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for contestant in contestants:
        if (
            contestant.options or "32" in contestant.name
        ):  # faster or slower ways to read the same, seen in the other parts
            continue
        options = ("--seed", str(SEED), "--cases", str(cases), "--transactions", str(3 * cases))
        with machine.sandbox(*options) as address, tempfile.TemporaryDirectory(prefix="league-") as name:
            folder = Path(name)
            _run(contestant, address, folder, is_full=True)
            found = [_night(contestant, address, folder, number) for number in range(1, NIGHTS + 1)]
        verdict, requests, costs = found[-1][0], [n for _, n, _ in found], [cost for _, _, cost in found]
        print(
            f"| {contestant.name} | {verdict.words} | {statistics.median(requests):,.0f} | {_words(costs)} |",
            flush=True,
        )
    print("\nRows and cents as they stand after the last night.", flush=True)


def _night(contestant: Contestant, address: str, folder: Path, number: int) -> tuple[Verdict, int, machine.Cost]:
    wire.admin(address, "advance", {"days": 1})
    shifts = [{**rule, "change": {**rule["change"], "row": 10 * number}} for rule in SHIFTS]
    wire.order_faults(address, shifts)
    before = int(wire.admin(address, "health")["requests"])
    cost = _run(contestant, address, folder, is_full=False)
    requests = int(wire.admin(address, "health")["requests"]) - before
    wire.clear_faults(address)
    truth.take(address, folder / "world", ("cases", "transactions"))
    return judge(contestant, folder, folder / "world"), requests, cost


def full_load(contestants: Sequence[Contestant], runs: int, cases: int, *latency: str) -> None:
    """Everything into an empty database, contestants in turn, so that a busy minute does not fall on one alone."""
    # Once each: the contestants differ only in what they do on later nights.
    firsts = [
        each for each in contestants if each.name.endswith(("pipeline", "in flight", "full refresh", "everything"))
    ]
    costs: dict[str, list[machine.Cost]] = {each.name: [] for each in firsts}
    verdicts: dict[str, Verdict] = {}
    options = ("--seed", str(SEED), "--cases", str(cases), "--transactions", str(3 * cases))
    with machine.sandbox(*options, *latency) as address, tempfile.TemporaryDirectory(prefix="league-") as world:
        truth.take(address, Path(world), ("cases", "transactions"))
        for _ in range(runs):
            for each in firsts:
                with tempfile.TemporaryDirectory(prefix="league-") as folder:
                    costs[each.name].append(_run(each, address, Path(folder), is_full=True))
                    verdicts[each.name] = judge(each, Path(folder), Path(world))
    print("| | rows lost | ghosts | out of date | cents off | wall s | CPU s | peak MiB | wall, first = 1 |")
    print("|---|---|---|---|---|---|---|---|---|")
    ours = machine.median(next(iter(costs.values()))).wall_s
    for name, found in costs.items():
        print(
            f"| {name} | {verdicts[name].words} | {_words(found)} | {machine.median(found).wall_s / ours:.1f} |",
            flush=True,
        )


def _run(contestant: Contestant, address: str, folder: Path, *, is_full: bool) -> machine.Cost:
    cost = machine.run(contestant.command(address, folder, is_full=is_full), contestant.environment(address, folder))
    print(f"{contestant.name}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} s CPU, {cost.peak_mib:.0f} MiB", file=sys.stderr)
    return cost


def _words(costs: Sequence[machine.Cost]) -> str:
    middle = machine.median(costs)
    spread = f"{min(c.wall_s for c in costs):.1f}–{max(c.wall_s for c in costs):.1f}"
    return f"{middle.wall_s:.1f} ({spread}) | {middle.cpu_s:.1f} | {middle.peak_mib:.0f}"


def main() -> None:
    slow = ("--latency-ms", str(LATENCY_MS))
    parts: dict[str, tuple[int, Callable[[Sequence[Contestant], int, int], None]]] = {
        "nights": (NIGHTS_CASES, nights),
        "load": (LOAD_CASES, full_load),
        "latency": (LOAD_CASES, lambda contestants, runs, cases: full_load(contestants, runs, cases, *slow)),
    }
    parser = argparse.ArgumentParser(prog="make league")
    parser.add_argument("--peers", required=True, help="the peers' own Python")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=tuple(parts))
    parser.add_argument("--among", action="append", help="a contestant's name, or part of it; once for each")
    parser.add_argument("--cases", type=int, help="a smaller world, to try things out; three transactions to a case")
    options = parser.parse_args()
    chosen = [each for each in line_up(options.peers) if any(part in each.name for part in options.among or [""])]
    if not chosen:
        parser.error(f"no contestant is called {options.among}")
    for name, (cases, measure) in parts.items():
        if options.only in (None, name):
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine.describe()}, {machine.load_now()}"
            print(f"## {name} ({now}; {options.runs} runs)\n", flush=True)
            measure(chosen, options.runs, options.cases or cases)
            print(flush=True)


if __name__ == "__main__":
    main()
