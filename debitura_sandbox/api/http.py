"""Requests and responses as plain values, so that the sandbox can be used without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from debitura_sandbox.api.documents import ENCODER
from debitura_sandbox.api.undocumented import FieldErrorShape

EXACT = msgspec.json.Decoder(float_hook=Decimal)
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
        return self._decoded(msgspec.json.Decoder())

    def exact_document(self) -> dict[str, Any]:
        """The JSON object in the body, fractions as Decimal. Raises RefusedError (400) where there is none."""
        return self._decoded(EXACT)

    def _decoded(self, decoder: msgspec.json.Decoder[Any]) -> dict[str, Any]:
        try:
            value = decoder.decode(self.body)
        except msgspec.DecodeError:
            value = None
        if not isinstance(value, dict):
            raise RefusedError(problem(400, "The body is not a JSON object."))
        return value


@dataclass(frozen=True)
class Response:
    """A response. `connection_fault`: what the server does to the connection instead: `truncate`, `reset`, `close` or `stall`.

    `effect` and `subject`, for the ledger: what the request did, and the id of the case or client that it was about.
    """

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    connection_fault: str | None = None
    delay_s: float = 0.0
    effect: str = ""
    subject: str | None = None


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


def field_failure(errors: Mapping[str, list[str]], shape: FieldErrorShape) -> Response:
    """A 400 response for invalid fields, in one of the three shapes that the documents show."""
    if shape == "structured":
        listed = [
            {"type": "ValidationError", "message": f"{name}: {text}", "solutionUrl": None}
            for name, texts in errors.items()
            for text in texts
        ]
        return answer({"error": "Bad Request", "message": listed[0]["message"], "businessErrors": listed}, 400)
    if shape == "problem":
        kind, title = "https://tools.ietf.org/html/rfc9110#section-15.5.1", "One or more validation errors occurred."
        return answer({"type": kind, "title": title, "status": 400, "errors": errors, "traceId": "00-5a6d0b0c-00"}, 400)
    return answer(errors, 400)


def not_found(what: str) -> Response:
    """404 of the structured kind."""
    return failure(404, "NotFound", f"{what} was not found.")
