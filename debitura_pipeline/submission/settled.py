"""Compare the case that a person named with the claim: when it is named, once a reading shows it, and by asking for it.

A case that was deleted since it was read is compared as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.errors import ApiError, RateLimitExhausted
from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.submission.decision import FoundCase
from debitura_pipeline.submission.lookups import (
    OTHER_REFERENCE,
    Expected,
    by_id,
    fold_spelling,
    found_case,
    owner_of,
    stored_case,
    text_or_none,
)
from debitura_pipeline.submission.record import read_records
from debitura_pipeline.submission.states import BY_HAND, SENT, WITH_CASE, WRONG_CASE, Record
from debitura_pipeline.warehouse.base import Warehouse

_CASES = """SELECT case_id, creditor_id, creditor_reference, case_id, reference, gross_amount, currency, debtor_country
    FROM raw.cases WHERE case_id IN (SELECT unnest(CAST($1 AS VARCHAR[])))"""

StoredCase = tuple[Any, ...]  # creditor_id, then what `stored_case` takes


def stored_cases(warehouse: Warehouse, case_ids: Iterable[str]) -> dict[str, StoredCase]:
    """The cases of the warehouse by id. Raises WarehouseError."""
    wanted = sorted(set(case_ids))
    if not wanted or not warehouse.columns("raw", "cases"):
        return {}
    return {case_id: tuple(case) for case_id, *case in warehouse.rows(_CASES, (wanted,))}


def contradiction(record: Record, case: StoredCase) -> str | None:
    """Why a case of the warehouse is not the claim's; None if nothing speaks against it."""
    return _fault(record, case[0], case[1], stored_case(case[1:], _expected(record)))


def _fault(record: Record, creditor_id: str | None, reference: str | None, case: FoundCase) -> str | None:
    """`creditor_id`, `reference`: of the case, None where unknown. Another spelling of the reference is accepted from a person."""
    if creditor_id is not None and creditor_id != record.creditor_id:
        return f"Case {case.case_id} belongs to client {creditor_id}, the claim to {record.creditor_id}."
    if reference is not None and fold_spelling(reference) != fold_spelling(record.creditor_reference):
        return f"Case {case.case_id} has another creditor reference than the claim."
    if differences := [name for name in case.differences if name != OTHER_REFERENCE]:
        return f"Case {case.case_id} differs from the claim in {', '.join(differences)}."
    return None


def _expected(record: Record) -> Expected:
    return Expected(record.creditor_reference, record.amount, record.currency)


def reconsidered(record: Record, case: StoredCase) -> Record:
    """A record whose case was unseen, now that it is shown: confirmed, or in doubt again. Pure."""
    return _compared(record, contradiction(record, case), case[3])


def _compared(record: Record, fault: str | None, number: str | None) -> Record:
    if fault is None:
        return record.having(message=BY_HAND, reference=number, error_types=None)
    return record.having(
        state=SENT,
        case_id=None,
        unanswered=max(record.unanswered, 1),
        absent_since=None,
        message=f"{WRONG_CASE} {fault}",
    )


def read_settled_records(warehouse: Warehouse) -> list[Record]:
    """The records, with what is shown by now of the cases that persons named. Raises WarehouseError."""
    return with_seen_cases(warehouse, read_records(warehouse))


def with_seen_cases(warehouse: Warehouse, records: Sequence[Record]) -> list[Record]:
    """These records, compared with the cases that persons named as far as they are shown by now. Raises WarehouseError."""
    held = {one.case_id: one for one in records if one.state in WITH_CASE and not one.has_unseen_case}
    cases = stored_cases(warehouse, (one.case_id for one in records if one.has_unseen_case and one.case_id is not None))
    return [_seen(one, cases, held) if one.has_unseen_case else one for one in records]


def _seen(record: Record, cases: Mapping[str, StoredCase], held: Mapping[str | None, Record]) -> Record:
    if record.case_id is not None and record.case_id in cases:
        return reconsidered(record, cases[record.case_id])
    holder = held.get(record.case_id)
    if holder is None:
        return record
    return _compared(record, f"Case {record.case_id} is that of {holder.creditor_reference}.", None)


async def ask_for_named_cases(client: ApiClient, records: Sequence[Record]) -> list[Record]:
    """These records; those whose case was named by a person and not shown since are compared with what the API says of its id.

    Raises RateLimitExhausted. A case that cannot be asked for stays as it is.
    """
    return [await _asked(client, one) if one.has_unseen_case else one for one in records]


async def _asked(client: ApiClient, record: Record) -> Record:
    assert record.case_id is not None
    try:
        case = await by_id(client, record.case_id)
    except RateLimitExhausted:
        raise
    except ApiError:
        return record
    if case is None:
        return record  # perhaps one that this API does not show, such as a test case
    found, is_hidden = found_case(case, _expected(record)), is_pseudonym(record.creditor_reference)
    fault = _fault(record, owner_of(case), None if is_hidden else text_or_none(case.get("creditorreference")), found)
    # A stored pseudonym cannot be compared with a reference, so nothing is confirmed.
    return record if fault is None and is_hidden else _compared(record, fault, found.reference)
