"""A gateway before a simulated API that changes what its lists answer, for APIs that are wrong, silent or of another mind.

Belongs here: passing on and changing. Does not: assertions. It lives in a thread and ends with its test.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.listing_server import number, written
from tests.support.sandbox import RunningSandbox

PASSED_ON = ("XApiKey", "Authorization", "Idempotency-Key", "Content-Type")
Alter = Callable[[str, Any], Any]  # path with query, document -> document


@dataclass(frozen=True)
class Instead:
    """A gateway's own answer, in place of the API's."""

    status: int
    body: bytes


@contextmanager
def altering(
    sandbox: RunningSandbox, alter: Alter, refuse: Callable[[str, bytes | None], Instead | None] = lambda *_: None
) -> Iterator[str]:
    """Base address of the gateway. `alter` may change the document of a 2xx in place and gives it back, or an `Instead`.

    `refuse`: given path and body of a request, what the gateway answers without passing it on; None: pass it on.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"] or 0)) or None
            if (own := refuse(self.path, sent)) is not None:
                self._answer(own.status, None, own.body)
                return
            headers = {name: self.headers[name] for name in PASSED_ON if self.headers[name]}
            request = urllib.request.Request(sandbox.url + self.path, sent, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, body, date = answer.status, answer.read(), answer.headers["Date"]
            except urllib.error.HTTPError as refused:
                with refused:
                    status, body, date = refused.code, refused.read(), refused.headers["Date"]
            if 200 <= status < 300:
                altered = alter(self.path, json.loads(body, parse_float=Decimal))
                if isinstance(altered, Instead):
                    status, body = altered.status, altered.body
                else:
                    body = written(_numbers(altered))
            self._answer(status, date, body)

        def _answer(self, status: int, date: str | None, body: bytes) -> None:
            self.send_response_only(status)
            if date is not None:
                self.send_header("Date", date)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the server's word

        def log_message(self, *_: Any) -> None:
            """Nothing: the test says what it saw."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _numbers(value: Any) -> Any:
    """Decimals keep their own digits on the wire."""
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return number(str(value)) if isinstance(value, Decimal) else value
