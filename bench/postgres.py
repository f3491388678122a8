"""Landed transactions to merged rows in a local Postgres: rows a second and memory, at two sizes.

Belongs here: that measurement, against the tests' own server (fsync on, as in the field). Does not: extraction. Each merge
is a process of its own (`python -m bench.postgres FOLDER`): the first reading into empty tables, the same rows once more
as the next night's complete reading, and a nightly reading of a twentieth of them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench import machine
from debitura_pipeline.landing.landing_zone import sync_folders
from debitura_pipeline.settings import load_settings
from debitura_pipeline.sync.landed_sync import landed_from
from debitura_pipeline.warehouse.base import DeletionScope
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.postgres import PostgresServer

SIZES = ((25_000, 75_000), (100_000, 300_000))
NIGHT_SHARE = 20
KINDS = ("first", "complete", "nightly")
WHAT = {
    "first": "first reading, into empty tables",
    "complete": "the same rows, read whole the next night",
    "nightly": "a twentieth of them, as a nightly reading",
}


def measure(runs: int) -> None:
    """Print the table of bench/README.md."""
    print(
        "| transactions | merge | rows | rows a second | CPU s of the pipeline | peak MiB |\n|---|---|---|---|---|---|",
        flush=True,
    )
    server = PostgresServer(fsync="on")
    try:
        for cases, transactions in SIZES:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                with machine.sandbox("--cases", str(cases), "--transactions", str(transactions)) as address:
                    command = [
                        str(Path(sys.executable).with_name("debitura")),
                        "sync",
                        "--full",
                        "--only",
                        "transactions",
                    ]
                    machine.run(command, machine.settings(address, Path(folder)))
                for kind in KINDS:
                    _row(transactions, kind, [merge(server, Path(folder), kind) for _ in range(runs)])
    finally:
        server.remove()


def merge(server: PostgresServer, folder: Path, kind: str) -> tuple[machine.Cost, dict[str, Any]]:
    """One merge in a fresh database, what comes before it done by another process."""
    with server.database() as database:
        env = {"DEBITURA_DATA_DIR": str(folder), "DEBITURA_WAREHOUSE": database.url}
        command = [sys.executable, "-m", "bench.postgres"]
        if kind != "first":
            machine.measure([*command, "first"], env)
        return machine.measure([*command, kind], env)


def _row(transactions: int, kind: str, found: list[tuple[machine.Cost, dict[str, Any]]]) -> None:
    rates = [facts["rows"] / facts["seconds"] for _, facts in found]
    middle = machine.median([cost for cost, _ in found])
    print(
        f"| {transactions:,} | {WHAT[kind]} | {found[0][1]['rows']:,} "
        f"| {statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f}) "
        f"| {middle.cpu_s:.1f} | {middle.peak_mib:.0f} |",
        flush=True,
    )


def merge_here(kind: str) -> dict[str, Any]:
    """Merge the landed transactions into the warehouse that the settings name."""
    settings = load_settings()
    landed = landed_from(next(iter(sync_folders(settings.landing_dir, "transactions"))))
    if kind != "first":
        landed = replace(landed, sync_id=f"{landed.sync_id}-{kind}", at=landed.at + timedelta(days=1))
    if kind == "nightly":
        share = max(1, len(landed.files) // NIGHT_SHARE)
        landed = replace(landed, files=landed.files[-share:], deletion_scope=DeletionScope("keys"))
    with open_warehouse(settings) as warehouse:
        began = time.monotonic()
        counts = warehouse.merge(landed)
        return {"rows": counts.inserted + counts.changed + counts.unchanged, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    print(json.dumps(merge_here(sys.argv[1])))
