"""`make bench`: a full load at two sizes, and how fast the sandbox hands out pages. Prints a table for bench/README.md.

`ARGS="--runs 5"` takes more runs, `ARGS="--only load"` or `ARGS="--only pages"` a part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, pages

SIZES = ((25_000, 75_000), (100_000, 300_000))


def load_once(address: str) -> machine.Cost:
    """One full load into an empty data directory: extraction to merged, proven `raw` with history."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        env = {
            "DEBITURA_API_URL": address,
            "DEBITURA_API_KEY": machine.KEY,
            "DEBITURA_DATA_DIR": folder,
            "DEBITURA_REQUESTS_PER_MINUTE": "1000000",
        }
        return machine.run([str(Path(sys.executable).with_name("debitura")), "sync", "--full"], env)


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
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--runs", type=int, default=3, help="runs per figure; the median is printed")
    parser.add_argument("--only", choices=("load", "pages"))
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine.describe()}, median of {options.runs} runs\n", flush=True)
    if options.only != "load":
        pages.measure(options.runs)
    if options.only != "pages":
        load(options.runs)


if __name__ == "__main__":
    main()
