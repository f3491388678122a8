"""A proxy on loopback that knows CONNECT, leads every host to one port of this machine, or fails as it is told.

Belongs here: that proxy. Does not: what is behind it.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass
class ConnectProxy:
    """`leads_to`: the port that every tunnel ends at. `answer`: sent instead of a tunnel, then the connection is closed; empty:
    it is closed without a word; None: a tunnel. `is_silent`: nothing is ever answered. `seen`: each request's head."""

    leads_to: int = 0
    answer: bytes | None = None
    is_silent: bool = False
    breaks_tunnel: bool = False
    tls: ssl.SSLContext | None = None
    seen: list[str] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            with suppress(AttributeError):  # of Python 3.11.2, for a TLS connection that is gone
                writer.transport.abort()
        await asyncio.sleep(0.05)  # until all of them are closed: TLS takes some turns of the loop

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.append(writer)
        try:
            self.seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_silent:
            await asyncio.sleep(60)
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.leads_to)
        self._writers.append(back)
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        if not self.breaks_tunnel:
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        back.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
        await target.drain()
    target.close()
