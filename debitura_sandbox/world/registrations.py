"""Changes by `POST /clients`: a new client, a request to link one that Debitura knows already, and what becomes of it.

Entries contain facts about companies, no personal data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from debitura_sandbox.world import initial_state
from debitura_sandbox.world.case_changes import Outcome, add_submitted, client_row
from debitura_sandbox.world.change import Entry, UnknownChangeError
from debitura_sandbox.world.daily_changes import Event, renew_link
from debitura_sandbox.world.submitted import LinkRequest
from debitura_sandbox.world.world import RESOURCES, World


def register_client(world: World, entry: Entry) -> Outcome:
    """A new client: unsigned, with waiting cases."""
    row = _new_client(world, entry, is_attributed=True)
    cases = [add_submitted(world, row, int(entry["at"]), claim) for claim in entry["claims"]]
    world.invalidate(*RESOURCES)
    events = [Event("client.linked", row), *(Event("case.created", row, case) for case in cases)]
    return {"row": row, "cases": cases}, events


def ask_link(world: World, entry: Entry) -> Outcome:
    """A request to link a known client; a repeat makes a fresh one with the claims of the first."""
    tenant, at = str(entry["tenant"]), int(entry["at"])
    known = world.link_requests.get(tenant)
    if known is None:
        row = _new_client(world, entry, is_attributed=False)
        world.clients["alive"][row] = False
        known = LinkRequest(row, at, 0, tuple(entry["claims"]))
    world.link_requests[tenant] = replace(known, asked_us=at, issue=known.issue + 1, is_over=False)
    world.invalidate("clients")
    return {"row": known.row}, [Event("client.link_requested", known.row)]


def approve_link(world: World, entry: Entry) -> Outcome:
    """The client approves: it is linked, and the claims that were sent along become cases. Raises UnknownChangeError."""
    tenant, at = str(entry["tenant"]), int(entry["at"])
    request = _open_request(world, tenant)
    row, clients = request.row, world.clients
    clients["alive"][row], clients["linked"][row], clients["done"][row] = True, at, bool(entry.get("signed", True))
    del world.link_requests[tenant]
    cases = [add_submitted(world, row, at, claim) for claim in request.claims]
    world.invalidate(*RESOURCES)
    return {"row": row, "cases": cases}, [Event("client.linked", row), *(Event("case.created", row, c) for c in cases)]


def decline_link(world: World, entry: Entry) -> Outcome:
    """The client declines. Raises UnknownChangeError."""
    return _end(world, str(entry["tenant"]), "client.link_declined")


def expire_link(world: World, entry: Entry) -> Outcome:
    """The time for an approval is over. Raises UnknownChangeError."""
    return _end(world, str(entry["tenant"]), "client.link_expired")


def renew(world: World, entry: Entry) -> Outcome:
    """A fresh signing link for a client."""
    row = client_row(world, entry)
    renew_link(world, row, int(entry["at"]))
    world.invalidate("clients")
    return {"row": row}, []


def _new_client(world: World, entry: Entry, *, is_attributed: bool) -> int:
    rng = np.random.default_rng([world.options.seed, 66, len(world.clients)])
    at, tenant = int(entry["at"]), str(entry["tenant"])
    row = int(initial_state.create_clients(world, rng, np.array([at]), np.array([False]), [tenant])[0])
    world.clients["country"][row], world.clients["is_attributed"][row] = int(entry["country"]), is_attributed
    company: dict[str, Any] = dict(entry.get("company") or {})
    world.registered[row] = {name: value for name, value in company.items() if value}
    return row


def _open_request(world: World, tenant: str) -> LinkRequest:
    request = world.link_requests.get(tenant)
    if request is None or request.is_over:
        raise UnknownChangeError(f"no request to link {tenant} is open")
    return request


def _end(world: World, tenant: str, event: str) -> Outcome:
    request = _open_request(world, tenant)
    world.link_requests[tenant] = replace(request, is_over=True)
    return {"row": request.row}, [Event(event, request.row)]


REGISTRATIONS = {
    "register": register_client,
    "ask_link": ask_link,
    "approve_link": approve_link,
    "decline_link": decline_link,
    "expire_link": expire_link,
    "renew_link": renew,
}
