"""A pooler before Postgres: clients keep a server connection for a transaction, or for their session.

Belongs here: so much of the wire protocol that a client can log in (its login goes on to the server, and the connection that
it makes joins the pool) and that messages are handed to and fro. Reached over loopback, without TLS; for a few clients.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

IDLE, READY, BACKEND_KEY, TERMINATE = b"I", b"Z", b"K", b"X"


class Pooler:
    """`mode` is `transaction` or `session`. `port` is where clients come."""

    def __init__(self, server_port: int, mode: str) -> None:
        self._server_port, self._mode = server_port, mode
        self._idle: list[socket.socket] = []
        self._free = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            server = self._log_in(client)
            if self._mode == "transaction":
                self._give_back(server)
            while True:
                asked = _batch(client)
                if asked is None:
                    break
                if self._mode == "transaction":
                    server = self._taken()
                self._until_idle(client, server, asked)
                if self._mode == "transaction":
                    self._give_back(server)
            if self._mode == "session":
                _send_query(server, b"DISCARD ALL")
                self._give_back(server)

    def _log_in(self, client: socket.socket) -> socket.socket:
        """The client's own login at the server; the number that the server gives its process is kept back."""
        startup = _sized(client)
        while struct.unpack("!I", startup[4:8])[0] != 3 << 16:  # asks for TLS first
            client.sendall(b"N")
            startup = _sized(client)
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._open.append(server)
        server.sendall(startup)
        while True:
            kind, body = _message(server)
            if kind == BACKEND_KEY:
                body = body[:4] + secrets.token_bytes(3).rjust(4, b"\x7f") + secrets.token_bytes(4)
            client.sendall(kind + body)
            if kind == READY:
                return server
            if kind == b"R" and struct.unpack("!I", body[4:8])[0] in (3, 5, 10, 11):  # the server awaits an answer
                kind, body = _message(client)
                server.sendall(kind + body)

    def _until_idle(self, client: socket.socket, server: socket.socket, first: bytes) -> None:
        """Hand on until the server says that no transaction is open; what the client sends meanwhile goes to it, too."""
        server.sendall(first)
        while True:
            kind, body = _message(server)
            client.sendall(kind + body)
            if kind == b"G":  # a copy into the server
                self._copy_in(client, server)
            if kind == READY:
                if body[4:5] == IDLE:
                    return
                asked = _batch(client)
                if asked is None:
                    raise EOFError
                server.sendall(asked)

    @staticmethod
    def _copy_in(client: socket.socket, server: socket.socket) -> None:
        kind = b""
        while kind not in (b"c", b"f"):
            kind, body = _message(client)
            server.sendall(kind + body)

    def _taken(self) -> socket.socket:
        with self._free:
            self._free.wait_for(lambda: bool(self._idle), 10)
            return self._idle.pop()

    def _give_back(self, server: socket.socket) -> None:
        with self._free:
            self._idle.append(server)
            self._free.notify()


@contextmanager
def pooled(server_port: int, mode: str) -> Iterator[Pooler]:
    pooler = Pooler(server_port, mode)
    try:
        yield pooler
    finally:
        pooler.close()


def _send_query(server: socket.socket, sql: bytes) -> None:
    server.sendall(b"Q" + struct.pack("!I", len(sql) + 5) + sql + b"\0")
    while _message(server)[0] != READY:
        pass


def _batch(client: socket.socket) -> bytes | None:
    """What a client sends before it waits for an answer; None when it leaves."""
    found = b""
    while True:
        kind, body = _message(client)
        if kind == TERMINATE:
            return None
        found += kind + body
        if kind in (b"Q", b"S"):
            return found


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    """Its kind, and length and content as they came."""
    return _exactly(source, 1), _sized(source)


def _sized(source: socket.socket) -> bytes:
    length = _exactly(source, 4)
    return length + _exactly(source, struct.unpack("!I", length)[0] - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = source.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found
