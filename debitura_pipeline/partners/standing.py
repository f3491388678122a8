"""How a partner stands: its last good nightly run, proof, open problems, and when the next run is due.

Reads two small files in the partner's data directory, no warehouse, no API and no secret: with hundreds of partners it takes a
fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from debitura_pipeline.incidents.causes import NIGHT_UNPROVEN
from debitura_pipeline.incidents.findings import LATE_AFTER
from debitura_pipeline.incidents.messages import kind_of_incident, next_command, recorded_text
from debitura_pipeline.incidents.state import Incident, read_state
from debitura_pipeline.incidents.update import visible
from debitura_pipeline.orchestration.nightly_runs import DONE, KILLED, KILLED_REASON, RUNNING
from debitura_pipeline.orchestration.nights import NightEntry, read_recent_nights
from debitura_pipeline.partners.overview import Overview
from debitura_pipeline.settings import next_due
from debitura_pipeline.warehouse.process_lock import Holder, ProcessLock
from debitura_pipeline.warehouse.run_lock import RUN_FILE

NEVER = "no good nightly run yet"
DOUBTED = "not proven complete"


@dataclass(frozen=True)
class OpenIncident:
    """One open incident of a partner. `message`: what happened, what it means and what to run next, as `ops.incidents` has it."""

    kind: str
    title: str
    subject: str
    opened_at: datetime
    since: datetime
    told_at: datetime | None
    what: str
    message: str
    next_command: str


@dataclass(frozen=True)
class Standing:
    """`last_run`: done, failed, killed, running, or None before the first. `is_proven`: of the last good run; None if unknown.

    `doubt`: why the last good run is not proven. `problems`: each in one line; `incidents` are among them.
    """

    partner: str
    environment: str | None
    last_good_at: datetime | None
    is_proven: bool | None
    last_run: str | None
    problems: tuple[str, ...]
    next_due_at: datetime | None
    doubt: str | None = None
    incidents: tuple[OpenIncident, ...] = ()

    def is_fresh(self, now: datetime) -> bool:
        """Whether the last good run is at most 26 hours old."""
        return self.last_good_at is not None and now - self.last_good_at <= LATE_AFTER

    def facts(self, now: datetime) -> dict[str, Any]:
        """JSON-ready values. `age_s`: seconds since the last good run ended."""
        good, due = self.last_good_at, self.next_due_at
        return {
            "partner": self.partner,
            "environment": self.environment,
            "last_good_at": good and good.isoformat(),
            "age_s": None if good is None else max(round((now - good).total_seconds()), 0),
            "is_proven": self.is_proven,
            "last_run": self.last_run,
            "problems": list(self.problems),
            "doubt": self.doubt,
            "incidents": [
                {
                    "kind": each.kind,
                    "title": each.title,
                    "subject": each.subject,
                    "since": each.since.isoformat(),
                    "what": each.what,
                    "next": each.next_command,
                }
                for each in self.incidents
            ],
            "next_due_at": due and due.isoformat(),
        }


def read_standing(overview: Overview, now: datetime) -> Standing:
    """Of one partner. What cannot be read is a problem; nothing is raised. `now`: this machine's clock, aware."""
    if overview.data_dir is None or overview.schedule is None:
        return Standing(overview.name, overview.environment, None, None, None, (overview.fault or "",), None)
    try:
        nights, fault = read_recent_nights(overview.data_dir), None
    except OSError as error:
        nights, fault = [], f"{overview.data_dir} cannot be read ({error.strerror})"
    good = next((night for night in reversed(nights) if night.outcome == DONE), None)
    good_at = (good.finished_at or good.started_at) if good is not None else None
    last_run = _state(nights[-1], overview.data_dir) if nights else None
    problems = [fault] if fault else list(_of_nights(nights, last_run, good_at, now))
    incidents = tuple(_incidents(overview, now))
    doubt = (good.reason or "no reason recorded") if good and good.is_proven is False else None
    if doubt and all(each.kind != NIGHT_UNPROVEN for each in incidents):
        problems.append(f"{DOUBTED}: {doubt}")
    return Standing(
        overview.name,
        overview.environment,
        good_at,
        good.is_proven if good else None,
        last_run,
        (*problems, *(f"incident: {each.title} ({each.subject})" for each in incidents)),
        next_due(overview.schedule, now),
        doubt,
        incidents,
    )


def _state(night: NightEntry, data_dir: Path) -> str:
    if night.outcome is not None:
        return night.outcome
    holder: Holder | None = ProcessLock(data_dir / RUN_FILE).holder()
    is_on = holder is not None and (holder.pid, holder.host) == (night.pid, night.host)
    return RUNNING if is_on else KILLED


def _of_nights(
    nights: Sequence[NightEntry], last_run: str | None, good_at: datetime | None, now: datetime
) -> Iterator[str]:
    if last_run not in (None, DONE, RUNNING):
        reason = KILLED_REASON if last_run == KILLED else nights[-1].reason or "reason unknown"
        yield f"the last nightly run {'was killed' if last_run == KILLED else 'failed'}: {reason}"
    if good_at is None:
        yield NEVER
    elif now - good_at > LATE_AFTER:
        yield f"no good nightly run for more than {LATE_AFTER.total_seconds() / 3600:.0f} hours"


def _incidents(overview: Overview, now: datetime) -> Iterator[OpenIncident]:
    """Open incidents as of the last time that they were judged."""
    state = read_state(overview.data_dir) if overview.data_dir else None
    for incident in visible(state, now) if state else ():
        yield _open(incident, overview.name)


def _open(incident: Incident, partner: str) -> OpenIncident:
    return OpenIncident(
        incident.kind,
        kind_of_incident(incident).title,
        incident.subject,
        incident.opened_at,
        incident.since or incident.opened_at,
        incident.told_at,
        incident.what,
        recorded_text(incident, partner),
        next_command(incident, partner),
    )
