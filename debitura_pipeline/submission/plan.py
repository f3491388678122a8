"""What would happen to each wanted claim, from its row, its record, and what the API showed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from debitura_pipeline.outbound.plan_document import PlanRow
from debitura_pipeline.source import Claim, SourceRow
from debitura_pipeline.submission.decision import Evidence, Wanted
from debitura_pipeline.submission.lookups import Expected
from debitura_pipeline.submission.previews import Preview
from debitura_pipeline.submission.sessions import Account
from debitura_pipeline.submission.states import (
    CHANGED_AFTER,
    CONFLICT,
    DECISIVE,
    INVALID,
    PLANNED,
    SENT,
    WAITING,
    WITH_CASE,
    Record,
)

UNANSWERED = "could not be looked up or previewed"
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class PlannedClaim:
    """One claim. `record`: as it would be stored if nothing is sent. `row`: None where the source has it no more.

    `wanted`, `account` and `body`: what a request needs, None where none can be sent.
    """

    record: Record
    row: SourceRow[Claim] | None = None
    account: Account | None = None
    wanted: Wanted | None = None
    body: bytes | None = field(default=None, repr=False)
    evidence: Evidence | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        return self.record.state

    @property
    def is_due(self) -> bool:
        """Whether an apply has something to do: send it, or resolve a doubt."""
        return self.account is not None and (self.state == SENT or (self.state == PLANNED and self.wanted is not None))

    @property
    def amount(self) -> Decimal | None:
        return self.record.amount

    def as_plan_row(self) -> PlanRow:
        """The row of the document."""
        record = self.record
        return PlanRow(
            row=None if self.row is None else self.row.number,
            external_tenant_id=record.external_tenant_id,
            state=record.state,
            reasons=self.reasons + self.warnings,
            creditor_reference=record.creditor_reference,
            row_hash=None if self.row is None else self.row.row_hash,
            success_fee_pct=record.success_fee_pct,
            expected_fee=expected_fee(record),
            currency=record.currency,
            creditor_id=record.creditor_id,
        )


def expected_fee(record: Record) -> Decimal | None:
    """The success fee if everything is collected, in the claim's currency."""
    if record.amount is None or record.success_fee_pct is None:
        return None
    return (record.amount * record.success_fee_pct / 100).quantize(CENT)


def expected_case(claim: Claim) -> Expected:
    """What the claim's case has to agree with."""
    return Expected(claim.reference, Decimal(claim.amount), claim.currency, claim.debtor_type, claim.debtor_country)


def with_row(record: Record, row: SourceRow[Claim]) -> Record:
    """A record that is not in doubt and has no case, with what the row says now."""
    claim = row.row
    if claim is None:
        return record.having(state=INVALID, message=None)
    return record.having(amount=Decimal(claim.amount), currency=claim.currency)


def invalid(record: Record, row: SourceRow[Claim]) -> PlannedClaim:
    """A row that breaks a rule. What later decisions rest on is kept: a record in doubt, refused, in conflict or with a case."""
    if record.state in DECISIVE:
        return PlannedClaim(changed_after(record, row.row_hash), row, reasons=row.located_reasons())
    columns = ",".join(dict.fromkeys(fault.column for fault in row.faults if fault.column))
    return PlannedClaim(
        record.having(state=INVALID, error_types=columns or None, claim_hash=row.row_hash, message=None),
        row,
        reasons=row.located_reasons(),
    )


def changed_after(record: Record, row_hash: str) -> Record:
    """A claim with a case: `changed_after` while its row differs from the one that was submitted."""
    if record.state not in WITH_CASE or record.has_unseen_case:  # whether that is its case at all is to be seen first
        return record
    if row_hash == record.claim_hash or record.claim_hash is None:
        if record.state != CHANGED_AFTER:
            return record
        return record.having(state="submitted" if record.attempts else "already_there", message=None)
    return record.having(state=CHANGED_AFTER, message="the row changed after its case was created; nothing is sent")


def waiting(record: Record, row: SourceRow[Claim] | None, why: str) -> PlannedClaim:
    """A claim whose client is not ready. A claim in doubt, in conflict, refused or with a case keeps its record."""
    if record.state in DECISIVE:
        return PlannedClaim(record, row, reasons=(*reasons_of(record), why))
    kept = record if row is None else with_row(record, row)
    return PlannedClaim(kept.having(state=WAITING, message=why), row, reasons=(why,))


def postponed(record: Record, row: SourceRow[Claim] | None, why: str) -> PlannedClaim:
    """A claim about which nothing can be decided now. What the next decision rests on is kept."""
    if record.state in DECISIVE:
        return PlannedClaim(record, row, reasons=(*reasons_of(record), why))
    kept = record if row is None else with_row(record, row)
    return PlannedClaim(kept.having(state=PLANNED, message=why), row, reasons=(why,))


def weight(record: Record) -> int:
    """Of several records of a tenant id that was used again, the first one says what may be done."""
    return DECISIVE.index(record.state) if record.state in DECISIVE else len(DECISIVE)


def reasons_of(record: Record) -> tuple[str, ...]:
    """What a record says about its state."""
    types = (record.error_types or "").replace(",", ", ")
    return tuple(filter(None, [record.message, types if record.state not in WITH_CASE else None]))


def previewed(planned: PlannedClaim, preview: Preview, before: Record) -> PlannedClaim:
    """A claim that could be sent, with what its preview says. `before`: its record. Of a claim in conflict whose row was
    corrected, a preview that forbids sending changes nothing: the correction may be undone."""
    if preview.state != PLANNED and before.state == CONFLICT:
        return PlannedClaim(before, planned.row, reasons=(*reasons_of(before), *preview.types))
    record = planned.record.having(
        state=preview.state,
        is_eligible=preview.is_eligible,
        success_fee_pct=preview.success_fee_pct,
        error_types=",".join(preview.types) or planned.record.error_types if preview.types else None,
        message=None,
    )
    if preview.state == PLANNED:
        return replace(planned, record=record)
    return replace(planned, record=record, wanted=None, reasons=preview.types)


def sums(claims: Iterable[PlannedClaim]) -> dict[str, Decimal]:
    """Amounts to be sent, by currency. A claim that could not be looked up or previewed is not among them."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for claim in claims:
        if claim.state == PLANNED and claim.is_due and claim.amount is not None and claim.record.currency is not None:
            found[claim.record.currency] += claim.amount
    return dict(found)
