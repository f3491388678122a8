"""Faults on request: rules that match requests, and the responses that they spoil.

Rules are added through the admin API; the first matching rule that is not used up applies. `server.py` breaks connections for
responses with a `connection_fault`. Whether the request takes effect is up to the rule as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from debitura_sandbox.api.http import Request, Response, answer, failure
from debitura_sandbox.api.pages import ROWS_KEY

CONNECTION_FAULTS = ("truncate", "reset", "close", "stall")
WITHOUT_EFFECT = ("status", "rate_limited", "html")  # unless the rule says otherwise
EFFECTS = ("none", "now", "late")
HTML = b"<!DOCTYPE html><html><head><title>Debitura</title></head><body><h1>Please wait</h1></body></html>"
ROWS = {"/clients": "clients", "/cases": "cases", "/reporting/transactions": "transactions"}
Route = Callable[[Request], Response]
Change = Callable[[dict[str, Any]], object]
Later = Callable[[Request, Route, float], None]  # answers a request after some seconds, for its effect alone


@dataclass
class Rule:
    """One fault. It applies to requests for `path` (empty: any path; a trailing * matches a prefix) by `method` (empty: any) whose
    query string contains `query` and whose body contains `body`: from the `nth` such request on, `times` times (0: always).

    `effect`: the request takes effect `now`, `late` (after `effect_delay_s` simulated seconds), or not at all (`none`); by default
    `none` for the kinds of WITHOUT_EFFECT, else `now`. Raises ValueError for an invalid rule.
    """

    kind: str
    path: str = ""
    method: str = ""
    query: str = ""
    body: str = ""
    nth: int = 1
    times: int = 1
    status: int = 500
    retry_after: float = 1.0
    delay_s: float = 3_600.0
    how: str = "no_id"  # of a bad row: no_id, bad_amount, bad_date
    row: int = 0  # of a bad row: its place in the page
    id: str = ""  # of a bad row: its id, instead of a place; pages without it stay as they are
    when: str = "before"  # of a change: before or after the answer is made
    change: dict[str, Any] | None = None
    effect: str = ""
    effect_delay_s: float = 60.0
    seen: int = 0
    used: int = 0

    def __post_init__(self) -> None:
        if self.kind not in _SPOILERS and self.kind not in (
            *CONNECTION_FAULTS,
            "status",
            "rate_limited",
            "html",
            "change",
            "slow",
        ):
            raise ValueError(f"kind {self.kind!r} is not known")
        if self.kind == "change" and not self.change:
            raise ValueError("kind change needs a change")
        self.effect = self.effect or ("none" if self.kind in WITHOUT_EFFECT else "now")
        if self.effect not in EFFECTS:
            raise ValueError(f"effect is {self.effect!r}, none of {', '.join(EFFECTS)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Rule:
        """A rule from the admin API. Raises ValueError."""
        known = {field.name for field in fields(cls)} - {"seen", "used"}
        if not values.keys() <= known or "kind" not in values:
            raise ValueError(f"a rule has kind and any of {', '.join(sorted(known - {'kind'}))}")
        return cls(**values)

    def applies(self, request: Request) -> bool:
        """Whether the rule applies to this request, which is counted."""
        if self.path.endswith("*"):
            is_meant = request.path.startswith(self.path[:-1])
        else:
            is_meant = not self.path or request.path == self.path
        is_method = not self.method or request.method == self.method
        if not is_meant or not is_method or self.query not in request.query or self.body.encode() not in request.body:
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times and self.used >= self.times):
            return False
        self.used += 1
        return True


class Faults:
    """The active rules."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def match(self, request: Request) -> Rule | None:
        """The rule that applies to this request. Each rule counts the requests that reach it."""
        return next((rule for rule in self.rules if rule.applies(request)), None) if self.rules else None

    def apply(self, rule: Rule, request: Request, route: Route, change: Change, later: Later) -> Response:
        """The response to a request under a rule. `change`: changes the world; `later`: lets the request take effect late."""
        if rule.kind == "change" and rule.when == "before":
            change(dict(rule.change or {}))
        if rule.effect == "late":
            later(request, route, rule.effect_delay_s)
        response = route(request) if rule.effect == "now" else failure(503, "UnexpectedError", "No answer in time.")
        if rule.kind == "change" and rule.when == "after":
            change(dict(rule.change or {}))
        return _spoilt(rule, request, response)


def _spoilt(rule: Rule, request: Request, response: Response) -> Response:
    if rule.kind == "status":
        return failure(rule.status, "UnexpectedError", "Something went wrong.")
    if rule.kind == "rate_limited":
        return answer({"error": "rate_limit_exceeded", "message": "Slow down.", "retryAfter": rule.retry_after}, 429)
    if rule.kind == "html":
        return Response(200, HTML, "text/html; charset=utf-8")
    if rule.kind in CONNECTION_FAULTS:
        return replace(response, connection_fault=rule.kind, delay_s=rule.delay_s)
    if rule.kind == "slow":
        return replace(response, delay_s=rule.delay_s)
    spoil = _SPOILERS.get(rule.kind)
    if spoil is None or response.status != 200:
        return response
    document = json.loads(response.body, parse_float=Decimal)
    return answer(spoil(document, ROWS_KEY.get(ROWS.get(request.path, ""), ""), rule))


def _bad_row(document: Any, key: str, rule: Rule) -> Any:
    """Make one row violate the contract; counts are unchanged."""
    rows = document.get(key) or []
    wanted = [row for row in rows if rule.id in str(row)] if rule.id else rows[rule.row : rule.row + 1]
    for row in wanted:
        if rule.how == "no_id":
            {"clients": row.get("client") or {}}.get(key, row).pop(
                {"cases": "id", "data": "transactionId"}.get(key, "id")
            )
        elif rule.how == "bad_amount":
            place, name = {"cases": (row, "grossAmount"), "data": (row.get("payment"), "amount")}.get(
                key, (row.get("caseStats"), "earningsUsd")
            )
            place[name] = "abc"
        else:
            row[{"cases": "dateCreated", "data": "date"}.get(key, "dateLinked")] = "31/12/2025 late"
    return document


def _drift(document: Any, key: str, rule: Rule) -> Any:
    """A field and an enum value that nobody has announced."""
    for row in document.get(key) or []:
        row["channelHint"] = {"source": "portal", "score": Decimal("0.75")}
        if key == "cases":
            row["lifecycle"] = "Escalated To Ombudsman"
        elif key == "data":
            row["status"]["platformInvoicingStatus"] = "WrittenOff"
        else:
            row["kycStatus"] = "expired"
    return document


def _pascal(document: Any, key: str, rule: Rule) -> Any:
    """The whole body in PascalCase."""
    if isinstance(document, dict):
        return {name[:1].upper() + name[1:]: _pascal(value, key, rule) for name, value in document.items()}
    return [_pascal(value, key, rule) for value in document] if isinstance(document, list) else document


def _page_data(document: Any, key: str, rule: Rule) -> Any:
    """The paging block under its other name."""
    document["pageData"] = document.pop("page")
    return document


def _null_rows(document: Any, key: str, rule: Rule) -> Any:
    """No rows, though the paging block counts them."""
    return document | {key: None}


def _no_summary(document: Any, key: str, rule: Rule) -> Any:
    """The totals left out."""
    document.pop("summary", None)
    return document


_SPOILERS: dict[str, Callable[[Any, str, Rule], Any]] = {
    "bad_row": _bad_row,
    "drift": _drift,
    "pascal": _pascal,
    "page_data": _page_data,
    "null_rows": _null_rows,
    "no_summary": _no_summary,
}
