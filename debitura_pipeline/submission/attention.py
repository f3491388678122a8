"""Claims that need attention: a person has to decide, the API refused them, or their outcome is unknown. For `debitura status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from debitura_pipeline.settings import Settings
from debitura_pipeline.submission.settled import read_settled_records
from debitura_pipeline.submission.states import CONFLICT, REFUSED, SENT, Record
from debitura_pipeline.warehouse.opening import open_warehouse

MAX_NAMED = 3


def read_claims_attention(settings: Settings, *, wait_s: float) -> dict[str, Any]:
    """`claims`: number of claims by state; `problems`: what needs attention, one line each.

    Raises WarehouseBusy, WarehouseError.
    """
    with open_warehouse(settings, read_only=True, wait_s=wait_s) as warehouse:
        found = (one for one in read_settled_records(warehouse) if one.is_wanted)
        records = sorted(found, key=lambda one: (one.external_tenant_id, one.creditor_reference))
    counts = Counter(one.state for one in records)
    return {"claims": dict(sorted(counts.items())), "problems": list(claims_problems(records))}


def claims_problems(records: Sequence[Record]) -> Iterator[str]:
    """One line for each kind of problem. Pure."""
    human = [one for one in records if one.state == CONFLICT or (one.state == SENT and one.needs_human)]
    doubtful = [one for one in records if one.state == SENT and not one.needs_human]
    unseen = [one for one in records if one.has_unseen_case]
    refused = [one for one in records if one.state == REFUSED]
    if human:
        yield f"{_claims(human)} to be decided by a person: `debitura cases status` says what to do"
    if unseen:
        yield f"{_claims(unseen)} settled by hand with a case that is not shown: check its id (`debitura cases settle`)"
    if refused:
        yield f"{_claims(refused)} refused by Debitura: correct the row (`debitura cases status`)"
    if doubtful:
        yield f"{_claims(doubtful)} sent without a known outcome: run `debitura cases apply`"


def _claims(records: Sequence[Record]) -> str:
    named = ", ".join(f"{one.external_tenant_id} {one.creditor_reference}" for one in records[:MAX_NAMED])
    more = f" and {len(records) - MAX_NAMED} more" if len(records) > MAX_NAMED else ""
    return f"{len(records)} claim{'' if len(records) == 1 else 's'} ({named}{more})"
