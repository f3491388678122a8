"""The receiver of webhooks: CPU per delivery in a closed loop, and how long deliveries take at 200 a second.

The receiver is a process of its own; its CPU is what the operating system counts for all its threads. Each delivery is on the
disk before it is answered.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

SECRET = base64.b64encode(b"a secret of the benchmark").decode()
CONNECTIONS = 16  # of the closed loop
DELIVERIES = 8_000
PER_SECOND, SECONDS = 200, 20
TICKS = os.sysconf("SC_CLK_TCK")


def measure(runs: int) -> None:
    """Print both tables."""
    print("| closed loop: deliveries | connections | a second | CPU µs a delivery |\n|---|---|---|---|")
    for _ in range(runs):
        with receiver() as (pid, port):
            asyncio.run(closed_loop(port, requests(500)))  # warm
            made, before, began = requests(DELIVERIES), cpu_s(pid), time.monotonic()
            asyncio.run(closed_loop(port, made))
            wall_s, cpu = time.monotonic() - began, cpu_s(pid) - before
        print(
            f"| {DELIVERIES:,} | {CONNECTIONS} | {DELIVERIES / wall_s:,.0f} | {cpu / DELIVERIES * 1e6:.0f} |",
            flush=True,
        )
    print(f"\n| at {PER_SECOND} a second, {SECONDS} s | p50 ms | p99 ms | slowest ms |\n|---|---|---|---|")
    for _ in range(runs):
        with receiver() as (_, port):
            took = sorted(asyncio.run(open_loop(port)))
        cut = quantiles(took, n=100)
        print(
            f"| {len(took):,} deliveries | {cut[49] * 1e3:.1f} | {cut[98] * 1e3:.1f} | {took[-1] * 1e3:.1f} |",
            flush=True,
        )


@contextmanager
def receiver() -> Iterator[tuple[int, int]]:
    """Process id and port of `debitura webhooks serve` in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITURA_", "DAGSTER_"))}
        env = {**kept, "DEBITURA_DATA_DIR": str(Path(folder) / "data"), "DEBITURA_WEBHOOK_SECRETS": SECRET}
        command = [str(Path(sys.executable).with_name("debitura")), "webhooks", "serve", "--port", "0"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found is not None
            yield process.pid, int(found[1])
        finally:
            process.terminate()
            process.wait(20)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def requests(count: int) -> list[bytes]:
    """So many deliveries of different events, signed now."""
    return [_request() for _ in range(count)]


def _request() -> bytes:
    data = {
        "externalTenantId": "tenant-042",
        "caseId": str(uuid.uuid4()),
        "reference": "K7TRW2QD",
        "newLifecycle": "Active",
    }
    body = json.dumps(
        {
            "id": str(uuid.uuid4()), "specVersion": "1.0", "event": "case.updated", "timestamp": "2026-05-04T09:12:33Z",
            "data": data, "links": {},
        }
    ).encode()  # fmt: skip
    stamp = str(int(time.time()))
    signature = hmac.new(base64.b64decode(SECRET), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return (
        "POST /webhooks/debitura HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Debitura-Event: case.updated\r\nX-Debitura-Signature: t={stamp},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Link:
    """A kept connection, for one delivery at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Link:
        """A connection to the receiver."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, request: bytes) -> float:
        """Seconds until it is answered 200. Raises RuntimeError for another answer."""
        began = time.monotonic()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode("latin-1").splitlines()[0])
        return time.monotonic() - began

    def close(self) -> None:
        """Close it."""
        self._writer.close()


async def closed_loop(port: int, made: list[bytes]) -> None:
    """Send everything over CONNECTIONS connections, each as fast as it is answered."""

    async def work() -> None:
        link = await Link.open(port)
        while made:
            await link.send(made.pop())
        link.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


async def open_loop(port: int) -> list[float]:
    """Send PER_SECOND deliveries a second, whatever the answers take; seconds of each from when it was due."""
    made, idle, took = (
        requests(PER_SECOND * SECONDS),
        [await Link.open(port) for _ in range(CONNECTIONS)],
        list[float](),
    )
    began = time.monotonic()

    async def one(number: int, request: bytes) -> None:
        due = began + number / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        link = idle.pop() if idle else await Link.open(port)
        await link.send(request)
        took.append(time.monotonic() - due)
        idle.append(link)

    await asyncio.gather(*(one(number, request) for number, request in enumerate(made)))
    for link in idle:
        link.close()
    return took
