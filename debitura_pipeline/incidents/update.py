"""What findings change: incidents open and close, messages are queued, and deliveries are taken note of. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from debitura_pipeline.incidents import kinds
from debitura_pipeline.incidents.findings import Finding
from debitura_pipeline.incidents.judge import Findings
from debitura_pipeline.incidents.messages import message_of, title_of
from debitura_pipeline.incidents.state import OPENED, OVER, REMINDER, Event, Incident, Message, State

REMIND_AFTER = timedelta(hours=24)
EXPLAINED_FOR = timedelta(hours=24)  # after the one that explained it is over
EARLY_RETRIES = 2
RETRY_FIRST, RETRY_MOST = timedelta(minutes=5), timedelta(hours=1)
KEEP_MESSAGES = timedelta(days=7)
MOST_SINGLE = {OPENED: 50, OVER: 50, REMINDER: 5}  # messages of one kind at once; more become one
_ORDER = {name: number for number, name in enumerate(kinds.KINDS)}


@dataclass(frozen=True)
class Recipient:
    """Where messages go, and what they say of their origin. `targets`: hashes of the addresses that are set. `environment`: named
    unless it is production. `partner`: None without a partners file."""

    targets: Sequence[str]
    environment: str
    partner: str | None = None


def apply_findings(state: State, findings: Findings, recipient: Recipient, now: datetime) -> None:
    """Open and close incidents and queue messages about them."""
    current = {incident.key: incident for incident in state.open_()}
    for finding in findings.open_:
        _take(state, current.get(finding.key), finding, now)
    found = {finding.key for finding in findings.open_}
    over = [incident for key, incident in current.items() if key[0] in findings.judged and key not in found]
    for incident in over:
        incident.closed_at, incident.is_recorded = now, False
    state.noticed = [(*key, at) for key, at in findings.noticed.items()]
    for event, due in _due(state, over, now):
        for group in _grouped(event, due) if recipient.targets else ():
            _queue(state, event, group, recipient, now, findings.last_good_at)


def is_told_of(state: State, incident: Incident) -> bool:
    """Whether a message that it opened was delivered or is on its way."""
    about = (incident.kind, incident.subject, incident.opened_at)
    return incident.told_at is not None or any(m.event == OPENED and about in m.about for m in state.outbox)


def is_silent(incident: Incident, now: datetime) -> bool:
    """Whether another incident has its cause, or had until lately."""
    return incident.explained_at is not None and now - incident.explained_at < EXPLAINED_FOR


def is_untold(incident: Incident) -> bool:
    """Whether another one explained it and nobody was told: then the history has no row of it."""
    return incident.explained_at is not None and incident.told_at is None


def visible(state: State, now: datetime) -> list[Incident]:
    """The open incidents that are reported, oldest first."""
    return sorted((i for i in state.open_() if not is_silent(i, now)), key=lambda i: i.opened_at)


def deliverable(state: State, targets: Sequence[str], now: datetime, *, retries_early: bool) -> list[Message]:
    """Messages to send now, oldest first. Addresses that are no longer set and messages of last week are dropped.

    `retries_early`: a message that failed once or twice goes out before it is due. Not more often: a service that is too slow to
    answer in time may have taken it each time.
    """
    for message in state.outbox:
        message.pending = [target for target in message.pending if target in targets]
    state.outbox = [m for m in state.outbox if m.pending and now - m.made_at < KEEP_MESSAGES]
    return [
        m
        for m in state.outbox
        if m.retry_at is None or m.retry_at <= now or (retries_early and m.tries <= EARLY_RETRIES)
    ]


def take_delivery(
    state: State, message: Message, delivered: Iterable[str], now: datetime, *, was_tried: bool = True
) -> None:
    """Note which addresses have taken a message; the others are tried again later, or next time if none `was_tried`."""
    taken = set(delivered)
    if taken and message.event == OPENED:
        told = set(message.about)
        for incident in state.incidents:
            if incident.told_at is None and (incident.kind, incident.subject, incident.opened_at) in told:
                incident.told_at, incident.is_recorded = now, False
    message.pending = [target for target in message.pending if target not in taken]
    if not was_tried:
        return
    message.retry_at = now + min(RETRY_FIRST * 2**message.tries, RETRY_MOST)
    message.tries = min(message.tries + 1, 10)
    state.outbox = [each for each in state.outbox if each.pending]


def forget_old(state: State) -> None:
    """Drop incidents that are over and recorded (or not worth it), and have no message on its way."""
    underway = {about for message in state.outbox for about in message.about}
    state.incidents = [
        incident
        for incident in state.incidents
        if incident.closed_at is None
        or not (incident.is_recorded or is_untold(incident))
        or (incident.kind, incident.subject, incident.opened_at) in underway
    ]


def _take(state: State, incident: Incident | None, finding: Finding, now: datetime) -> None:
    if incident is None:
        incident = Incident(finding.kind, finding.subject, finding.what, now, finding.since, finding.argument)
        state.incidents.append(incident)
    elif incident.what != finding.what:
        incident.what, incident.is_recorded = finding.what, False
    incident.argument = finding.argument
    if finding.is_explained and not is_told_of(state, incident):
        incident.explained_at = now


def _due(state: State, over: Sequence[Incident], now: datetime) -> Iterator[tuple[Event, list[Incident]]]:
    opened = [i for i in state.open_() if not is_silent(i, now) and not is_told_of(state, i)]
    remind = [i for i in state.open_() if i.told_at and now - (i.reminded_at or i.told_at) >= REMIND_AFTER]
    yield OVER, [incident for incident in over if is_told_of(state, incident)]
    yield OPENED, opened
    yield REMINDER, remind


def _grouped(event: Event, due: Sequence[Incident]) -> Iterator[list[Incident]]:
    """One incident each; all of a kind together where there are many."""
    by_kind: Mapping[str, list[Incident]] = {
        kind: list(group)
        for kind, group in groupby(sorted(due, key=lambda i: (i.kind, i.subject)), key=lambda i: i.kind)
    }
    for kind in sorted(by_kind, key=lambda name: _ORDER.get(name, len(_ORDER))):
        group = by_kind[kind]
        if len(group) > MOST_SINGLE[event]:
            yield group
        else:
            yield from ([incident] for incident in group)


def _queue(
    state: State,
    event: Event,
    incidents: list[Incident],
    recipient: Recipient,
    now: datetime,
    last_good_at: datetime | None,
) -> None:
    if event == REMINDER:
        for incident in incidents:
            incident.reminded_at = now
    state.outbox.append(
        Message(
            event=event,
            about=[(incident.kind, incident.subject, incident.opened_at) for incident in incidents],
            title=title_of(event, incidents, recipient.environment),
            body=message_of(event, incidents, last_good_at, recipient.partner),
            made_at=now,
            pending=list(recipient.targets),
        )
    )
