"""A large partner's first two nights to their end, and publishing alone: wall, CPU, and the peak memory of each process.

On DuckDB and on a Postgres of the benchmark's own. What a night reads is measured by `night.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench import dashboards, machine, night, truth, wire
from tests.support.postgres import PostgresServer

SIZES = (120_000, night.FULL_CASES)
LOOK_S = 0.2


def measure(runs: int, cases: int | None) -> None:
    """Print the tables of bench/README.md. `cases`: that size alone."""
    for size in (cases,) if cases else SIZES:
        with machine.sandbox(*night.world(size)) as address:
            truth.warm(address)
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                _engine(size, "DuckDB", address, machine.settings(address, Path(folder)), Path(folder), runs)
            server = PostgresServer(fsync="on")
            try:
                with server.database() as database, tempfile.TemporaryDirectory(prefix="bench-") as folder:
                    env = machine.settings(address, Path(folder), DEBITURA_WAREHOUSE=database.url)
                    _engine(size, "Postgres", address, env, Path(folder), runs)
            finally:
                server.remove()


def _engine(cases: int, engine: str, address: str, env: dict[str, str], folder: Path, runs: int) -> None:
    print("| cases / transactions | engine | what | wall s | CPU s | peak MiB | of dbt, MiB | published MB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    label = f"| {cases:,} / {3 * cases:,} | {engine} |"
    for name in ("first", "second"):
        wall_s, pipeline, dbt = _nightly(env)
        print(f"{label} the {name} night | {wall_s:.0f} | | {pipeline:.0f} | {dbt:.0f} | |", flush=True)
        wire.admin(address, "change", {"op": "night", "scale": cases / night.FULL_CASES})
    costs = [machine.child("publish", env)[0] for _ in range(runs)]
    middle = machine.median(costs)
    spread = f"{min(c.wall_s for c in costs):.0f}–{max(c.wall_s for c in costs):.0f}"
    files = [path for path in (folder / "published" / "current").iterdir() if not path.is_symlink()]
    size = sum(path.stat().st_size for path in files) / 1e6
    figures = f"{middle.wall_s:.0f} ({spread}) | {middle.cpu_s:.0f} | {middle.peak_mib:.0f} | | {size:,.0f}"
    print(f"{label} publishing | {figures} |\n", flush=True)
    dashboards.measure(folder / "published" / "current" / "warehouse.duckdb")


def _nightly(env: dict[str, str]) -> tuple[float, float, float]:
    """`debitura nightly` to its end: wall seconds, peak MiB of its process and of the dbt process."""
    began, pipeline, dbt = time.monotonic(), 0.0, 0.0
    command = [sys.executable, "-c", "from debitura_pipeline.cli.app import main; main()", "nightly"]
    with subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL) as process:
        family = psutil.Process(process.pid)
        while process.poll() is None:
            pipeline = max(pipeline, _held(family))
            dbt = max([dbt, *(_held(child) for child in family.children(recursive=True))])
            time.sleep(LOOK_S)
    if process.returncode != 0:
        raise SystemExit(f"The night ended with {process.returncode}")
    return time.monotonic() - began, pipeline, dbt


def _held(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 1024**2
    except psutil.Error:  # coming or going
        return 0.0
