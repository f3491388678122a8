"""Changes on request: add, sign, register or withdraw a client; insert, edit, move or delete a single row.

Each change depends on its entry and the world only, so a journal of entries rebuilds the world. Entries contain no personal data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from debitura_sandbox.world import benchmark_day, codes, daily_changes, initial_state, outcomes
from debitura_sandbox.world.case_changes import CASE_CHANGES, client_row
from debitura_sandbox.world.change import Entry, UnknownChangeError
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.registrations import REGISTRATIONS
from debitura_sandbox.world.world import DATES, RESOURCES, World

MOST_DAYS = 400  # per request; each day of a large world takes half a second
MOST_SCALE = 5.0
PAST_US = 300 * codes.DAY_US  # at most, of a client that is added with cases


def apply(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """Apply a change. Returns facts for the caller, and events for webhooks. Raises UnknownChangeError."""
    change = _CHANGES.get(str(entry.get("op")))
    if change is None:
        raise UnknownChangeError(f"op is {entry.get('op')!r}, which is not one of {', '.join(sorted(_CHANGES))}")
    return change(world, entry)


def _advance(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    days = int(entry["days"])
    if not 0 <= days <= MOST_DAYS:
        raise UnknownChangeError(f"days is {days}, outside 0 to {MOST_DAYS}")
    events = daily_changes.advance_world(world, days)
    return {"day": world.day}, events


def _night(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """A day with an exact number of changes. `scale`: 1 is that of a million cases, 0 means no changes."""
    scale = float(entry.get("scale", 1))
    if not 0 <= scale <= MOST_SCALE:
        raise UnknownChangeError(f"scale is {scale}, outside 0 to {MOST_SCALE}")
    return {"changed": benchmark_day.pass_night(world, scale), "day": world.day}, []


def _add_client(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """A client that appears now, the newest of all. What it brings lies between its link and `at`: one that has signed, and has
    cases, was linked soon after the client before it, and its cases are the further on the longer ago that is."""
    tenant = entry.get("tenant")
    if tenant and world.find_tenant(tenant) is not None:
        raise UnknownChangeError(f"tenant {tenant} exists already")
    rng = np.random.default_rng([world.options.seed, 88, int(entry.get("seed") or len(world.clients))])
    at, is_signed = int(entry["at"]), bool(entry.get("signed", True))
    count, payments = int(entry.get("cases") or 0), int(entry.get("transactions") or 0)
    linked = _link_date(world, at) if is_signed and count else at
    row = int(
        initial_state.create_clients(
            world, rng, np.array([linked]), np.array([is_signed]), [tenant] if tenant else None
        )[0]
    )
    if entry.get("attributed") is not None:
        world.clients["is_attributed"][row] = bool(entry["attributed"])
    first_payment = len(world.transactions)
    if count:
        created = np.sort(linked + (rng.random(count) * (at - linked)).astype(np.int64))
        rows = initial_state.add_cases(world, rng, np.full(count, row), created)
        if is_signed:
            initial_state.give_past(world, rng, rows, payments, haste=(at - linked) / PAST_US)
    world.invalidate(*RESOURCES)
    facts = {
        "tenant": world.clients["tenant"][row],
        "creditorId": world.ids("clients", np.array([row]))[0],
        "cases": count,
        "transactions": len(world.transactions) - first_payment,
    }
    return facts, [Event("client.linked", row)]


def _link_date(world: World, at: int) -> int:
    """Later than every other client's link, and at most PAST_US ago."""
    newest = int(world.clients["linked"][world.clients["alive"]].max(initial=0))
    return min(max(at - PAST_US, newest + 2_000_000), at)


