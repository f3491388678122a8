"""Pass connections on: `python -m tests.cluster.relay LISTEN TARGET PORT…`, each port to the same one of the target.

A worker in a network namespace reaches Redis, Postgres and the simulated APIs through two of these, as through a network: at its
own loopback address, since a simulated API is plain http, which the pipeline accepts of its own machine alone.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

CHUNK = 65_536


async def main(listen: str, target: str, ports: list[int]) -> None:
    """Listen until killed."""
    for port in ports:
        await asyncio.start_server(lambda reader, writer, port=port: _pass(reader, writer, target, port), listen, port)  # type: ignore[misc]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, port: int) -> None:
    try:
        there, back = await asyncio.open_connection(target, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    with suppress(OSError):
        writer.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
