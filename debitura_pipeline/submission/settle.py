"""Settle a claim in doubt with what a person found out at Debitura. Sends nothing."""

from __future__ import annotations

from datetime import datetime

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.landing.validators import is_id
from debitura_pipeline.settings import Settings
from debitura_pipeline.submission.decision import KEY_LIFETIME
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.settled import StoredCase, contradiction, read_settled_records, stored_cases
from debitura_pipeline.submission.states import BY_HAND, CONFLICT, PLANNED, SUBMITTED, UNLISTED, WITH_CASE, Record
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.run_lock import CASES_SETTLE, exclusive_run


class NotSettled(DebituraError):
    """A claim cannot be settled as asked. Nothing was changed."""


def settle_claim(
    settings: Settings,
    tenant: str,
    reference: str,
    now: datetime,
    *,
    case_id: str | None = None,
    creditor_id: str | None = None,
) -> Record:
    """Record that the claim's request created this case, or, without `case_id`, none. The claim is sent again only if the source
    still wants it, after new lookups.

    `creditor_id`: which one, where claims of a tenant's former client and of its present one are both in doubt. Raises
    NotSettled, WarehouseError, WarehouseBusy.
    """
    if case_id is not None and not is_id(case_id):
        raise NotSettled(f"{case_id} is not the id of a case. It is the UUID in the case's address at Debitura.")
    with exclusive_run(settings, CASES_SETTLE):
        if not warehouse_exists(settings):
            raise NotSettled("There is no warehouse yet, so no claim is in doubt.")
        keys = BusinessKeys(Pseudonyms(settings.obtain_privacy_key()), settings.privacy)
        with open_warehouse(settings) as warehouse:
            records = read_settled_records(warehouse)
            record = _in_doubt(records, keys, (tenant, reference), creditor_id)
            if case_id is None:
                settled = _absent(record, now)
            else:
                case = stored_cases(warehouse, [case_id.lower()]).get(case_id.lower())
                _ensure_free(records, record, case_id.lower(), is_shown=case is not None)
                settled = _present(record, case_id.lower(), case, now)
            Records(warehouse).store([settled])
    return settled


def _in_doubt(records: list[Record], keys: BusinessKeys, claim: tuple[str, str], creditor_id: str | None) -> Record:
    """The one record that is meant. Its keys may be given as in the source or as stored."""
    tenants, references = ({part, keys.stored(part)} for part in claim)
    found = [one for one in records if one.external_tenant_id in tenants and one.creditor_reference in references]
    if creditor_id is not None:
        found = [one for one in found if one.creditor_id == creditor_id.lower()]
    if not found:
        raise NotSettled("No such claim is recorded. `debitura cases status` lists them.")
    doubtful = [one for one in found if one.is_in_doubt or _is_stuck(one) or one.has_unseen_case]
    if not doubtful:
        raise NotSettled(f"The claim is not in doubt but {found[0].state}, so there is nothing to settle.")
    if len(doubtful) > 1:
        creditors = " or ".join(sorted(str(one.creditor_id) for one in doubtful))
        raise NotSettled(f"{len(doubtful)} clients have a claim to be settled: add --creditor with {creditors}.")
    return doubtful[0]


def _is_stuck(record: Record) -> bool:
    """Whether a case that differed ended a doubt, or was created for the claim: if it is deleted, no lookup can tell what became of
    the requests."""
    return record.state == CONFLICT and (record.unanswered > 0 or record.has_created)


def _absent(record: Record, now: datetime) -> Record:
    """Without a case. A request may take effect late, so this can be known only once its key has expired."""
    assert record.last_attempt_at is not None
    free_at = record.last_attempt_at + KEY_LIFETIME
    if now < free_at:
        raise NotSettled(
            f"The last request was sent at {record.last_attempt_at:%Y-%m-%d %H:%M} UTC and may still take effect. "
            f"`--no-case` is accepted from {free_at:%Y-%m-%d %H:%M} UTC on."
        )
    return record.having(
        state=PLANNED,
        case_id=None,
        unanswered=0,
        absent_since=None,
        outcome_at=now,
        message=f"{BY_HAND}: there is no case",
    )


def _ensure_free(records: list[Record], record: Record, case_id: str, *, is_shown: bool) -> None:
    """Raises NotSettled if the case belongs to another claim. That a person named it for another one counts only as long as no
    reading shows whose it is."""
    for other in records:
        is_taken = other.state in WITH_CASE and not (other.has_unseen_case and is_shown)
        if other is not record and other.case_id == case_id and is_taken:
            raise NotSettled(f"Case {case_id} belongs to another claim, {other.creditor_reference}.")


def _present(record: Record, case_id: str, case: StoredCase | None, now: datetime) -> Record:
    """With its case, which must agree with the claim as far as it was read. What was not read is compared once it is."""
    if case is not None and (fault := contradiction(record, case)):
        raise NotSettled(fault)
    return record.having(
        state=SUBMITTED,
        case_id=case_id,
        reference=None if case is None else case[3],
        unanswered=0,
        absent_since=None,
        outcome_at=now,
        error_types=record.error_types if case is None else None,  # they count again if it is another case
        message=UNLISTED if case is None else BY_HAND,
    )
