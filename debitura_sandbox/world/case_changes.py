"""Changes to submitted cases: create one, keep a refusal, delete test cases, move one on, and what a client lacks.

Entries contain no personal data: a debtor's name is stored only as numbers of the invented names, if it is one of them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from debitura_sandbox.world import codes, initial_state, outcomes, payments, people
from debitura_sandbox.world.change import Entry, UnknownChangeError
from debitura_sandbox.world.codes import Ints
from debitura_sandbox.world.columns import UNIT
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.submitted import KeptOutcome, SubmittedCase
from debitura_sandbox.world.world import RESOURCES, World

Outcome = tuple[dict[str, Any], list[Event]]
LACKING = ("MissingPowerOfAttorney", "MissingKycVerification", "CreditorBlocked")


def submit(world: World, entry: Entry) -> Outcome:
    """Create a case of a client, as `POST /cases` does."""
    client, at = client_row(world, entry), int(entry["at"])
    row = add_submitted(world, client, at, entry)
    if entry.get("key"):
        kept = KeptOutcome(str(entry["digest"]), at, row)
        world.submissions.outcomes[client, str(entry["key"])] = kept
    world.invalidate("cases")
    return {"row": row}, [Event("case.created", client, row)]


def add_submitted(world: World, client: int, at: int, entry: Entry) -> int:
    """Add a case with the facts of an entry and return its row."""
    rng = np.random.default_rng([world.options.seed, 55, len(world.cases)])
    row = int(initial_state.add_cases(world, rng, np.array([client]), np.array([at]))[0])
    cases, submissions = world.cases, world.submissions
    drawn = people.some_debtor(rng, int(entry["country"]), bool(entry["is_person"]))
    is_test = bool(entry.get("is_test"))
    values = {
        "created": max(at, int(world.clients["linked"][client])), "country": int(entry["country"]), "due": int(entry["due"]),
        "currency": int(entry["currency"]), "earns": not is_test, "has_reference": entry["reference"] is not None,
        "lifecycle": int(entry["lifecycle"]),
    }  # fmt: skip
    cases["head"][row], cases["tail"][row] = entry.get("debtor") or drawn
    cases["gross"][row] = cases["remainder"][row] = int(Decimal(entry["amount"]) * UNIT)
    for name, value in values.items():
        cases[name][row] = value
    case = SubmittedCase(
        entry["reference"], int(entry["date"]), int(entry["partner"]), entry.get("state"), is_test, entry.get("tag"),
        entry.get("over_12"), entry.get("over_24"),
    )  # fmt: skip
    submissions.add(client, row, case)
    return row


def refuse(world: World, entry: Entry) -> Outcome:
    """Keep the refusal of a request with an idempotency key."""
    kept = KeptOutcome(str(entry["digest"]), int(entry["at"]), None, tuple(entry["types"]))
    world.submissions.outcomes[client_row(world, entry), str(entry["key"])] = kept
    return {}, []


def delete_cases(world: World, entry: Entry) -> Outcome:
    """Delete test cases for good. Raises UnknownChangeError for others."""
    rows = [int(row) for row in entry["rows"]]
    if not set(rows) <= set(world.submissions.test_rows()):
        raise UnknownChangeError("only test cases can be deleted")
    world.cases["alive"][rows] = False
    world.submissions.hidden -= set(rows)
    world.invalidate("cases")
    return {"deleted": len(rows)}, []


def collect(world: World, entry: Entry) -> Outcome:
    """Move a case on to a collection partner (`to`: Active) and let the debtor pay (`amount`; by default, everything).

    `to`: Active, Closed:Paid, Closed:NoPayment, or Paying for a payment on a case that stays open. Raises
    UnknownChangeError for a closed case, or one that owes nothing.
    """
    row, at, to = int(entry["row"]), int(entry["at"]), str(entry["to"])
    rng, rows = np.random.default_rng([world.options.seed, 44, row, len(world.transactions)]), np.array([row])
    events = begin(world, rng, rows, at)
    if to in ("Paying", "Closed:Paid"):
        owed = int(world.cases["remainder"][row])
        amount = min(int(Decimal(entry["amount"]) * UNIT) if entry.get("amount") else owed, owed)
        if amount <= 0:
            raise UnknownChangeError("there is nothing to pay")
        _pay(world, rng, rows, at, amount)
    if to.startswith("Closed:"):
        code = codes.PAID_IN_FULL if to == "Closed:Paid" else codes.NOTHING_PAID
        events.append(_moved(world, row, codes.CLOSED))
        outcomes.close(world, rng, rows, np.array([code]), np.array([at]))
        events.append(Event("case.closed", int(world.cases["client"][row]), row))
    world.invalidate(*RESOURCES)
    return {"row": row}, events


def begin(world: World, rng: payments.Random, rows: Ints, at: int) -> list[Event]:
    """Hand cases that nobody collects yet to their collection partner. Raises UnknownChangeError if one is closed."""
    if np.isin(world.cases["lifecycle"][rows], (codes.CLOSED, codes.MERGED)).any():
        raise UnknownChangeError("the case is closed")
    fresh = rows[world.cases["lifecycle"][rows] != codes.ACTIVE]
    events = [_moved(world, row, codes.ACTIVE) for row in fresh.tolist()]
    world.cases["lifecycle"][fresh] = codes.ACTIVE
    unassigned = fresh[world.cases["partner"][fresh] < 0]
    initial_state.assign(world, rng, unassigned)
    world.cases["started"][unassigned] = at
    return events


def _moved(world: World, row: int, target: int) -> Event:
    old = codes.LIFECYCLES[int(world.cases["lifecycle"][row])].label
    facts = {"oldLifecycle": old, "newLifecycle": codes.LIFECYCLES[target].label}
    return Event("case.updated", int(world.cases["client"][row]), row, facts)


def _pay(world: World, rng: payments.Random, rows: Ints, at: int, amount: int) -> None:
    """Book a payment; on a case that earns nothing it makes no transaction."""
    if payments.earning(world)[rows].all():
        payments.add_payments(world, rng, rows, np.array([at]), np.array([amount]), is_new=True, may_be_foreign=False)
    else:
        world.cases["remainder"][rows] -= amount


def lack(world: World, entry: Entry) -> Outcome:
    """Set what a client lacks: `types`, some of LACKING; an empty list for nothing. Raises UnknownChangeError."""
    types = set(map(str, entry["types"]))
    if not types <= set(LACKING):
        raise UnknownChangeError(f"types are some of {', '.join(LACKING)}")
    world.submissions.lacking[client_row(world, entry)] = types
    return {"tenant": entry["tenant"], "lacking": sorted(types)}, []


def client_row(world: World, entry: Entry) -> int:
    """Row of the active client that an entry names. Raises UnknownChangeError."""
    row = world.find_tenant(str(entry["tenant"]))
    if row is None:
        raise UnknownChangeError(f"there is no client {entry['tenant']}")
    return row


CASE_CHANGES = {
    "submit_case": submit,
    "refuse_case": refuse,
    "delete_cases": delete_cases,
    "collect": collect,
    "lack": lack,
}
