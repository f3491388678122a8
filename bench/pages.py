"""How many pages a second the sandbox hands out, so that it is not what a load waits for.

The client is as lean as Python allows (raw asyncio sockets, bodies counted and thrown away), in a process of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from bench import machine, wire

PAGES, BATCH = 3_000, 500
PATH = "/reporting/transactions?Page={page}&PageSize=100&Sort=collectionDate%3Aasc"


def measure(runs: int) -> None:
    """Print pages a second over one listing of 300,000 transactions, everything serialised ahead."""
    with machine.sandbox("--cases", "100000", "--transactions", "300000") as address:
        warm(address)
        rates = [asyncio.run(_read_all(address)) for _ in range(runs)]
    print(
        f"Sandbox: {statistics.median(rates):,.0f} pages a second ({min(rates):,.0f} to {max(rates):,.0f})\n",
        flush=True,
    )


def warm(address: str) -> None:
    """Have both long listings serialised before anything is timed."""
    for path in (PATH, "/cases?Page={page}&PageSize=100&Sort=DateCreated%3Aasc"):
        for page in (1, 2):
            wire.ask(address, path.format(page=page))


async def _read_all(address: str) -> float:
    began = time.monotonic()
    for first in range(1, PAGES + 1, BATCH):  # in batches, so that the bodies do not pile up
        await wire.read_all(address, [PATH.format(page=number) for number in range(first, first + BATCH)])
    return PAGES / (time.monotonic() - began)
