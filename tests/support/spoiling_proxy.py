"""A server between the pipeline and a sandbox that exchanges chosen rows of the lists for others, byte for byte.

Belongs here: passing requests on and exchanging rows. Does not: what is put in their place.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from debitura_pipeline.api.json_scan import OutlineError, elements, members

Spoil = Callable[[bytes], bytes]
ROWS_KEYS = {"/clients": "clients", "/cases": "cases", "/reporting/transactions": "data"}


@contextmanager
def spoiling(url: str, spoils: Mapping[str, Spoil]) -> Iterator[str]:
    """Address of a proxy of `url`. `spoils`: a row's id -> what becomes of its bytes. Stopped at the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() == "xapikey"}
            request = urllib.request.Request(url + self.path, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    status, date, body = answer.status, answer.headers.get("Date"), answer.read()
            except urllib.error.HTTPError as error:
                status, date, body = error.code, error.headers.get("Date"), error.read()
            body = _exchanged(body, ROWS_KEYS.get(self.path.partition("?")[0]), spoils) if status == 200 else body
            self.send_response_only(status)
            if date:
                self.send_header("Date", date)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _exchanged(body: bytes, rows_key: str | None, spoils: Mapping[str, Spoil]) -> bytes:
    if rows_key is None:
        return body
    try:
        rows = elements(members(body)[rows_key])
    except OutlineError:
        return body
    for row in rows:
        for key, spoil in spoils.items():
            if f'd":"{key}"'.encode() in row.replace(b'": "', b'":"') and _is_own(row, key):
                body = body.replace(row, spoil(row))
    return body


def _is_own(row: bytes, key: str) -> bool:
    """Whether `key` is the row's own id, not that of its client or case."""
    fields = members(row)
    own = fields.get("transactionId") or fields.get("id") or members(fields.get("client", b"{}")).get("id", b"")
    return own.strip(b'"').decode() == key