def _sign(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    row = client_row(world, entry)
    world.submissions.lacking.get(row, set()).discard("MissingPowerOfAttorney")
    return {"tenant": entry["tenant"]}, daily_changes.sign(world, row)


def _upgrade(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """A new contract version: the client has to sign again."""
    row = client_row(world, entry)
    daily_changes.require_signature(world, row)
    world.invalidate("clients")
    return {"tenant": entry["tenant"]}, []


def _archive(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    row = client_row(world, entry)
    world.clients["alive"][row] = False
    world.invalidate(*RESOURCES)
    return {"tenant": entry["tenant"]}, []


def _withdraw(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """The link is archived; the cases, all still waiting for a signature, are closed as never started."""
    row = client_row(world, entry)
    own = np.flatnonzero((world.cases["client"] == row) & world.cases["alive"])
    if not world.clients["is_attributed"][row] or (world.cases["lifecycle"][own] != codes.SIGNING).any():
        raise UnknownChangeError("the client is past signing, or is not attributed")
    rng = np.random.default_rng([world.options.seed, 99, row])
    outcomes.close(
        world, rng, own, np.full(len(own), codes.NEVER_STARTED_INTERNAL), np.full(len(own), int(entry["at"]))
    )
    world.clients["alive"][row] = False
    world.invalidate(*RESOURCES)
    return {"tenant": entry["tenant"]}, [Event("case.closed", row, case) for case in own.tolist()]


def _reset(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """The test environment's deletion: the client goes with all its cases and transactions."""
    row = client_row(world, entry)
    world.clients["alive"][row] = False
    own = np.flatnonzero(world.cases["client"] == row)
    world.cases["alive"][own] = False
    world.submissions.hidden -= set(own.tolist())
    world.transactions["alive"][world.client_of("transactions") == row] = False
    world.invalidate(*RESOURCES)
    return {}, []


def _kyc(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """KYC data was submitted; the review starts over."""
    row = client_row(world, entry)
    world.clients["kyc"][row], world.clients["kyc_review"][row] = 1, 0
    world.submissions.lacking.get(row, set()).discard("MissingKycVerification")
    world.invalidate("clients")
    return {}, []


def _mode(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """Change the partner's invoicing mode, and with it the stages of all transactions."""
    world.set_mode(str(entry["mode"]))
    return {"mode": entry["mode"]}, []


def _webhooks(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """The webhook subscriptions, all of them."""
    world.webhooks = list(entry["subscriptions"])
    return {}, []


def _row(world: World, entry: Entry) -> tuple[dict[str, Any], list[Event]]:
    """Change one row: `delete`, `restore`, `move` to another instant, `set` a column, or `insert` a similar one."""
    resource, action = str(entry["resource"]), str(entry["action"])
    if resource not in RESOURCES:
        raise UnknownChangeError(f"resource is {resource!r}, which is not one of {', '.join(RESOURCES)}")
    table = world.table(resource)
    row = int(entry["row"])
    if not -len(table) <= row < len(table):
        raise UnknownChangeError(f"there is no row {row} of {resource}")
    row %= len(table)
    if action in ("delete", "restore"):
        table["alive"][row] = action == "restore"
    elif action == "move":
        table[DATES[resource]][row] = int(entry["at"])
    elif action == "set":
        table[str(entry["column"])][row] = entry["value"]
        world.cache.pop("client texts", None)
    elif action == "insert":
        like = {name: table[name][row : row + 1].copy() for name in table.names}
        row = int(table.append(**like | {"alive": True, DATES[resource]: int(entry["at"])})[0])
    else:
        raise UnknownChangeError(f"action is {action!r}, none of delete, restore, move, set, insert")
    world.invalidate(*RESOURCES)
    return {"row": row, "id": world.ids(resource, np.array([row]))[0]}, []


_CHANGES: dict[str, Callable[[World, Entry], tuple[dict[str, Any], list[Event]]]] = {
    "advance": _advance,
    "night": _night,
    "add_client": _add_client,
    "sign": _sign,
    "upgrade": _upgrade,
    "archive": _archive,
    "withdraw": _withdraw,
    "reset": _reset,
    "kyc": _kyc,
    "mode": _mode,
    "row": _row,
    "webhooks": _webhooks,
    **CASE_CHANGES,
    **REGISTRATIONS,
}
