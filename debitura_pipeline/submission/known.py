"""What the warehouse knows about claims: their records, the cases with their references, and who their clients are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from debitura_pipeline.settings import Settings
from debitura_pipeline.source import Claim, SourceRead
from debitura_pipeline.source.places import country_code
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.look_alikes import LOOK_ALIKE_DAYS, Likeness
from debitura_pipeline.submission.lookups import fold_spelling
from debitura_pipeline.submission.record import read_records
from debitura_pipeline.submission.settled import with_seen_cases
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.base import Warehouse


@dataclass(frozen=True)
class Known:
    """What the warehouse holds. `stored`: the records before the cases that persons named were compared.

    `cases`: rows of `raw.cases` by creditor and folded reference. `swept_at`: when the newest complete reading of all cases
    began, by the API's clock; `swept_creditors`: who was linked then, and still is.
    """

    records: tuple[Record, ...] = ()
    stored: tuple[Record, ...] = ()
    cases: Mapping[tuple[str, str], Sequence[tuple[Any, ...]]] = field(default_factory=dict)
    look_alikes: Mapping[Likeness, Sequence[tuple[str, str | None]]] = field(default_factory=dict)
    swept_at: datetime | None = None
    swept_creditors: frozenset[str] = frozenset()


_SWEPT = """
    SELECT max(started_at) FROM ops.syncs
    WHERE resource = 'cases' AND status = 'done' AND is_proven AND mode IN ('full', 'nightly', 'small')"""
_CASES = """
    SELECT creditor_id, creditor_reference, case_id, reference, gross_amount, currency, debtor_country FROM raw.cases
    WHERE _deleted_at IS NULL AND (creditor_reference IN (SELECT unnest(CAST($1 AS VARCHAR[])))
    OR lower(creditor_reference COLLATE "C") IN (SELECT unnest(CAST($1 AS VARCHAR[])))
    OR (bit_length(creditor_reference) <> 8 * char_length(creditor_reference)
        AND external_tenant_id IN (SELECT unnest(CAST($2 AS VARCHAR[])))))"""
_RECENT = """
    SELECT creditor_id, creditor_reference, case_id, reference, gross_amount, currency, debtor_country FROM raw.cases
    WHERE _deleted_at IS NULL AND created_at >= $1 AND gross_amount IS NOT NULL AND debtor_country IS NOT NULL
    AND external_tenant_id IN (SELECT unnest(CAST($2 AS VARCHAR[])))"""
_LINKED = "SELECT creditor_id FROM raw.clients WHERE _deleted_at IS NULL AND _first_seen_at <= $1"
_CREDITORS = """
    SELECT external_tenant_id, creditor_id FROM raw.clients
    WHERE _deleted_at IS NULL AND external_tenant_id IN (SELECT unnest(CAST($1 AS VARCHAR[]))) ORDER BY _first_seen_at"""


def read_warehouse_state(warehouse: Warehouse, claims: SourceRead[Claim], today: datetime) -> Known:
    """Read the warehouse, which may be older than these tables. Raises WarehouseError."""
    stored = tuple(read_records(warehouse))
    records = tuple(with_seen_cases(warehouse, stored))
    if not warehouse.columns("raw", "cases"):
        return Known(records, stored)
    references = {row.stored_key[1] for row in claims.rows} | {record.creditor_reference for record in records}
    cases: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    spellings = {fold_spelling(each) for each in references}
    wanted = {row.stored_key[0] for row in claims.rows}
    tenants = sorted(wanted | {record.external_tenant_id for record in records})
    # What `lower` makes of other letters than ASCII ones depends on the database, so such references are folded here.
    for creditor, reference, *case in warehouse.rows(_CASES, (sorted(references | spellings), tenants)):
        if (folded := fold_spelling(reference)) in spellings:
            cases[creditor, folded].append((reference, *case))
    alike: dict[Likeness, list[tuple[str, str | None]]] = defaultdict(list)
    for creditor, reference, case_id, number, amount, currency, country in warehouse.rows(
        _RECENT, (today - LOOK_ALIKE_DAYS, sorted(wanted))
    ):
        if (code := country_code(country)) is not None:
            alike[creditor, amount, currency, code].append((number or case_id, reference))
    swept = warehouse.rows(_SWEPT)[0][0] if warehouse.columns("ops", "syncs") else None
    linked = warehouse.rows(_LINKED, (swept,)) if swept is not None and warehouse.columns("raw", "clients") else ()
    return Known(records, stored, cases, alike, swept, frozenset(creditor for (creditor,) in linked))


def current_creditors(warehouse: Warehouse, tenants: Iterable[str]) -> dict[str, str]:
    """The client that each tenant id stands for now, as it was last read. Raises WarehouseError."""
    if not warehouse.columns("raw", "clients"):
        return {}
    return dict(warehouse.rows(_CREDITORS, (sorted(set(tenants)),)))


def api_day(settings: Settings, warehouse: Warehouse | None, now: datetime) -> date:
    """The day for rules of dates where the API is not asked. `now`: this machine's clock. Raises WarehouseError.

    The API's day is at least that of the newest sync, whose clock is the API's; a simulated API has a calendar of its own.
    """
    latest: datetime | None = None
    if warehouse is not None and warehouse.columns("ops", "syncs"):
        latest = warehouse.rows("SELECT max(as_of) FROM ops.syncs")[0][0]
    if latest is None:
        return now.astimezone(UTC).date()
    at = latest if settings.environment == "sandbox" else max(latest, now)
    return at.astimezone(UTC).date()


class RecordsByRow:
    """The record of each row of the source. A tenant id may be used again, so a row has the record of the client that its
    tenant id stands for now, where that is known."""

    def __init__(self, records: Iterable[Record], creditors: Mapping[str, str]) -> None:
        self._creditors, self._found = creditors, defaultdict[tuple[str, ...], list[Record]](list)
        for record in records:
            self._found[record.external_tenant_id, record.creditor_reference].append(record)

    def of(self, stored_key: tuple[str, ...]) -> Record | None:
        """The record of a row with this key, None if it has none."""
        known = self._found.get(stored_key[:2], [])
        creditor = self._creditors.get(stored_key[0])
        if creditor is None:
            return min(known, key=plan.weight) if known else None
        own = [one for one in known if one.creditor_id in (creditor, None)]
        return min(own, key=lambda one: one.creditor_id is None) if own else None
