"""Find a client's case by id, by its reference, or by the client's own reference."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import REFERENCE_STYLES, creditor_reference
from debitura_sandbox.world.columns import references, serial_of_reference
from debitura_sandbox.world.world import World


def by_id(context: Context, client: int, id_: str) -> int | None:
    """Row of a live case of the client by its UUID."""
    row = context.find_row("cases", id_)
    return _own(context.world, client, [] if row is None else [row])


def by_case_reference(context: Context, client: int, reference: str) -> int | None:
    """Row of a live case of the client by Debitura's reference, letter case ignored."""
    wanted, salt = reference.strip().upper(), context.world.salts["cases"]
    row = serial_of_reference(wanted, salt)
    if row is None or row >= len(context.world.cases):
        return None
    is_it = references(np.array([row]), salt)[0].decode() == wanted
    return _own(context.world, client, [row] if is_it else [])


def by_creditor_reference(context: Context, client: int, reference: str, *, with_hidden: bool = False) -> int | None:
    """Row of a live case of the client by its own reference, the newest of several. `with_hidden`: also those that lookups
    do not show yet."""
    world = context.world
    rows = [*_generated(world, client, reference), *world.submissions.rows_of(client, reference)]
    hidden = [row for row in rows if row in world.submissions.hidden] if with_hidden else []
    return hidden[-1] if hidden else _own(world, client, rows)


def _generated(world: World, client: int, reference: str) -> list[int]:
    """Row of an invented case, whose reference contains its row number."""
    style = REFERENCE_STYLES[int(world.clients["number"][client]) % len(REFERENCE_STYLES)]
    before, _, rest = style.partition("{")
    after = rest.partition("}")[2]
    found = re.fullmatch(f"{re.escape(before)}([0-9]+){re.escape(after)}", reference)
    row = int(found[1]) if found else len(world.cases)
    is_it = (
        row < len(world.cases) and row not in world.submissions.cases and creditor_reference(world, row) == reference
    )
    return [row] if is_it else []


def _own(world: World, client: int, rows: Iterable[int]) -> int | None:
    alive, owners = world.cases["alive"], world.cases["client"]
    return next((row for row in sorted(rows, reverse=True) if alive[row] and owners[row] == client), None)
