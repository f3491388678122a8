"""`make bench`: the benchmarks of bench/README.md, each printing its table.

`ARGS="--only night"` takes a part, `--runs 5` more runs, `--cases 50000` a smaller world to try things out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import latency, machine, merging, night, onboarding, pages, postgres, publishing, webhooks

SIZES = ((25_000, 75_000), (100_000, 300_000))


def load_once(address: str) -> machine.Cost:
    """One full load into an empty data directory: extraction to merged, proven `raw` with history."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [str(Path(sys.executable).with_name("debitura")), "sync", "--full"]
        return machine.run(command, machine.settings(address, Path(folder)))


def load(runs: int) -> None:
    print("| cases / transactions | wall s | CPU s of the pipeline | peak memory MiB |\n|---|---|---|---|")
    for cases, transactions in SIZES:
        with machine.sandbox("--cases", str(cases), "--transactions", str(transactions)) as address:
            pages.warm(address)
            costs = [load_once(address) for _ in range(runs)]
        middle = machine.median(costs)
        spread = f"{min(c.wall_s for c in costs):.1f}–{max(c.wall_s for c in costs):.1f}"
        print(
            f"| {cases:,} / {transactions:,} | {middle.wall_s:.1f} ({spread}) | {middle.cpu_s:.1f} | {middle.peak_mib:.0f} |",
            flush=True,
        )


def main() -> None:
    parts: dict[str, Callable[[int, int | None], None]] = {
        "pages": lambda runs, _: pages.measure(runs),
        "load": lambda runs, _: load(runs),
        "latency": lambda runs, cases: latency.measure(runs, cases or 100_000),
        "merge": lambda runs, cases: merging.measure(runs, cases or night.FULL_CASES),
        "postgres": lambda runs, _: postgres.measure(runs),
        "publish": publishing.measure,
        "onboarding": onboarding.measure,
        "webhooks": lambda runs, _: webhooks.measure(runs),
        "night": lambda runs, cases: night.measure(runs, cases or night.FULL_CASES, options.keep),
    }
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--runs", type=int, default=3, help="runs per figure, or nights; the median is printed")
    parser.add_argument("--only", choices=tuple(parts))
    parser.add_argument(
        "--cases",
        type=int,
        help="of latency, merge, publish and night; three transactions to a case; of onboarding: new clients",
    )
    parser.add_argument("--keep", type=Path, help="of night: work in this folder and leave it there")
    options = parser.parse_args()
    for name, measure in parts.items():
        if options.only in (None, name):
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine.describe()}, {machine.load_now()}"
            print(f"## {name} ({now}; {options.runs} runs)\n", flush=True)
            measure(options.runs, options.cases)
            print(flush=True)


if __name__ == "__main__":
    main()
