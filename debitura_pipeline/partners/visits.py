"""What a sensor of all partners does for one of them: read the files that its processes left, and its part of the instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster_shared.record import copy

from debitura_pipeline.incidents.state import read_state
from debitura_pipeline.incidents.update import visible
from debitura_pipeline.onboarding.lifecycle import decide
from debitura_pipeline.orchestration.coverage import read_known
from debitura_pipeline.orchestration.jobs import (
    ONBOARD,
    OUTBOUND,
    REFRESH,
)
from debitura_pipeline.orchestration.keys import CLIENTS, PARTNER_TAG, REGISTRATION, SUBMISSION
from debitura_pipeline.orchestration.partner_view import PartnerView
from debitura_pipeline.orchestration.progress import read_progress
from debitura_pipeline.orchestration.refresh_reports import read_refresh_progress, reason_to_wait
from debitura_pipeline.orchestration.sensors import is_access_due, result_of
from debitura_pipeline.orchestration.wanted import due_reason, handled_state, paused_until, ready_digest, state_of
from debitura_pipeline.orchestration.webhook_sensors import (
    REASON,
    evaluation,
    not_before,
    overdue_check,
    sweep_request,
    was_swept,
)
from debitura_pipeline.orchestration.webhooks import SUBSCRIPTIONS
from debitura_pipeline.partners.look import Look, look_stamp, note_handled, read_look
from debitura_pipeline.webhooks.position import inbox_state
from debitura_pipeline.webhooks.segments import FOLDER as INBOX

MAX_REQUESTS = 20  # per tick: Dagster takes half a second to queue each
LOOKED_WITHIN = timedelta(hours=1)  # six rounds of 200 partners
PLANS = {"roster": REGISTRATION["plan"], "claims": SUBMISSION["plan"]}

Visit = Callable[["Tick", str, Path, str], str]


@dataclass
class Tick:
    """What one tick has found. `active`: unfinished runs by partner, then by job."""

    instance: dg.DagsterInstance
    now: datetime
    active: Mapping[str, Mapping[str, list[dg.DagsterRun]]]
    requests: list[dg.RunRequest] = field(default_factory=list)
    partitions: list[dg.AddDynamicPartitionsRequest] = field(default_factory=list)
    events: list[dg.AssetCheckEvaluation] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def view(self, partner: str) -> PartnerView:
        """The partner's part of the instance."""
        return PartnerView(self.instance, partner)

    def runs(self, partner: str, job: str) -> list[dg.DagsterRun]:
        """The partner's unfinished runs of a job."""
        return self.active.get(partner, {}).get(job, [])

    @property
    def is_full(self) -> bool:
        """Whether no more runs should be requested: the next tick goes on."""
        return len(self.requests) >= MAX_REQUESTS

    def ask(self, partner: str, request: dg.RunRequest, *, is_partition: bool = True) -> None:
        """Request a run for a partner. `is_partition`: the job's partitions are the partners."""
        tags = {**request.tags, PARTNER_TAG: partner}
        self.requests.append(copy(request, tags=tags, partition_key=partner if is_partition else None))


def visit_new_clients(tick: Tick, partner: str, data_dir: Path, note: str) -> str:
    """Once per look: compare the listed clients with what is done. `note`: the stamp of the look handled last."""
    stamp = look_stamp(data_dir)
    look = read_look(data_dir) if stamp != note else None
    if look is None or look.clients is None or tick.is_full:
        return note if tick.is_full else stamp
    view, active = tick.view(partner), tick.runs(partner, ONBOARD)
    known = read_known(view)
    progress = read_progress(view, tick.now, active, known.covered)
    decision = decide(look.clients, progress, tick.now, known.covered, len(active))
    if look.unseen and not decision.new:
        note_handled(data_dir, look)
    is_idle = not active and not decision.run
    result = result_of(decision, known.untried if is_idle and is_access_due(view, known, tick.now) else 0)
    for request in result.run_requests or ():
        tick.ask(partner, request, is_partition=False)
    if decision.new:
        places = view.places_of(str(CLIENTS.name), decision.new)
        tick.partitions += [dg.AddDynamicPartitionsRequest(name, keys) for name, keys in places]
        tick.said.append(f"{partner}: {len(decision.new)} new clients")
    return stamp


