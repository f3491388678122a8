"""The leanest client that Python allows, for reading the sandbox fast: raw asyncio sockets, no retries, no parsing.

Belongs here: pages as bytes, calls of the admin door. Does not: meaning.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from bench.machine import KEY

CONNECTIONS = 8


def ask(address: str, path: str) -> bytes:
    """One GET."""
    request = urllib.request.Request(address + path, headers={"XApiKey": KEY})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return bytes(answer.read())


def admin(address: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call of the sandbox's admin door."""
    data = None if body is None else json.dumps(body).encode()
    return dict(json.loads(_call(address, path, "GET" if data is None else "POST", data)))


def order_faults(address: str, rules: Sequence[Mapping[str, Any]]) -> None:
    """Things that are to happen while the sandbox is read."""
    _call(address, "faults", "POST", json.dumps(list(rules)).encode())


def clear_faults(address: str) -> None:
    """Nothing more is to happen."""
    _call(address, "faults", "DELETE", None)


def _call(address: str, path: str, method: str, data: bytes | None) -> bytes:
    request = urllib.request.Request(f"{address}/sandbox/{path}", data, {"XApiKey": KEY}, method=method)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return bytes(answer.read())


async def read_all(address: str, paths: Sequence[str]) -> list[bytes]:
    """The bodies of these pages, in order."""
    host, port = address.removeprefix("http://").split(":")
    bodies: list[bytes] = [b""] * len(paths)
    numbers = iter(range(len(paths)))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        for number in numbers:
            head = f"GET {paths[number]} HTTP/1.1\r\nHost: {host}\r\nXApiKey: {KEY}\r\n\r\n"
            writer.write(head.encode())
            lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            bodies[number] = await reader.readexactly(length)
            if b" 200 " not in lines[0]:
                raise RuntimeError(f"{paths[number]}: {lines[0]!r}")
        writer.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return bodies
