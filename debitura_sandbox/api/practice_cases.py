"""The operations of the Customer API on test cases: delete one or all of a tag, and move one on."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from debitura_sandbox.api import case_lookup
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.http import Request, Response, answer, empty, failure, not_found
from debitura_sandbox.world import codes
from debitura_sandbox.world.change import UnknownChangeError

TARGETS = ("Active", "Closed:Paid", "Closed:NoPayment")


def route(context: Context, client: int, request: Request) -> Response:
    """Answer a call under `/test/cases`."""
    match (request.method, *request.path.strip("/").split("/")[3:]):
        case ("DELETE",):
            return _delete_tagged(context, client, dict(parse_qsl(request.query)).get("tag", "").strip())
        case ("DELETE", id_):
            return _delete_one(context, client, id_)
        case ("POST", id_, "advance"):
            return _advance(context, client, id_, request.document())
    return not_found("The path")


def _delete_tagged(context: Context, client: int, tag: str) -> Response:
    if not tag:
        return failure(400, "ValidationError", "tag is needed.")
    cases, world = context.world.submissions.cases, context.world
    rows = [row for row, case in cases.items() if case.tag == tag and world.cases["client"][row] == client]
    if any(not cases[row].is_test for row in rows):
        return failure(400, "ValidationError", "A case with this tag is no test case.")
    context.change({"op": "delete_cases", "rows": rows})
    return empty(204)


def _delete_one(context: Context, client: int, id_: str) -> Response:
    row = context.find_row("cases", id_)
    if row is None or context.world.cases["client"][row] != client:
        return not_found("The case")
    if not context.world.submissions.is_test(row):
        return failure(400, "ValidationError", "The case is no test case.")
    context.change({"op": "delete_cases", "rows": [row]})
    return empty(204)


def _advance(context: Context, client: int, id_: str, wanted: dict[str, Any]) -> Response:
    row, to, amount = case_lookup.by_id(context, client, id_), wanted.get("to"), wanted.get("amount")
    if row is None:
        return not_found("The case")
    if not context.world.submissions.is_test(row) or to not in TARGETS or (to == "Closed:Paid" and not amount):
        return failure(
            400, "ValidationError", "A test case goes to Active, Closed:Paid (with amount) or Closed:NoPayment."
        )
    state = _state(context, row)
    if state == to or (to == "Active" and state.startswith("Closed")):
        return answer({"advanced": False, "state": state})
    try:
        context.change({"op": "collect", "row": row, "to": to, "amount": str(amount) if amount else None})
    except UnknownChangeError as fault:
        return failure(400, "ValidationError", str(fault))
    return answer({"advanced": True, "state": _state(context, row)})


def _state(context: Context, row: int) -> str:
    lifecycle, code = (int(context.world.cases[name][row]) for name in ("lifecycle", "close_code"))
    if lifecycle != codes.CLOSED:
        return "Active" if lifecycle == codes.ACTIVE else codes.LIFECYCLES[lifecycle].label
    return {codes.PAID_IN_FULL: "Closed:Paid", codes.NOTHING_PAID: "Closed:NoPayment"}.get(code, "Closed")
