"""Why a step or a run failed, in one line."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError

DBT_SAYS = "Errors parsed from dbt logs: "  # what comes before names a command and a path
LONGEST_REASON = 600


def reason_of(event: dg.DagsterEvent) -> str:
    """The error's own words in one line, without what Dagster wraps around them."""
    data: Any = event.event_specific_data
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    text = " ".join((error.message if error else event.message or "").split())
    ours = re.match(rf"{re.escape(DebituraError.__module__)}\.\w+: ", text)
    if ours:
        return text[ours.end() :]
    _, _, dbt = text.partition(DBT_SAYS)
    return f"dbt: {dbt}"[:LONGEST_REASON] if dbt else text[:LONGEST_REASON] or "no reason given"
