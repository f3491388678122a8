"""An API of three short lists, served as the test wrote them: numbers are put on the wire as texts, digit by digit.

Belongs here: paging, the paging block, totals. Does not: filters, limits or faults, which are the sandbox's. For tests of
what a world made by arithmetic cannot hold.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LISTS = {"/clients": "clients", "/cases": "cases", "/reporting/transactions": "data"}
_MARKED = re.compile(r'"@([^"@]*)@"')


def number(text: str) -> str:
    """A number to be written exactly so, e.g. `number("1E-05")`."""
    return f"@{text}@"


def written(document: Any) -> bytes:
    return _MARKED.sub(r"\1", json.dumps(document)).encode()


@contextmanager
def serving(rows: Mapping[str, list[Any]], summaries: Mapping[str, Any]) -> Iterator[str]:
    """Base address of a server of `rows` and `summaries`, both by path; stopped at the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.answer(_page(parts.path, parse_qs(parts.query)) if parts.path in LISTS else _ME)

        def answer(self, document: Any) -> None:
            body = written(document)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests need no access log."""

    def _page(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        size, current, every = int(query["PageSize"][0]), int(query["Page"][0]), rows[path]
        shown = every[(current - 1) * size : current * size]
        page = {
            "totalResults": len(every), "pageSize": size, "currentPage": current, "responseCount": len(shown),
            "totalPages": -(-len(every) // size),
        }  # fmt: skip
        return {LISTS[path]: shown, "summary": summaries.get(path, {}), "page": page}

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


_ME = {"invoicingTriggerMode": "PayWhenPaid", "referralFeePercentage": 50}
