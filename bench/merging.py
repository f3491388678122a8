"""From landed pages to merged rows: pages to Parquet, Parquet to current rows and history. Rows a second, peak memory.

Belongs here: the two halves, each in a process of its own. The second is `debitura replay` into an empty warehouse.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from bench import machine, night, truth, wire
from debitura_pipeline.contract.listings import LISTINGS

SHAPED_PAGES = 1_500


def measure(runs: int, cases: int) -> None:
    with machine.sandbox(*night.world(cases)) as address, tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        env = machine.settings(address, folder / "data")
        truth.warm(address)
        cost, _ = machine.child("sync", env, "--full")
        print(
            f"Full load of {cases:,} / {3 * cases:,}: {cost.wall_s:.0f} s wall, {cost.cpu_s:.0f} s CPU, "
            f"{cost.peak_mib:.0f} MiB peak ({machine.load_now()})\n"
        )
        print("| part | rows | rows a second | CPU s | peak MiB |\n|---|---|---|---|---|", flush=True)
        for resource in ("cases", "transactions"):
            _keep_pages(address, resource, folder / resource)
            options = ("--pages", str(folder / resource), "--resource", resource)
            _row(f"pages of {resource} to Parquet", [machine.child("shape", env, *options) for _ in range(runs)])
        merges = []
        for number in range(runs):
            target = folder / f"merged-{number}.duckdb"
            merges.append(machine.child("replay", {**env, "DEBITURA_WAREHOUSE": f"duckdb:///{target}"}))
            target.unlink()
        _row("Parquet to current rows and history", merges)


def _row(what: str, found: list[tuple[machine.Cost, dict[str, float]]]) -> None:
    rates = [facts["rows"] / facts["seconds"] for _, facts in found]
    middle = machine.median([cost for cost, _ in found])
    rows = found[0][1]["rows"]
    spread = f"{min(rates):,.0f}–{max(rates):,.0f}"
    print(
        f"| {what} | {rows:,} | {statistics.median(rates):,.0f} ({spread}) | {middle.cpu_s:.1f} | {middle.peak_mib:.0f} |",
        flush=True,
    )


def _keep_pages(address: str, resource: str, folder: Path) -> None:
    listing = LISTINGS[resource]
    path = f"{listing.path}?PageSize=100&Sort={listing.sort.replace(':', '%3A')}&Page="
    folder.mkdir()
    bodies = asyncio.run(wire.read_all(address, [f"{path}{number}" for number in range(1, SHAPED_PAGES + 1)]))
    for number, body in enumerate(bodies):
        (folder / f"{number:06d}.json").write_bytes(body)
