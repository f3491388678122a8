"""The admin door, under `/sandbox/` with the same key: move the world, order faults, ask for the truth. No limits apply.

Belongs here: the routes. Does not: what they do. Not part of the simulated API; used by tests, `embedded.py` and the
command line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from debitura_pipeline.sandbox.changes import UnknownChangeError
from debitura_pipeline.sandbox.codes import DAY_US
from debitura_pipeline.sandbox.columns import from_us
from debitura_pipeline.sandbox.documents import ENCODER, truth
from debitura_pipeline.sandbox.faults import Rule
from debitura_pipeline.sandbox.http import Request, Response, answer, empty, not_found, problem
from debitura_pipeline.sandbox.personal import personal_strings
from debitura_pipeline.sandbox.world import RESOURCES

if TYPE_CHECKING:
    from debitura_pipeline.sandbox.app import Sandbox


def route(sandbox: Sandbox, request: Request) -> Response:
    """Answer a call to the admin door."""
    if request.headers.get("xapikey", "") != sandbox.options.key:
        return Response(401, b"", None)
    name = request.path.removeprefix("/sandbox/")
    try:
        if request.method == "GET":
            return _read(sandbox, name)
        if request.method == "DELETE":
            return _clear(sandbox, name)
        return _write(sandbox, name, request)
    except (UnknownChangeError, ValueError, KeyError, TypeError) as fault:
        return problem(400, f"{type(fault).__name__}: {fault}")


def health(sandbox: Sandbox) -> dict[str, Any]:
    """Day, clock and sizes. `days_behind`: whole days that the clock has run on without the world."""
    world = sandbox.world
    return {
        "pid": os.getpid(),
        "day": world.day,
        "days_behind": (sandbox.clock.now_us() - world.now_us) // DAY_US,
        "now": from_us(sandbox.clock.now_us()).isoformat(),
        "requests": sandbox.requests,
        "rows": {name: int(world.live(name).sum()) for name in RESOURCES},
    }


def _read(sandbox: Sandbox, name: str) -> Response:
    if name == "health":
        return answer(health(sandbox))
    if name == "log":
        return answer(dict(sandbox.log))
    if name == "personal":
        return answer(personal_strings(sandbox.world))
    if name == "deliveries":
        return answer(
            [{"event": d.event, "statuses": d.statuses, "isOver": d.is_over} for d in sandbox.webhooks.deliveries]
        )
    if name == "faults":
        return answer([msgspec.to_builtins(rule) for rule in sandbox.faults.rules])
    resource = name.removeprefix("truth/")
    if resource in RESOURCES:
        lines = b"".join(ENCODER.encode(document) + b"\n" for document in truth(sandbox.world, resource))
        return Response(200, lines, "application/x-ndjson")
    return not_found("The admin path")


def _clear(sandbox: Sandbox, name: str) -> Response:
    if name == "faults":
        sandbox.faults.rules.clear()
    elif name == "log":
        sandbox.log.clear()
    else:
        return not_found("The admin path")
    return empty(204)


def _write(sandbox: Sandbox, name: str, request: Request) -> Response:
    if name == "faults":
        rules = msgspec.json.decode(request.body)
        sandbox.faults.rules += [Rule.from_dict(rule) for rule in (rules if isinstance(rules, list) else [rules])]
        return answer({"rules": len(sandbox.faults.rules)})
    wanted = request.document()
    if name == "advance":
        return answer(sandbox.change({"op": "advance", "days": int(wanted.get("days", 1))}))
    if name == "clients":
        return answer(sandbox.change({"op": "add_client", "cases": 12, "transactions": 20, **wanted}))
    if name == "sign":
        return answer(sandbox.change({"op": "sign", "tenant": wanted["tenant"]}))
    if name == "change":
        return answer(sandbox.change(wanted))
    return not_found("The admin path")
