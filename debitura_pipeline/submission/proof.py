"""Compare the wanted claims with the cases that are there, as the last night read them: the asset check `submission_proof`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from debitura_pipeline.errors import SourceError
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import Claim, SourceRead, read_claims
from debitura_pipeline.submission.known import RecordsByRow, api_day, current_creditors
from debitura_pipeline.submission.settled import read_settled_records
from debitura_pipeline.submission.states import PLANNED, REFUSED, SENT, WITH_CASE, Record
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.checks import MAX_TABLE_ROWS, CheckResult, CheckTable

# Of readings of all cases: one of a single client's shows no other client's.
_READ_AT = "SELECT max(started_at) FROM ops.syncs WHERE resource = 'cases' AND status = 'done' AND coalesce(mode, '') <> 'client'"
_THERE = """
    SELECT case_id FROM raw.cases WHERE _deleted_at IS NULL AND case_id IN (SELECT unnest(CAST($1 AS VARCHAR[])))"""
# A row whose client is not known wants the cases of its tenant, whoever that was.
_UNWANTED = """
    WITH wanted AS (
        SELECT unnest(CAST($1 AS VARCHAR[])) AS tenant, unnest(CAST($2 AS VARCHAR[])) AS creditor,
            unnest(CAST($3 AS VARCHAR[])) AS reference
    ), clients AS (SELECT DISTINCT tenant, creditor FROM wanted)
    SELECT external_tenant_id, coalesce(creditor_reference, ''), coalesce(reference, ''), count(*) OVER ()
    FROM raw.cases AS c
    WHERE _deleted_at IS NULL
    AND EXISTS (SELECT 1 FROM clients AS w
        WHERE w.tenant = c.external_tenant_id AND (w.creditor = '' OR w.creditor = c.creditor_id))
    AND NOT EXISTS (SELECT 1 FROM wanted AS w
        WHERE w.tenant = c.external_tenant_id AND (w.creditor = '' OR w.creditor = c.creditor_id)
        AND w.reference = coalesce(c.creditor_reference, ''))
    ORDER BY 1, 2, 3 LIMIT $4"""
UNSENT = frozenset({PLANNED, REFUSED, SENT})

Finding = tuple[str, str, str]  # tenant, creditor reference, state or Debitura's reference


def check_submissions(settings: Settings, warehouse: Warehouse, now: datetime | None = None) -> CheckResult:
    """The check: passes if every wanted claim has its case or a reason. `now`: this machine's clock. Raises WarehouseError."""
    if settings.outbound.claims is None:
        return CheckResult(True, "DEBITURA_CLAIMS is not set")
    try:
        source = read_claims(settings, api_day(settings, warehouse, now or datetime.now(UTC)), is_noted=False)
    except SourceError as error:
        return CheckResult(False, str(error), is_warning=True)
    read_at = warehouse.rows(_READ_AT)[0][0]
    if read_at is None:
        figures = {"wanted": len(source.rows)}
        return CheckResult(False, "Not checked yet: cases were never read in full", figures, is_warning=True)
    creditors = current_creditors(warehouse, (row.stored_key[0] for row in source.rows))
    records = read_settled_records(warehouse)
    recorded = sorted({one.case_id for one in records if one.case_id is not None})
    there = {case_id for (case_id,) in warehouse.rows(_THERE, (recorded,))}
    missing = find_missing(source, RecordsByRow(records, creditors), there, read_at)
    unwanted, count = _find_unwanted(warehouse, source, creditors)
    rows = [*((*one, "missing") for one in missing), *((*one, "not in the source") for one in unwanted)]
    shown = tuple(rows[:MAX_TABLE_ROWS])
    columns = ("external_tenant_id", "creditor_reference", "state", "finding")
    table = CheckTable(columns, shown, len(missing) + count - len(shown))
    description = f"{len(missing)} wanted claims have neither a case nor a reason; {count} cases are not in the source"
    figures = {"wanted": len(source.rows), "missing": len(missing), "not_in_source": count}
    # Where nothing may be sent, planned is as it should be.
    passed = not missing or "cases" not in settings.outbound.writes
    return CheckResult(passed, description, figures, table if rows else None, is_warning=True)


def find_missing(
    source: SourceRead[Claim], records: RecordsByRow, there: set[str], read_at: datetime | None
) -> list[Finding]:
    """Wanted claims without a case that nothing explains. `there`: those of the recorded cases that the last reading showed.

    A case counts as missing only if it was created before that reading began; a test case never does, since it is not
    documented whether listings show it. Pure.
    """
    missing = []
    for row in source.rows:
        record, claim = records.of(row.stored_key), row.row
        if claim is None or claim.is_test:
            continue
        state = PLANNED if record is None else record.state
        if state in UNSENT or (record is not None and _is_gone(record, there, read_at)):
            missing.append((row.stored_key[0], row.stored_key[1], state))
    return missing


def _find_unwanted(
    warehouse: Warehouse, source: SourceRead[Claim], creditors: Mapping[str, str]
) -> tuple[list[Finding], int]:
    """Cases of the source's clients that no row asks for: the first ones, and their number."""
    wanted = sorted(
        {(row.stored_key[0], creditors.get(row.stored_key[0], ""), row.stored_key[1]) for row in source.rows}
    )
    parts = [[row[place] for row in wanted] for place in range(3)]
    found = warehouse.rows(_UNWANTED, (*parts, MAX_TABLE_ROWS))
    return [(tenant, reference, number) for tenant, reference, number, _ in found], found[0][3] if found else 0


def _is_gone(record: Record, there: set[str], read_at: datetime | None) -> bool:
    if record.state not in WITH_CASE or record.case_id is None or record.case_id in there:
        return False
    return read_at is not None and record.outcome_at is not None and record.outcome_at < read_at
