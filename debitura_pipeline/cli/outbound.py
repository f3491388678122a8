"""Print plans and statuses of what is sent to Debitura: a table of what needs attention, sums, and the JSON document."""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.tables import FittedTable
from debitura_pipeline.outbound.plan_document import PlanDocument, PlanRow

SHOWN_ROWS = 200  # the JSON document has all


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
    console.say(", ".join(f"{count} {state}" for state, count in document.summary.items()) or "No rows.")
    json_document.give(**document.facts(), unknown_columns=list(unknown))


def _cells(row: PlanRow, *, has_references: bool) -> tuple[str, ...]:
    reference = (row.creditor_reference or "",) if has_references else ()
    number = "" if row.row is None else str(row.row)
    return number, row.external_tenant_id, *reference, row.state, "; ".join(row.reasons)
