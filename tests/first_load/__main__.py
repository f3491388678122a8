"""First loads of a large simulated partner, alone and with workers: `make first-load`. Needs redis-server.

`ARGS="--cases 100000 --limited"`: wall time and requests of a run that reads alone, with one worker and with two, on DuckDB and
Postgres. `--kills 20`: instead, loads with two workers in which a worker, a part's process, the run or Redis is killed at a random
moment. Each load must equal the one that is read alone, row by row.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from debitura_pipeline.first_load.divide import LEAST_ROWS
from tests.first_load.machine import Loads
from tests.support.postgres import PostgresServer
from tests.support.sandbox import start_sandbox

VICTIMS = ("worker", "part", "run", "redis")


def main() -> int:
    """Returns 1 if a load was not what it must be, 2 without Redis."""
    parser = argparse.ArgumentParser(prog="python -m tests.first_load")
    parser.add_argument("--cases", type=int, default=15_000, help="three times as many transactions")
    parser.add_argument(
        "--limited", action="store_true", help="the API's rate limit is on, and the run keeps to 1,800 a minute"
    )
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of each response")
    parser.add_argument("--engine", action="append", choices=("duckdb", "postgresql"), help="both by default")
    parser.add_argument("--workers", type=int, default=2, help="most workers")
    parser.add_argument("--part-rows", type=int, default=LEAST_ROWS, help="rows that a part has at least")
    parser.add_argument("--kills", type=int, default=0, help="loads in which something is killed")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if shutil.which("redis-server") is None:
        sys.stderr.write("redis-server is not installed.\n")
        return 2
    faults: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="debitura-first-load-")))
        sizes = {"clients": 1_000, "cases": wanted.cases, "transactions": 3 * wanted.cases, "seed": wanted.seed}
        sandbox = start_sandbox(no_rate_limit=not wanted.limited, latency_ms=wanted.latency_ms, **sizes)
        stack.callback(sandbox.stop)
        for engine in wanted.engine or ("duckdb", "postgresql"):
            postgres = PostgresServer() if engine == "postgresql" else None
            if postgres is not None:
                stack.callback(postgres.remove)
            loads = stack.enter_context(
                Loads(folder / engine, sandbox, postgres, wanted.part_rows, is_limited=wanted.limited)
            )
            alone = _load(loads, 0, None, faults)
            for workers in range(1, 0 if wanted.kills else wanted.workers + 1):
                if _load(loads, workers, None, faults) != alone:
                    faults.append(f"{engine}, {workers} workers: other rows than those that are read alone")
            chance = random.Random(wanted.seed)
            for number in range(wanted.kills):
                if _load(loads, wanted.workers, _Killer(chance, VICTIMS[number % len(VICTIMS)]), faults) != alone:
                    faults.append(f"{engine}, kill {number + 1}: other rows than those that are read alone")
    for fault in faults:
        _say(f"FAULT  {fault}")
    _say(f"{len(faults)} faults")
    return 1 if faults else 0


class _Killer:
    """Kills once, at a random moment of a load."""

    def __init__(self, chance: random.Random, victim: str) -> None:
        self.victim, self._chance = victim, chance

    def kill(self, loads: Loads, run: subprocess.Popen[bytes]) -> str:
        """What was killed, and when."""
        began, wait_s = time.monotonic(), self._chance.uniform(0.2, 0.9) * loads.shortest_s
        with suppress(subprocess.TimeoutExpired):
            run.wait(wait_s)
        found = None
        while found is None and run.poll() is None:
            found = self._find(loads, run)
            time.sleep(0.01)
        with suppress(psutil.Error):
            if found is not None:
                found.kill()
        return f"{self.victim if found else 'nothing'} killed after {time.monotonic() - began:.1f} s"

    def _find(self, loads: Loads, run: subprocess.Popen[bytes]) -> psutil.Process | None:
        parts = [(worker, part) for worker in loads.workers for part in psutil.Process(worker.pid).children()]
        parts = [(worker, part) for worker, part in parts if "debitura_pipeline.workers.part" in part.cmdline()]
        if self.victim == "run":
            return psutil.Process(run.pid)
        if self.victim == "redis":
            return psutil.Process(loads.redis.pid)
        if not parts:
            return None
        worker, part = self._chance.choice(parts)
        return part if self.victim == "part" else psutil.Process(worker.pid)


def _load(loads: Loads, workers: int, killer: _Killer | None, faults: list[str]) -> dict[str, Any]:
    """One load from an empty warehouse; returns its rows."""
    cpu = _cpu_s()
    loads.begin(workers)
    before = loads.requests()
    began = time.monotonic()
    run = loads.start_run()
    killed = killer.kill(loads, run) if killer else ""
    status = run.wait()
    if killer is not None and killer.victim == "run" and status:
        status = loads.start_run().wait()
    took = time.monotonic() - began
    if killer is None:
        loads.shortest_s = min(loads.shortest_s, took)
    sent = loads.requests() - before
    found, syncs, left = loads.contents(), loads.syncs(), loads.left()
    proven = [resource for resource, _, is_proven in syncs if is_proven]
    if status or left or set(proven) != {"cases", "clients", "transactions"} or loads.verify():
        faults.append(f"status {status}, left {left}, proven {proven}, certificates {loads.verify()}: {loads.log()}")
    counted = ", ".join(f"{resource} {requests:,}" for resource, requests, _ in syncs)
    readers = "alone" if not workers else f"with {workers} worker{'s' if workers > 1 else ''}"
    theirs = ", ".join(f"{count} {name}" for name, count in loads.windows_of_workers().items())
    loads.end()
    _say(
        f"{loads.engine}, {readers}: {took:.1f} s, {_cpu_s() - cpu:.1f} CPU s, {sent:,} requests (of the certificates: {counted}); "
        f"windows of workers: {theirs or 'none'}; {killed}"
    )
    return found


def _cpu_s() -> float:
    """Of the runs, workers and parts that are over; the simulated API is not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text.removesuffix('; ')}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
