"""Servers that are not the API, on loopback: closed, silent, in HTML, in the clear, with a certificate of their own.

Belongs here: sockets and bytes. Does not: assertions.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(answer: bytes | None, certificate: Path | None = None) -> Iterator[int]:
    """A port where each connection that asks gets `answer`, or nothing at all; gone at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError):
                link.settimeout(5)
                if answer is None:
                    held.append(link)
                    continue
                if context is not None:
                    link = context.wrap_socket(link, server_side=True)
                link.recv(65536)
                link.sendall(answer)
            link.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for link in held:
            link.close()


def answer(status: str, body: bytes = b"", *, at: datetime | None = None, more: str = "") -> bytes:
    """An answer of HTTP, dated."""
    date = format_datetime(at or datetime.now(UTC), usegmt=True)
    return f"HTTP/1.1 {status}\r\nDate: {date}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def self_signed(folder: Path) -> Path:
    """A certificate for localhost that nobody has signed but itself, with its key."""
    file = folder / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", str(file), "-out", f"{file}.cert"], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.cert").read_text())
    return file
