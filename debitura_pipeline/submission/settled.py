"""Compare the case that a person named with the claim, when it is named and again once a reading shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from debitura_pipeline.submission.lookups import OTHER_REFERENCE, Expected, fold_spelling, stored_case
from debitura_pipeline.submission.record import read_records
from debitura_pipeline.submission.states import BY_HAND, HUMAN, SENT, Record
from debitura_pipeline.warehouse.base import Warehouse

_CASES = """SELECT case_id, creditor_id, creditor_reference, case_id, reference, gross_amount, currency, debtor_country
    FROM raw.cases WHERE _deleted_at IS NULL AND case_id IN (SELECT unnest(CAST($1 AS VARCHAR[])))"""

StoredCase = tuple[Any, ...]  # creditor_id, then what `stored_case` takes


def stored_cases(warehouse: Warehouse, case_ids: Iterable[str]) -> dict[str, StoredCase]:
    """The cases of the warehouse by id. Raises WarehouseError."""
    wanted = sorted(set(case_ids))
    if not wanted or not warehouse.columns("raw", "cases"):
        return {}
    return {case_id: tuple(case) for case_id, *case in warehouse.rows(_CASES, (wanted,))}


def contradiction(record: Record, case: StoredCase) -> str | None:
    """Why a case of the warehouse is not the claim's; None if nothing speaks against it. Another spelling of the reference does
    not: a person decided."""
    creditor_id, reference, case_id = case[:3]
    if creditor_id is not None and creditor_id != record.creditor_id:
        return f"Case {case_id} belongs to client {creditor_id}, the claim to {record.creditor_id}."
    if reference is not None and fold_spelling(reference) != fold_spelling(record.creditor_reference):
        return f"Case {case_id} has the creditor reference {reference}, not the claim's."
    expected = Expected(record.creditor_reference, record.amount, record.currency)
    if differences := [name for name in stored_case(case[1:], expected).differences if name != OTHER_REFERENCE]:
        return f"Case {case_id} differs from the claim in {', '.join(differences)}."
    return None


def reconsidered(record: Record, case: StoredCase) -> Record:
    """A record whose case was unseen, now that it is shown: confirmed, or in doubt again. Pure."""
    fault = contradiction(record, case)
    if fault is None:
        return record.having(message=BY_HAND, reference=case[3], error_types=None)
    return record.having(
        state=SENT,
        case_id=None,
        unanswered=max(record.unanswered, 1),
        absent_since=None,
        message=f"{HUMAN}a person named a case that is not the claim's. {fault}",
    )


def read_settled_records(warehouse: Warehouse) -> list[Record]:
    """The records, with what is shown by now of the cases that persons named. Raises WarehouseError."""
    return with_seen_cases(warehouse, read_records(warehouse))


def with_seen_cases(warehouse: Warehouse, records: Sequence[Record]) -> list[Record]:
    """These records, compared with the cases that persons named as far as they are shown by now. Raises WarehouseError."""
    cases = stored_cases(warehouse, (one.case_id for one in records if one.has_unseen_case and one.case_id is not None))
    return [
        reconsidered(one, cases[one.case_id]) if one.has_unseen_case and one.case_id in cases else one
        for one in records
    ]
