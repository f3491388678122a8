"""What became of a night, by Dagster's events of its run, into the record that `debitura status` reads.

Belongs here: done or failed, proven or not, and why in one line that holds no row and no person. Does not: the record itself
(`nights.py`). Called around the job by `nightly.py`, and by the resource in runs that the daemon started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from debitura_pipeline.orchestration.keys import PUBLISHED, RAW
from debitura_pipeline.orchestration.nights import INTERRUPTED, LONGEST_REASON, note_end, note_start, reason_of
from debitura_pipeline.settings import Settings

EVENTS = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.RUN_FAILURE,
}
# dbt's other words may quote a value of a row.
DBT_FAULT = re.compile(r"(?:[A-Z]\w+ Error in \w+ [\w.]+|Failure in \w+ [\w.]+) \([^()]*\)")
OUR_ERROR = re.compile(r"debitura_pipeline\.[\w.]+: ")
NAMED = 3  # of dbt's faults


@dataclass(frozen=True)
class Outcome:
    """`is_proven`: of all three resources; `reason`: why it failed, or what is not proven."""

    has_failed: bool
    is_proven: bool | None
    reason: str | None


def is_night(run: dg.DagsterRun) -> bool:
    """Whether a run of job `nightly` is whole: somebody's choice of its assets, without publication, is no night."""
    return not run.asset_selection or PUBLISHED in run.asset_selection


@contextmanager
def recorded(settings: Settings, run_id: str, started_by: str) -> Iterator[list[Outcome]]:
    """Record a night from the start of the block to its end. The block appends its outcome; what it raises before is one, too."""
    note_start(settings, run_id, started_by)
    outcomes: list[Outcome] = []
    try:
        yield outcomes
    except BaseException as error:
        if not outcomes:
            outcomes.append(Outcome(True, None, reason_of(error)))
        raise
    finally:
        last = outcomes[0] if outcomes else Outcome(True, None, INTERRUPTED)
        note_end(settings, run_id, is_proven=last.is_proven, reason=last.reason, has_failed=last.has_failed)


def outcome_of(instance: dg.DagsterInstance, run_id: str) -> Outcome:
    """By the events of a run whose steps are over: it is done where its last step is, and none has failed."""
    entries = instance.all_logs(run_id, of_type=EVENTS)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    failed = [event for event in events if event.event_type is not dg.DagsterEventType.ASSET_MATERIALIZATION]
    if failed:
        return Outcome(True, None, safe_reason(failed[0]))
    made = {event.asset_key: event for event in events}
    if PUBLISHED not in made:
        return Outcome(True, None, INTERRUPTED)
    open_ = [f"{name}: {why}" for name, key in RAW.items() if (why := _not_proven(made.get(key))) is not None]
    return Outcome(False, not open_, "; ".join(open_)[:LONGEST_REASON] or None)


def safe_reason(event: dg.DagsterEvent) -> str:
    """Why a step or a run failed, to be stored: our own words as they are, of others' what cannot hold a row."""
    step = f"step {event.step_key.replace('__', '/')}" if event.step_key else "the run"
    is_step = event.event_type is dg.DagsterEventType.STEP_FAILURE
    error = event.step_failure_data.error if is_step else event.job_failure_data.error
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    if error is None:
        return f"{step} failed"
    text = " ".join(error.message.split())
    ours = OUR_ERROR.match(text)
    if ours:
        return text[ours.end() :][:LONGEST_REASON]
    if faults := DBT_FAULT.findall(text):
        return f"dbt: {'; '.join(dict.fromkeys(faults[:NAMED]))}"
    if "AssetCheckFailed" in (error.cls_name or ""):
        return f"{step}: a blocking check did not pass"
    return f"{step} failed with {error.cls_name or 'an error'}; Dagster's event log of the run has more"


def _not_proven(event: dg.DagsterEvent | None) -> str | None:
    """None where it is proven."""
    if event is None:
        return "not read by this run"
    facts = event.step_materialization_data.materialization.metadata
    if "is_proven" in facts and facts["is_proven"].value:
        return None
    return str(facts["message"].value) if "message" in facts else "no reason given"
