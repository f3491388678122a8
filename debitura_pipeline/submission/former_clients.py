"""Claims whose tenant id stood for another client before: what was sent for that client holds them back, or is worth a warning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from debitura_pipeline.source import Claim, SourceRow
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.decision import SETTLE
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.states import CONFLICT, DECISIVE, HUMAN, PLANNED, SENT, WITH_CASE, Record

OF_FORMER_CLIENT = f"{HUMAN}a request for this reference is unanswered under the tenant's former client; {SETTLE}"


def is_in_doubt_elsewhere(record: Record, of_tenant: Iterable[Record]) -> bool:
    """Whether a request for another client of the tenant id is unanswered. `of_tenant`: the records with its key."""
    return any(one.state == SENT and one.creditor_id not in (None, record.creditor_id) for one in of_tenant)


def held_back(record: Record, row: SourceRow[Claim]) -> PlannedClaim:
    """A claim that is not sent because of that request."""
    if record.state in DECISIVE and not is_held_back(record):
        return plan.waiting(record, row, OF_FORMER_CLIENT)
    record = plan.with_row(record, row).having(state=CONFLICT, message=OF_FORMER_CLIENT)
    return PlannedClaim(record, row, reasons=(OF_FORMER_CLIENT,))


def is_held_back(record: Record) -> bool:
    """Whether nothing was sent for a claim because of its tenant's former client."""
    return record.state == CONFLICT and (record.message or "").startswith(OF_FORMER_CLIENT)


def with_former_case(claim: PlannedClaim, row_hash: str, of_tenant: Iterable[Record]) -> PlannedClaim:
    """Warn of a claim that would be sent again since its tenant id stands for another client now."""
    creditor = claim.record.creditor_id
    former = next((one for one in of_tenant if one.state in WITH_CASE and one.creditor_id != creditor), None)
    if claim.state != PLANNED or former is None:
        return claim
    same = "this very row" if former.claim_hash == row_hash else "this reference"
    what = f"{same} was submitted for the tenant's former client, as case {former.reference or former.case_id}"
    return replace(claim, warnings=(*claim.warnings, what))
