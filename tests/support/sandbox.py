"""A running sandbox for tests: a real server in its own process, and its admin door.

Belongs here: starting, asking, stopping. Does not: assertions. Used through the fixtures in `tests/conftest.py`.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from debitura_sandbox.server.embedded import Embedded
from tests.support.forks import Forked, fork_server

ROOT = Path(__file__).resolve().parents[2]
KEY = "sandbox-key"
# Its own end takes no time: an interpreter that ends in good order would take down all that its parent has imported.
SERVE = """
import os, runpy, traceback
try:
    runpy.run_module("debitura_sandbox", run_name="__main__")
except SystemExit:
    pass
except BaseException:
    traceback.print_exc()
os._exit(0)
"""


class RunningSandbox:
    """A sandbox process. `url`, `key` and `customer_url` are what a client of the API needs; the rest is the admin door."""

    key = KEY

    def __init__(self, process: Forked, facts: dict[str, Any]) -> None:
        self._process = process
        self.url: str = facts["url"]
        self.customer_url: str = facts["customer_url"]

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request with the key: status and body, whatever the status."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"XApiKey": self.key, "Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def get(self, path: str, params: Any = ()) -> Any:
        """A document of the public API, numbers exact."""
        query = urllib.parse.urlencode(params)
        status, body = self.send("GET", path + (f"?{query}" if query else ""))
        assert status == 200, (status, body[:300])
        return json.loads(body, parse_float=Decimal)

    def admin(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """One call of the admin door, e.g. `admin("advance", {"days": 1})`, `admin("faults", [{"kind": "reset"}])`."""
        status, answer = self.send(method or ("GET" if body is None else "POST"), f"/sandbox/{path}", body)
        assert status in (200, 204), (status, answer[:300])
        return json.loads(answer, parse_float=Decimal) if answer else None

    def truth(self, resource: str) -> list[dict[str, Any]]:
        """All live rows of `clients`, `cases` or `transactions`, as the API would spell them; numbers exact."""
        status, body = self.send("GET", f"/sandbox/truth/{resource}")
        assert status == 200, (status, body[:300])
        return [json.loads(line, parse_float=Decimal) for line in body.splitlines()]

    def personal(self) -> list[str]:
        """Every personal string that the sandbox serves now."""
        return list(self.admin("personal"))

    def log(self) -> dict[str, int]:
        """Requests counted by method and path, faults by kind, 429s."""
        return dict(self.admin("log"))

    def faults(self, *rules: dict[str, Any]) -> None:
        """Order faults; without any, clear them."""
        self.admin("faults", list(rules)) if rules else self.admin("faults", method="DELETE")

    def ledger(self) -> list[dict[str, Any]]:
        """Every writing request that was received, in order."""
        return list(self.admin("ledger"))

    def undocumented(self, **switches: Any) -> None:
        """Set switches of answers that the API does not document; without any, reset them all."""
        self.admin("undocumented", switches) if switches else self.admin("undocumented", method="DELETE")

    def stop(self) -> None:
        """End the process; a second call does nothing."""
        self._process.stop()


class EmbeddedSandbox(RunningSandbox):
    """The admin door of the sandbox that a data directory carries."""

    def __init__(self, found: Embedded) -> None:
        self.url, self.customer_url, self.key = found.url, found.customer_url, found.key


def start_sandbox(**options: Any) -> RunningSandbox:
    """Start a sandbox on a free port. Options are those of `serve`: `cases=300, no_rate_limit=True, state=path`."""
    arguments = ["serve", "--ends-with-stdin"]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif isinstance(value, list):
            arguments += [part for one in value for part in (flag, str(one))]
        elif value is not False and value is not None:
            arguments += [flag, str(value)]
    process = fork_server().start(SERVE, arguments, ROOT)
    line = process.stdout.readline()
    if not line:
        process.stop()
        raise RuntimeError(f"the sandbox did not start: {arguments}")
    return RunningSandbox(process, json.loads(line))
