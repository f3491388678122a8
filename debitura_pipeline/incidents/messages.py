"""The words of a message: what happened, since when, what it means for the figures, what to run next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from debitura_pipeline.incidents.findings import instant
from debitura_pipeline.incidents.kinds import KINDS, OLD, IncidentKind
from debitura_pipeline.incidents.state import OPENED, OVER, REMINDER, Event, Incident
from debitura_pipeline.typed_commands import for_partner

MAX_LINE = 700
MAX_LISTED = 20  # subjects of a message about many
_PREFIX = {OPENED: "", REMINDER: "still open: ", OVER: "over: "}


def kind_of_incident(incident: Incident) -> IncidentKind:
    """Its kind; a plain one for an incident of another version of the project."""
    return KINDS.get(incident.kind) or IncidentKind(
        incident.kind, incident.kind.replace("_", " "), "", "debitura status"
    )


def next_command(incident: Incident, partner: str | None) -> str:
    """The command to run next, quoted for a shell. `partner`: None without a partners file."""
    command = kind_of_incident(incident).command.format(shown=shlex.quote(incident.argument or incident.subject))
    return for_partner(command, partner)


def title_of(event: Event, incidents: Sequence[Incident], environment: str) -> str:
    """One line. `environment`: named unless it is production; with the partner's name where there are several."""
    where = "" if environment == "production" else f" [{environment}]"
    many = f" ({len(incidents)} times)" if len(incidents) > 1 else ""
    return f"Debitura{where}: {_PREFIX[event]}{kind_of_incident(incidents[0]).title}{many}"


def message_of(
    event: Event, incidents: Sequence[Incident], last_good_at: datetime | None, partner: str | None = None
) -> str:
    """A few lines of plain text about incidents of one kind."""
    first, kind = incidents[0], kind_of_incident(incidents[0])
    what = for_partner(_line(first.what), partner)
    lines = [f"What: {what}" if len(incidents) == 1 else f"What: {_listed(incidents)}"]
    since = min(incident.since or incident.opened_at for incident in incidents)
    if event == OVER:
        until = max(incident.closed_at or incident.opened_at for incident in incidents)
        return "\n".join([*lines, f"Over: from {instant(since)} to {instant(until)}. No action is needed."])
    of_many = for_partner(kind.command.partition(" --")[0].partition(" {")[0], partner)
    command = next_command(first, partner) if len(incidents) == 1 else of_many
    lines += [f"Since: {instant(since)}", f"Figures: {_figures(kind, last_good_at)}", f"Next: {command}"]
    return "\n".join([*lines, *([for_partner(kind.note, partner)] if kind.note else [])])


def _figures(kind: IncidentKind, last_good_at: datetime | None) -> str:
    if kind.figures != OLD:
        return kind.figures
    if last_good_at is None:
        return "There has been no good nightly run yet, so nothing is published."
    return f"{OLD} It ended on {instant(last_good_at)}."


def recorded_text(incident: Incident, partner: str | None) -> str:
    """What happened, what it means and what to run next, in one line for `ops.incidents`."""
    what = for_partner(_line(incident.what), partner)
    return f"{what} {kind_of_incident(incident).figures} Next: {next_command(incident, partner)}"


def _listed(incidents: Sequence[Incident]) -> str:
    names = ", ".join(_line(incident.subject) for incident in incidents[:MAX_LISTED])
    more = f" and {len(incidents) - MAX_LISTED} more" if len(incidents) > MAX_LISTED else ""
    return f"{len(incidents)} times, for {names}{more}."


def _line(text: str) -> str:
    """Printable, in one line."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(plain.split())[:MAX_LINE]
