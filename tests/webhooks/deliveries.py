"""Deliveries as the API makes them, and a receiver as a process of its own.

Belongs here: signing, sending, starting. Does not: assertions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.forks import Forked, fork_server
from tests.support.pipeline import PRIVACY_KEY

SECRET, OTHER = (base64.b64encode(name * 2).decode() for name in (b"the secret of tests ", b"a secret of others  "))
PATH = "/webhooks/debitura"
ENV = {"DEBITURA_WEBHOOK_SECRETS": SECRET, "DEBITURA_PRIVACY_KEY": PRIVACY_KEY}
SERVE = """
import os, sys
os.environ.update({env!r})
sys.argv[:] = ["debitura", "webhooks", "serve", "--port", "{port}"]
{before}
from debitura_pipeline.cli.app import main
main()
"""


def event_body(
    event: str = "case.updated",
    *,
    event_id: str | None = None,
    case: str | None = None,
    tenant: str = "tenant-001",
    **more: Any,
) -> bytes:
    """An envelope with personal data of the kind that the API sends."""
    data: dict[str, Any] = {"externalTenantId": tenant, **more}
    if event.startswith("case"):
        data |= {"caseId": case or str(uuid.uuid4()), "reference": "K7TRW2QD"}
    else:
        data["creditor"] = {"id": str(uuid.uuid4()), "companyName": "Somebody's Shop", "registrationNumber": "X-99887"}
    document = {
        "id": event_id or str(uuid.uuid4()), "specVersion": "1.0", "event": event, "timestamp": "2026-05-04T09:12:33Z",
        "data": data, "links": {"case": "https://somewhere.example/secret-link"},
    }  # fmt: skip
    return json.dumps(document).encode()


def signed(body: bytes, at: float | None = None, secret: str = SECRET) -> str:
    """Value of X-Debitura-Signature."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(base64.b64decode(secret), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


class RunningReceiver:
    """`debitura webhooks serve` on a free port."""

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None, before: str = "", port: int = 0) -> None:
        values = {"DEBITURA_DATA_DIR": str(data_dir), **ENV, **(env or {})}
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._process: Forked = fork_server().start(
            SERVE.format(env=values, before=before, port=port), [], data_dir.parent
        )
        self.said: list[str] = []
        while not (self.said and "Receiving webhooks at" in self.said[-1]):
            line = self._process.stdout.readline().decode()
            if not line:
                self.stop()
                raise RuntimeError(f"the receiver did not start: {self.said}")
            self.said.append(line)
        found = re.search(r"127\.0\.0\.1:(\d+)", self.said[-1])
        assert found is not None
        self.port = int(found[1])

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def post(self, body: bytes, signature: str | None = None, *, path: str = PATH, method: str = "POST") -> int:
        """The status of one delivery, signed now unless said otherwise."""
        link = self.connect()
        try:
            link.request(method, path, body, {"X-Debitura-Signature": signature or signed(body)})
            return link.getresponse().status
        finally:
            link.close()

    def raw(self, body: bytes, headers: str) -> str:
        """What it sends back to a signed delivery with these headers, until it closes the connection."""
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Debitura-Signature: {signed(body)}\r\n{headers}\r\n"
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as link, suppress(ConnectionResetError):
            link.sendall(head.encode() + body)
            while part := link.recv(4_096):
                answer += part
        return answer.decode()

    def health(self) -> dict[str, Any]:
        link = self.connect()
        try:
            link.request("GET", "/healthz")
            return dict(json.loads(link.getresponse().read()))
        finally:
            link.close()

    def health_status(self) -> int:
        link = self.connect()
        try:
            link.request("GET", "/healthz")
            return link.getresponse().status
        finally:
            link.close()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.told.read()
        self.stop()

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        status = int(self._process.told.read())
        self.stop()
        return status

    def ended(self) -> tuple[int, str]:
        """Wait until it ends by itself; its exit status, and what else it has written."""
        said = self._process.stdout.read().decode()
        status = int(self._process.told.read())
        self.stop()
        return status, said

    def stop(self) -> None:
        self._process.stop()
