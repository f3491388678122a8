"""How many pages a second the sandbox hands out, so that it is not what a load waits for.

The client is as lean as Python allows (raw asyncio sockets, bodies counted and thrown away), in a process of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.request

from bench import machine

CONNECTIONS = 8
PAGES = 3_000
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
            request = urllib.request.Request(address + path.format(page=page), headers={"XApiKey": machine.KEY})
            with urllib.request.urlopen(request, timeout=300) as answer:
                answer.read()


async def _read_all(address: str) -> float:
    host, port = address.removeprefix("http://").split(":")
    numbers = iter(range(1, PAGES + 1))
    began = time.monotonic()

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        for number in numbers:
            head = f"GET {PATH.format(page=number)} HTTP/1.1\r\nHost: {host}\r\nXApiKey: {machine.KEY}\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            lines = answer.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return PAGES / (time.monotonic() - began)
