"""Requests and responses as plain values, so that the sandbox can be used without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from debitura_sandbox.api.documents import ENCODER

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """One request. Header names are lower-case; `query` is the raw query string."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def document(self) -> dict[str, Any]:
        """The JSON object in the body. Raises RefusedError (400) where there is none."""
        try:
            value = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            value = None
        if not isinstance(value, dict):
            raise RefusedError(problem(400, "The body is not a JSON object."))
        return value


@dataclass(frozen=True)
class Response:
    """A response. `connection_fault`: what the server does to the connection instead: `truncate`, `reset` or `stall`."""

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    connection_fault: str | None = None
    delay_s: float = 0.0


class RefusedError(Exception):
    """Raised by a route to end the request with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(str(response.status))
        self.response = response


def answer(document: Any, status: int = 200) -> Response:
    """A document as JSON."""
    return Response(status, ENCODER.encode(document))


def empty(status: int) -> Response:
    """A response without a body."""
    return Response(status, b"", None)


def failure(status: int, kind: str, message: str) -> Response:
    """The API's structured error."""
    error = {"type": kind, "message": message, "solutionUrl": None}
    return answer({"error": kind, "message": message, "businessErrors": [error]}, status)


def problem(status: int, title: str) -> Response:
    """The web framework's own error document, for malformed input."""
    return answer({"type": "https://tools.ietf.org/html/rfc9110", "title": title, "status": status}, status)


def not_found(what: str) -> Response:
    """404 of the structured kind."""
    return failure(404, "NotFound", f"{what} was not found.")
