"""Apply what is sent to Debitura, and print plans, outcomes and statuses: a table, sums, and the JSON document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.tables import FittedTable
from debitura_pipeline.cli.typed import as_typed
from debitura_pipeline.incidents.outbound_fault import outbound_noted
from debitura_pipeline.orchestration.telling import incidents_told
from debitura_pipeline.outbound.applied import AppliedPlan
from debitura_pipeline.outbound.plan_document import PlanDocument, PlanRow
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source.table import SourceTable

SHOWN_ROWS = 200  # the JSON document has all


def apply_outbound(
    settings: Settings, source: SourceTable[Any], apply: Callable[[Endpoint], AppliedPlan]
) -> AppliedPlan:
    """Apply, and report incidents after it. Raises DebituraError."""
    with (
        incidents_told(settings),
        outbound_noted(settings, source.name) as note_stop,
        open_endpoint(settings) as endpoint,
    ):
        found = apply(endpoint)
        note_stop(found.stopped)
    return found


def show_applied(found: AppliedPlan, *, is_open: str) -> None:
    """Print every row as it is now, and why the apply stopped. `is_open`: what the JSON document says of rows not done with."""
    show_document(found.document, found.unknown)
    json_document.give(sent=found.sent, stopped=found.stopped)
    if found.stopped is not None:
        console.warn(f"stopped: {found.stopped}")
        json_document.fail(found.stopped)
    elif found.is_open:
        json_document.fail(is_open)


def summary_of(document: PlanDocument) -> str:
    """`3 planned, 1 refused`; empty without rows."""
    return ", ".join(f"{count} {state}" for state, count in document.summary.items())


def show_document(document: PlanDocument, unknown: Sequence[str] = ()) -> None:
    """Print the rows, the counts by state, and the source's columns that nothing reads; give the JSON document."""
    if unknown:
        console.warn(f"Columns that are not read: {', '.join(unknown)}.")
    rows = document.rows[:SHOWN_ROWS]
    if rows:
        has_references = any(row.creditor_reference for row in rows)
        names = ("external tenant id", "creditor reference") if has_references else ("external tenant id",)
        cells = [_cells(row, has_references=has_references) for row in rows]
        console.show(
            FittedTable(("row", *names, "state", "reasons"), cells, names=1 + len(names), right=frozenset({"row"}))
        )
    if len(document.rows) > SHOWN_ROWS:
        console.say(f"{len(document.rows) - SHOWN_ROWS} more rows; `--json` has all of them.")
    for currency, amount in sorted(document.sums.items()):
        console.say(f"{amount:,f} {currency}")
    console.say(summary_of(document) or "No rows.")
    json_document.give(**document.facts(), unknown_columns=list(unknown))


def _cells(row: PlanRow, *, has_references: bool) -> tuple[str, ...]:
    reference = (row.creditor_reference or "",) if has_references else ()
    number = "" if row.row is None else str(row.row)
    return number, row.external_tenant_id, *reference, row.state, as_typed("; ".join(row.reasons))
