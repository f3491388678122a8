"""Derive the outcome of a nightly run from Dagster's events, and write it to the record that `debitura status` reads.

The record is in `nights.py`. Used by `nightly.py`, and by the resource in runs that the daemon started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.causes import NIGHT_FAILED, cause_of
from debitura_pipeline.orchestration.keys import PUBLISHED, RAW
from debitura_pipeline.orchestration.nights import (
    INTERRUPTED,
    MAX_REASON_LENGTH,
    note_end,
    note_start,
    storable_cause,
    storable_reason,
)
from debitura_pipeline.settings import Settings

EVENTS = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.RUN_FAILURE,
}
# The rest of dbt's message may quote a value of a row.
DBT_FAULT = re.compile(r"(?:[A-Z]\w+ Error in \w+ [\w.]+|Failure in \w+ [\w.]+) \([^()]*\)")
DBT_PREFIX = "Errors parsed from dbt logs: "  # preceded by a command and a path
OUR_ERROR = re.compile(r"debitura_pipeline\.[\w.]+: ")
MAX_NAMED = 3  # dbt errors


@dataclass(frozen=True)
class Outcome:
    """How a nightly run ended. `is_proven`: whether all three resources are. `reason`: of the failure, or what is unproven.

    `cause`: of the failure, of `incidents/causes.py`.
    """

    has_failed: bool
    is_proven: bool | None
    reason: str | None
    cause: str | None = None


def is_night(run: dg.DagsterRun) -> bool:
    """Whether a run of job `nightly` includes publication. A user may run a subset of its assets, which is no nightly run."""
    return not run.asset_selection or PUBLISHED in run.asset_selection


@contextmanager
def recorded(settings: Settings, run_id: str, started_by: str) -> Iterator[list[Outcome]]:
    """Record a nightly run from start to end of the block. The block appends the outcome, or raises the reason of a failure."""
    note_start(settings, run_id, started_by)
    outcomes: list[Outcome] = []
    try:
        yield outcomes
    except BaseException as error:
        if not outcomes:
            outcomes.append(Outcome(True, None, storable_reason(error), storable_cause(error)))
        raise
    finally:
        last = outcomes[0] if outcomes else Outcome(True, None, INTERRUPTED, NIGHT_FAILED)
        note_end(
            settings,
            run_id,
            is_proven=last.is_proven,
            reason=last.reason,
            has_failed=last.has_failed,
            cause=last.cause,
        )


def outcome_of(instance: dg.DagsterInstance, run_id: str) -> Outcome:
    """The outcome of a run whose steps have ended: it succeeded if publication did and no step has failed."""
    entries = instance.all_logs(run_id, of_type=EVENTS)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    failed = [event for event in events if event.event_type is not dg.DagsterEventType.ASSET_MATERIALIZATION]
    if failed:
        return Outcome(True, None, safe_reason(failed[0]), _cause(failed[0]))
    made = {event.asset_key: event for event in events}
    if PUBLISHED not in made:
        return Outcome(True, None, INTERRUPTED, NIGHT_FAILED)
    open_ = [f"{name}: {why}" for name, key in RAW.items() if (why := _not_proven(made.get(key))) is not None]
    return Outcome(False, not open_, "; ".join(open_)[:MAX_REASON_LENGTH] or None)


def safe_reason(event: dg.DagsterEvent) -> str:
    """Why a step or run failed, in one line that may be stored: other libraries' messages are left out, they may quote a row."""
    step = f"step {event.step_key.replace('__', '/')}" if event.step_key else "the run"
    error = _own_error(event)
    if error is None:
        return f"{step} failed"
    text = " ".join(error.message.split())
    ours = OUR_ERROR.match(text)
    if ours:
        return text[ours.end() :][:MAX_REASON_LENGTH]
    if faults := DBT_FAULT.findall(text):
        return f"dbt: {'; '.join(dict.fromkeys(faults[:MAX_NAMED]))}"
    if "AssetCheckFailed" in (error.cls_name or ""):
        return f"{step}: a blocking check failed"
    return f"{step} failed with {error.cls_name or 'an error'}; Dagster's event log of the run has more"


def _cause(event: dg.DagsterEvent) -> str:
    error = _own_error(event)
    return NIGHT_FAILED if error is None else cause_of(error.cls_name or "", " ".join(error.message.split()))


def _own_error(event: dg.DagsterEvent) -> Any:
    """The error without Dagster's own around it; None if the event has none."""
    is_step = event.event_type is dg.DagsterEventType.STEP_FAILURE
    error = event.step_failure_data.error if is_step else event.job_failure_data.error
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return error


def displayed_reason(event: dg.DagsterEvent) -> str:
    """Why a step or run failed, in one line for the terminal: the original message without Dagster's wrapping."""
    data: Any = event.event_specific_data
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    text = " ".join((error.message if error else event.message or "").split())
    ours = re.match(rf"{re.escape(DebituraError.__module__)}\.\w+: ", text)
    if ours:
        return text[ours.end() :]
    _, _, dbt = text.partition(DBT_PREFIX)
    return f"dbt: {dbt}"[:MAX_REASON_LENGTH] if dbt else text[:MAX_REASON_LENGTH] or "no reason given"


def _not_proven(event: dg.DagsterEvent | None) -> str | None:
    """Why a raw table is not proven; None if it is."""
    if event is None:
        return "not read by this run"
    facts = event.step_materialization_data.materialization.metadata
    if "is_proven" in facts and facts["is_proven"].value:
        return None
    return str(facts["message"].value) if "message" in facts else "no reason given"
