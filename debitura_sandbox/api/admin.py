"""The admin API under `/sandbox/`: advance the world, order faults, read the truth. Same key, no rate limits.

It is not part of the simulated API. Used by tests, `embedded.py` and the command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import ENCODER, truth
from debitura_sandbox.api.faults import Rule
from debitura_sandbox.api.http import Request, Response, answer, empty, not_found, problem
from debitura_sandbox.api.links import open_link
from debitura_sandbox.api.personal_data import personal_strings
from debitura_sandbox.world.change import UnknownChangeError
from debitura_sandbox.world.codes import DAY_US
from debitura_sandbox.world.columns import from_us
from debitura_sandbox.world.world import RESOURCES


def route(context: Context, request: Request) -> Response:
    """Answer a request to the admin API."""
    if request.headers.get("xapikey", "") != context.options.key:
        return Response(401, b"", None)
    name = request.path.removeprefix("/sandbox/")
    try:
        if request.method == "GET":
            return _read(context, name)
        if request.method == "DELETE":
            return _clear(context, name)
        return _write(context, name, request)
    except (UnknownChangeError, ValueError, KeyError, TypeError) as fault:
        return problem(400, f"{type(fault).__name__}: {fault}")


def health(context: Context) -> dict[str, Any]:
    """Day, clock and sizes. `days_behind`: whole days by which the clock is ahead of the world."""
    world = context.world
    return {
        "pid": os.getpid(),
        "day": world.day,
        "days_behind": (context.clock.now_us() - world.now_us) // DAY_US,
        "now": from_us(context.clock.now_us()).isoformat(),
        "requests": context.requests,
        "rows": {name: int(world.live(name).sum()) for name in RESOURCES},
    }


def _read(context: Context, name: str) -> Response:
    resource = name.removeprefix("truth/")
    if resource in RESOURCES:
        lines = b"".join(ENCODER.encode(document) + b"\n" for document in truth(context.world, resource))
        return Response(200, lines, "application/x-ndjson")
    read = _READERS.get(name)
    return not_found("The admin path") if read is None else answer(read(context))


_READERS: dict[str, Callable[[Context], Any]] = {
    "health": health,
    "log": lambda context: dict(context.log),
    "personal": lambda context: personal_strings(context.world),
    "deliveries": lambda context: [
        {"event": d.event, "statuses": d.statuses, "isOver": d.is_over} for d in context.webhooks.deliveries
    ],
    "faults": lambda context: [msgspec.to_builtins(rule) for rule in context.faults.rules],
    "ledger": lambda context: [entry.document() for entry in context.ledger.entries],
    "undocumented": lambda context: context.undocumented.as_dict(),
}


def _clear(context: Context, name: str) -> Response:
    if name == "faults":
        context.faults.rules.clear()
    elif name == "log":
        context.log.clear()
    elif name == "ledger":
        context.ledger.entries.clear()
    elif name == "undocumented":
        context.set_undocumented(context.options.undocumented)
    else:
        return not_found("The admin path")
    return empty(204)


def _write(context: Context, name: str, request: Request) -> Response:
    if name == "faults":
        rules = msgspec.json.decode(request.body)
        context.faults.rules += [Rule.from_dict(rule) for rule in (rules if isinstance(rules, list) else [rules])]
        return answer({"rules": len(context.faults.rules)})
    write = _WRITERS.get(name)
    return not_found("The admin path") if write is None else answer(write(context, request.document()))


def _undocumented(context: Context, wanted: dict[str, Any]) -> dict[str, Any]:
    context.set_undocumented(context.undocumented.changed(wanted))
    return context.undocumented.as_dict()


def _clock(context: Context, wanted: dict[str, Any]) -> dict[str, Any]:
    context.clock.move_to(context.clock.now_us() + int(float(wanted["seconds"]) * 1_000_000))
    return health(context)


def _collect(context: Context, wanted: dict[str, Any]) -> dict[str, Any]:
    row, amount = context.find_row("cases", str(wanted["caseId"])), wanted.get("amount")
    if row is None:
        raise UnknownChangeError("there is no such case")
    change = {"op": "collect", "row": row, "to": wanted.get("to", "Paying")}
    return context.change(change | {"amount": str(amount) if amount else None})


_WRITERS: dict[str, Callable[[Context, dict[str, Any]], dict[str, Any]]] = {
    "advance": lambda context, wanted: context.change({"op": "advance", "days": int(wanted.get("days", 1))}),
    "clients": lambda context, wanted: context.change({"op": "add_client", "cases": 12, "transactions": 20, **wanted}),
    "undocumented": _undocumented,
    "clock": _clock,
    "collect": _collect,
    "open-link": lambda context, wanted: open_link(context, str(wanted["url"])),
    "sign": lambda context, wanted: context.change({"op": "sign", "tenant": wanted["tenant"]}),
    "change": lambda context, wanted: context.change(wanted),
}
