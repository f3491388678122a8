"""A gateway before a simulated API that quotes people in its answers: what was sent, and a marker in each text and new field.

The lists of `GET` pass unchanged. It lives in a thread and ends with its block.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LISTS = ("/clients", "/cases", "/reporting/transactions")
TEXTS = ("message", "errormessage", "title", "detail", "traceid", "name", "email")
LINKS = ("url", "solutionurl", "combinedsigningurl")
PASSED_ON = ("xapikey", "authorization", "content-type", "idempotency-key")


@dataclass
class Gateway:
    """`tokens`: those that were handed out. `refused`: body texts whose requests fail, each with the status of the answer."""

    url: str = ""
    tokens: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)


@contextmanager
def echoing(url: str, marker: str) -> Iterator[Gateway]:
    """The gateway of the API at `url`; quotes contain `marker`."""
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, body = self._asked(sent)
            if not (self.command == "GET" and self.path.partition("?")[0] in LISTS):
                body = self._quoting(sent, body)
            self.send_response_only(status)
            for name in ("Date", "Content-Type", "Retry-After"):
                if headers.get(name):
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(body)))
            with suppress(ConnectionError):  # the client may have had enough
                self.end_headers()
                self.wfile.write(body)

        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def _asked(self, sent: bytes) -> tuple[int, Any, bytes]:
            for text, status in gateway.refused.items():
                if self.command == "POST" and text.encode() in sent and "preview" not in self.path:
                    return status, {}, sent if status >= 500 else json.dumps(_problem(marker)).encode()
            headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
            request = urllib.request.Request(url + self.path, sent or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code, refused.headers, refused.read()

        def _quoting(self, sent: bytes, body: bytes) -> bytes:
            try:
                document = json.loads(body)
            except ValueError:
                return body + sent
            if isinstance(document, dict) and "accessToken" in document:
                gateway.tokens.add(str(document["accessToken"]))
            return json.dumps(_quoted(document, marker, sent.decode(errors="replace"))).encode()

        def log_message(self, *_: object) -> None:
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _problem(marker: str) -> dict[str, Any]:
    """A refusal that quotes people in every place that a refusal has."""
    errors = [
        {"type": f"Refused {marker}@firma.example", "message": marker, "solutionUrl": f"https://x.example/{marker}"}
    ]
    return {
        "type": f"https://errors.example/{marker}", "title": marker, "status": 400,
        "errors": {"Debtor.Email": [f"{marker} is not valid"], f"{marker}@firma.example": ["is unknown"]},
        "businessErrors": errors, "signingHandoff": {"combinedSigningUrl": f"https://x.example/{marker}"},
    }  # fmt: skip


def _quoted(value: Any, marker: str, sent: str) -> Any:
    if isinstance(value, list):
        return [_quoted(part, marker, sent) for part in value]
    if not isinstance(value, dict):
        return value
    found = {name: _quoted(part, marker, sent) for name, part in value.items()}
    for name, part in found.items():
        if isinstance(part, str) and name.lower() in TEXTS:
            found[name] = f"{part} {marker}: {sent}"
        elif isinstance(part, str) and name.lower() in LINKS:
            found[name] = f"{part}/{marker}"
    return {**found, "quoted": sent, "by": f"{marker}@firma.example"}
