"""The open problems of all partners as one list of work: whose, what, since when, and the command to run next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from debitura_pipeline.fleet.members import FleetMember
from debitura_pipeline.partners.standing import DOUBTED
from debitura_pipeline.report.model import Cell, Heading, ReportTable
from debitura_pipeline.report.read import REMOVED_CHARACTERS

INCIDENT = "incident: "  # how `partners status` begins one
SHOWN_AT_ONCE = 100
_HEADINGS = (Heading("Partner"), Heading("Problem", "prose"), Heading("Since", "instant"), Heading("Next", "prose"))


def problems_table(members: Iterable[FleetMember]) -> ReportTable:
    """A row per problem, in the order of `members`; collapsed at first where there are many."""
    rows = tuple(row for member in members for row in _rows(member))
    folded = f"All {len(rows)} problems" if len(rows) > SHOWN_AT_ONCE else None
    return ReportTable(
        "problems", "What is wrong, and what to run next", _HEADINGS, rows, folded=folded, is_sortable=bool(rows)
    )


def count_of_problems(member: FleetMember) -> int:
    """How many rows the partner has there."""
    return sum(1 for _ in _rows(member))


def _rows(member: FleetMember) -> Iterator[tuple[Cell, ...]]:
    one, command = member.standing, f"debitura --partner {member.name}"
    for problem in one.problems:
        if not problem.startswith(INCIDENT):
            what = "reconcile" if problem.startswith(DOUBTED) else "doctor"
            next_ = f"{command} {what}" if member.overview.data_dir else ""
            yield member.name, _sentence(problem), one.last_good_at, next_
    if member.fault:
        yield member.name, _sentence(member.fault), None, f"{command} nightly"
    for each in one.incidents:
        subject = f" ({each.subject})" if each.subject not in each.what else ""
        yield (
            member.name,
            _sentence(f"{each.title[:1].upper()}{each.title[1:]}{subject}: {each.what}"),
            each.since,
            each.next_command,
        )


def _sentence(text: str) -> str:
    text = " ".join(text.translate(REMOVED_CHARACTERS).split())
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
