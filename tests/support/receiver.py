"""An HTTP receiver on loopback for alerts and heartbeats: keeps what it gets, and answers as it is told.

Belongs here: the server. Does not: assertions. Ends with its `with` block.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`alerts`: documents that were posted, in order. `pings`: paths that were requested. `status`, `answers_after_s`: the status
    and delay in seconds of further answers."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.pings: list[str] = []
        self.status = 200
        self.answers_after_s = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.alerts.append(json.loads(body) | {"path": self.path})
                self._answer()

            def do_GET(self) -> None:
                receiver.pings.append(self.path)
                self._answer()

            def _answer(self) -> None:
                time.sleep(receiver.answers_after_s)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    @property
    def titles(self) -> list[str]:
        """Titles of the alerts, in order."""
        return [alert["title"] for alert in self.alerts]

    def url(self, path: str = "hook-secret-path") -> str:
        """An Apprise URL that posts to it."""
        return f"json://127.0.0.1:{self.port}/{path}"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for the length of the block."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()
