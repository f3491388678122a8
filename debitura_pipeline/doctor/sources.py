"""Check that the roster and the claims can be read. Rows are counted and not validated; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.errors import SourceError
from debitura_pipeline.plural import counted
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import CLAIMS, ROSTER
from debitura_pipeline.source.raw import CONSEQUENCE
from debitura_pipeline.source.read import label_of, read_raw
from debitura_pipeline.source.table import SourceTable


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """One result for each source that is set."""
    for location, table in ((settings.outbound.roster, ROSTER), (settings.outbound.claims, CLAIMS)):
        if location is not None:
            yield _examine(location, table)


def _examine(location: Secret, table: SourceTable[Any]) -> Diagnosis:
    try:
        found = read_raw(location, table)
        where = label_of(location, table)
    except SourceError as error:
        cure = error.cure or f"Correct it, or {table.variable}."
        return failed(table.name, error.fault.removesuffix(f" {CONSEQUENCE}"), cure)
    unknown = f"; columns that are not read: {', '.join(found.unknown)}" if found.unknown else ""
    return passed(table.name, f"{counted(len(found.rows), 'row')} in {where}{unknown}")
