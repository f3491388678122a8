"""Compare the wanted claims with the cases that are there, as the last night read them: the asset check `submission_proof`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.errors import SourceError
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import Claim, SourceRead, read_claims
from debitura_pipeline.submission.record import read_records
from debitura_pipeline.submission.states import PLANNED, REFUSED, SENT, WITH_CASE, Record
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.checks import MAX_TABLE_ROWS, CheckResult, CheckTable

_CASES = "SELECT case_id, external_tenant_id, creditor_reference, reference FROM raw.cases WHERE _deleted_at IS NULL"
_READ_AT = "SELECT max(started_at) FROM ops.syncs WHERE resource = 'cases' AND status = 'done'"
UNSENT = frozenset({PLANNED, REFUSED, SENT})


@dataclass(frozen=True)
class ProofDifference:
    """`missing`: wanted, and no case is there although nothing explains it. `unwanted`: cases that no row asks for."""

    missing: tuple[tuple[str, str, str], ...]
    unwanted: tuple[tuple[str, str, str], ...]


def check_submissions(settings: Settings, warehouse: Warehouse) -> CheckResult:
    """The check: passes if every wanted claim has its case or a reason. Raises WarehouseError."""
    if settings.outbound.claims is None:
        return CheckResult(True, "DEBITURA_CLAIMS is not set")
    try:
        source = read_claims(settings, datetime.now(UTC).date(), is_noted=False)
    except SourceError as error:
        return CheckResult(False, str(error), is_warning=True)
    read_at = warehouse.rows(_READ_AT)[0][0]
    found = compare_claims(source, read_records(warehouse), warehouse.rows(_CASES), read_at)
    rows = [*((*one, "missing") for one in found.missing), *((*one, "not in the source") for one in found.unwanted)]
    shown = tuple(rows[:MAX_TABLE_ROWS])
    table = CheckTable(("external_tenant_id", "creditor_reference", "state", "finding"), shown, len(rows) - len(shown))
    missing, unwanted = len(found.missing), len(found.unwanted)
    description = f"{missing} wanted claims have neither a case nor a reason; {unwanted} cases are not in the source"
    figures = {"wanted": len(source.rows), "missing": missing, "not_in_source": unwanted}
    passed = (
        not missing or "cases" not in settings.outbound.writes
    )  # then nothing is sent, and planned is as it should be
    return CheckResult(passed, description, figures, table if rows else None, is_warning=True)


def compare_claims(
    source: SourceRead[Claim], records: Sequence[Record], cases: Sequence[tuple[Any, ...]], read_at: datetime | None
) -> ProofDifference:
    """Wanted minus there, and there minus wanted. `cases`: case_id, tenant, creditor reference, reference.

    A case counts as missing only if it was created before the last reading began; a test case never does, since it is not
    documented whether listings show it. Pure.
    """
    there = {case[0] for case in cases}
    by_key: Mapping[tuple[str, str], Record] = {
        (one.external_tenant_id, one.creditor_reference): one for one in records
    }
    missing = []
    for row in source.rows:
        record, claim = by_key.get(_key(row.stored_key)), row.row
        if claim is None or claim.is_test:
            continue
        state = PLANNED if record is None else record.state
        if state in UNSENT or (record is not None and _is_gone(record, there, read_at)):
            missing.append((*_key(row.stored_key), state))
    wanted = {_key(row.stored_key) for row in source.rows}
    tenants = {tenant for tenant, _ in wanted}
    unwanted = [
        (tenant, reference or "", number or "")
        for _, tenant, reference, number in cases
        if tenant in tenants and (tenant, reference or "") not in wanted
    ]
    return ProofDifference(tuple(missing), tuple(unwanted))


def _key(stored: tuple[str, ...]) -> tuple[str, str]:
    return stored[0], stored[1]


def _is_gone(record: Record, there: set[str], read_at: datetime | None) -> bool:
    if record.state not in WITH_CASE or record.case_id is None or record.case_id in there:
        return False
    return read_at is not None and record.outcome_at is not None and record.outcome_at < read_at
