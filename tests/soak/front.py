"""What stands between the machine and the API: TLS with a certificate that can be replaced, and a line that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

SUBJECT, NAMES = "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Front:
    """A TLS server on a fixed loopback port that passes bytes to `target` (host, port), in a thread of its own."""

    def __init__(self, folder: Path, target: tuple[str, int]) -> None:
        self.folder, self._target = folder, target
        self.authorities = folder / "authorities.pem"  # what the pipeline is told to trust
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._made = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.replace_certificate()
        self.up()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def replace_certificate(self) -> None:
        """Another certificate, signed by another authority, which is trusted from now on as well."""
        self._made += 1
        name = f"authority {self._made}"
        ca, key, cert, request = (self.folder / f"{self._made}.{kind}" for kind in ("ca", "key", "cert", "csr"))
        new_key = ("-newkey", "rsa:2048", "-nodes")
        _openssl(
            "req", "-x509", *new_key, "-keyout", f"{ca}.key", "-out", str(ca), "-days", "3650", "-subj", f"/CN={name}"
        )
        _openssl("req", *new_key, "-keyout", str(key), "-out", str(request), "-subj", SUBJECT)
        extensions = self.folder / "extensions"
        extensions.write_text(NAMES)
        signed_by = (
            "-CA",
            str(ca),
            "-CAkey",
            f"{ca}.key",
            "-CAcreateserial",
            "-days",
            "3650",
            "-extfile",
            str(extensions),
        )
        _openssl("x509", "-req", "-in", str(request), *signed_by, "-out", str(cert))
        with self.authorities.open("a") as file:
            file.write(ca.read_text())
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        if self._server is not None:
            self.down()
            self.up()

    def up(self) -> None:
        self._do(self._listen)

    def down(self) -> None:
        """Nobody listens, and every connection is cut."""
        self._do(self._close)

    def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in set(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except OSError:
            writer.transport.abort()
        finally:
            self._open.discard(writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, ssl.SSLError, RuntimeError):
        writer.close()


def _openssl(*arguments: Any) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
