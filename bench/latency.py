"""A sync over the API's own limits: 50 ms a request, 2,000 requests a minute enforced, more requests than a minute grants.

Belongs here: wall time beside what the limit alone would take, and 429s drawn.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import machine, wire

PER_MINUTE = 2_000
LATENCY_MS = 50


def measure(runs: int, cases: int) -> None:
    """Full loads; each begins with a fresh sandbox, since the API counts what it was asked before."""
    print(
        "| requests | wall s | requests / 2,000 a minute, s | ratio | CPU s | 429s | retries |\n|---|---|---|---|---|---|---|"
    )
    for _ in range(runs):
        sizes = ("--cases", str(cases), "--transactions", str(3 * cases), "--latency-ms", str(LATENCY_MS))
        with machine.sandbox(*sizes, is_limited=True) as address, tempfile.TemporaryDirectory(prefix="bench-") as name:
            env = machine.settings(address, Path(name), DEBITURA_REQUESTS_PER_MINUTE=str(PER_MINUTE))
            cost, found = machine.child("sync", env, "--full")
            refused = wire.admin(address, "log").get("429", 0)
        requests = sum(resource["requests"] for resource in found["resources"].values()) + 1
        retries = sum(resource["retries"] for resource in found["resources"].values())
        floor = requests / PER_MINUTE * 60
        print(
            f"| {requests:,} | {cost.wall_s:.1f} | {floor:.1f} | {cost.wall_s / floor:.3f} | {cost.cpu_s:.1f} | {refused} | "
            f"{retries} |",
            flush=True,
        )