def visit_wanted(tick: Tick, partner: str, data_dir: Path, note: str) -> str:
    """Once per look: compare what the sources want with what the last run has recorded."""
    stamp = look_stamp(data_dir)
    look = read_look(data_dir) if stamp != note else None
    if look is None or not look.sources or tick.is_full or tick.runs(partner, OUTBOUND):
        return note if tick.is_full else stamp
    view = tick.view(partner)
    until = paused_until(view)
    reasons = [] if until is not None and tick.now < until else _reasons(view, data_dir, look, tick.now)
    if reasons:
        tick.ask(partner, dg.RunRequest(tags={REASON: "; ".join(reasons)}))
    return stamp


def _reasons(view: PartnerView, data_dir: Path, look: Look, now: datetime) -> list[str]:
    ready, reasons = ready_digest(view), []
    for name, source in look.sources.items():
        if source.fingerprint is not None:
            state = state_of(data_dir, name, source.fingerprint, ready, now, may_write=source.may_write)
            reasons.append(due_reason(state, handled_state(view, PLANS[name]), now, name))
    return [reason for reason in reasons if reason]


def visit_reports(tick: Tick, partner: str, _: Path, note: str) -> str:
    """While something that was loaded is not published. `note`: `due` until then."""
    if note != DUE or tick.is_full:
        return note
    reason = reason_to_wait(read_refresh_progress(tick.view(partner)), tick.now)
    if reason is None:
        tick.ask(partner, dg.RunRequest())
    return "" if reason is not None and reason.startswith(SETTLED) else DUE


DUE = "due"
SETTLED = ("everything that was loaded", "nothing is published yet")


def visit_inbox(tick: Tick, partner: str, data_dir: Path, note: str) -> str:
    """Request a run for the events that wait. `note`: when overdue events were last reported."""
    if not (data_dir / INBOX).exists() or tick.is_full:
        return note
    state = inbox_state(data_dir)
    if not state.waiting:
        return note
    told = overdue_check(state, datetime.fromisoformat(note) if note else None, tick.now, partner)
    tick.events += told
    again_at = not_before(tick.view(partner), state)
    if not tick.runs(partner, REFRESH) and (again_at is None or tick.now >= again_at):
        tick.ask(partner, dg.RunRequest(tags={REASON: f"{state.waiting} webhook events"}))
    return tick.now.isoformat() if told else note


def visit_subscriptions(tick: Tick, partner: str, data_dir: Path, note: str) -> str:
    """Once per reading of the subscriptions, each hour: request a run that enables them, until one has succeeded. `note`: when they
    were read that was handled last, and since when a sweep is due. A reading stays in the looks of the next hour."""
    handled, _, since = note.partition("|")
    look = read_look(data_dir)
    found = look.subscriptions if look is not None else None
    if found is None or found.at.isoformat() == handled or tick.is_full or tick.runs(partner, REFRESH):
        return note
    tick.events.append(evaluation(SUBSCRIPTIONS, found.description, is_passed=not found.off, partner=partner))
    due = datetime.fromisoformat(since) if since else (tick.now if found.may_enable else None)
    if due is None or was_swept(tick.view(partner), due):
        return f"{found.at.isoformat()}|"
    tick.ask(partner, sweep_request(found.off))
    return f"{found.at.isoformat()}|{due.isoformat()}"


def visit_incidents(tick: Tick, partner: str, data_dir: Path, _: str) -> str:
    """Name the partner's open incidents, and a look that is overdue. They are told by the process that looks."""
    state = read_state(data_dir)
    tick.said += [f"{partner}: {one.kind} ({one.subject})" for one in (visible(state, tick.now) if state else ())]
    look = read_look(data_dir)
    if look is None:
        tick.said.append(f"{partner}: not looked at yet")
    elif tick.now - look.at > LOOKED_WITHIN:
        tick.said.append(f"{partner}: not looked at since {look.at:%Y-%m-%d %H:%M} UTC")
    return ""


def begin_tick(instance: dg.DagsterInstance, now: datetime) -> Tick:
    """A tick, with the unfinished runs of all partners in one query."""
    active: dict[str, dict[str, list[dg.DagsterRun]]] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        run = record.dagster_run
        active.setdefault(run.tags.get(PARTNER_TAG, ""), {}).setdefault(run.job_name, []).append(run)
    return Tick(instance, now, active)
