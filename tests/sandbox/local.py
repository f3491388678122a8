"""A sandbox without a server: the same application, called in this process, with a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from debitura_sandbox.api.app import Sandbox
from debitura_sandbox.api.context import AppOptions
from debitura_sandbox.api.documents import ENCODER, truth
from debitura_sandbox.api.http import Request, Response
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions


class LocalSandbox:
    """Short ways to ask a `Sandbox`."""

    def __init__(self, *, app: AppOptions | None = None, wall: Any = None, **world: Any) -> None:
        options = WorldOptions(**{"clients": 14, "cases": 400, "transactions": 900, **world})
        self.app = Sandbox(
            Journal(options), app or AppOptions(has_rate_limit=False), real=lambda: 0.0, wall=wall or (lambda: 0.0)
        )

    def call(
        self, method: str, path: str, body: Any = None, params: Iterable[tuple[str, Any]] = (), **headers: str
    ) -> Response:
        sent = {"xapikey": self.app.options.key, **headers}
        data = b"" if body is None else json.dumps(body).encode()
        return self.app.handle(Request(method, path, urlencode(list(params)), sent, data))

    def get(self, path: str, **params: Any) -> Any:
        """A document; a list gives a repeated parameter."""
        pairs = [
            (name, one) for name, value in params.items() for one in (value if isinstance(value, list) else [value])
        ]
        response = self.call("GET", path, params=pairs)
        assert response.status == 200, response.body
        return exact(response.body)

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All rows of a listing, page after page."""
        key = {"/cases": "cases", "/clients": "clients", "/reporting/transactions": "data"}[path]
        found: list[dict[str, Any]] = []
        for page in range(1, 1_000):
            document = self.get(path, Page=page, PageSize=100, **params)
            found += document[key]
            assert document["page"]["responseCount"] == len(document[key])
            if page >= document["page"]["totalPages"]:
                assert document["page"]["totalResults"] == len(found)
                return found
        raise AssertionError("no end")

    def truth(self, resource: str) -> list[dict[str, Any]]:
        """All live rows, written one by one from the columns."""
        return [exact(ENCODER.encode(document)) for document in truth(self.app.world, resource)]


def exact(body: bytes) -> Any:
    """JSON with exact numbers."""
    return json.loads(body, parse_float=Decimal)
