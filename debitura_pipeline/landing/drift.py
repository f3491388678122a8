"""Detect schema drift: fields, enum values and empty texts that the contract does not name. Rejects nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.contract.tables import Kind, Table
from debitura_pipeline.landing.findings import Drift
from debitura_pipeline.landing.labels import is_documented
from debitura_pipeline.landing.page_schema import Path
from debitura_pipeline.landing.redact import safe_path

MAX_NEW_VALUES = 50  # per column and window: a column that is no enum any more needs no longer list


def find_drift(table: Table, rows: pa.Table, unknown: Iterable[Path], empty: Iterable[Path]) -> tuple[Drift, ...]:
    """New fields, empty texts instead of null, and new enum values of a window; each once, sorted, nothing personal."""
    fields = {Drift("field", safe_path(path), None) for path in unknown}
    blanks = {Drift("empty", ".".join(path), None) for path in empty}
    found = fields.union(blanks, _new_values(table, rows))
    return tuple(sorted(found, key=lambda drift: (drift.kind, drift.field, drift.value or "")))


def _new_values(table: Table, rows: pa.Table) -> Iterator[Drift]:
    for column in table.columns:
        if column.kind is not Kind.LABEL:
            continue
        seen = sorted(value for value in pc.unique(rows[column.name]).to_pylist() if value is not None)
        new = [value for value in seen if not is_documented(value, column.name)]
        for value in new[:MAX_NEW_VALUES]:
            yield Drift("value", ".".join(column.path), value)
