"""Output of `debitura partners …`. The facts come from `partners/`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.tables import FittedTable
from debitura_pipeline.partners import Overview, Standing, read_overviews, read_standing
from debitura_pipeline.plural import counted
from debitura_pipeline.settings import open_partners
from debitura_pipeline.status.times import format_ago

PROOF = {None: "", True: "proven", False: "not proven"}


def show_partners() -> None:
    """Print the partners. Raises SettingsError."""
    partners, given = open_partners()
    found = list(read_overviews(partners, given))
    head = ("partner", "environment", "warehouse", "data directory", "schedule")
    rows = [
        (each.name, each.environment or "", each.warehouse or "", str(each.data_dir or ""), each.schedule or "")
        for each in found
    ]
    console.show(FittedTable(head, rows))
    for each in found:
        if each.fault:
            console.warn(f"FAIL {each.name}: {each.fault}")
    console.conclude(f"{counted(len(found), 'partner')} in {partners.path}.")
    json_document.give(file=partners.path, partners=[_facts(each) for each in found])


def show_partner_checks(*, with_api: bool) -> bool:
    """Print a line per partner as soon as it is checked; whether all are fine. Raises SettingsError."""
    from debitura_pipeline.partners.check import Checker  # noqa: PLC0415 - takes a while to load

    partners, given = open_partners()
    checker, found = Checker(partners, given, with_api=with_api), []
    for overview in read_overviews(partners, given):
        found.append(checked := checker.check(overview))
        if checked.faults:
            console.warn(f"FAIL {checked.partner}: {checked.seen}")
            json_document.fail(f"{checked.partner}: {checked.seen}")
        else:
            console.say(f"ok   {checked.partner}: {checked.seen}")
    wrong = sum(1 for each in found if each.faults)
    console.conclude(f"{counted(len(found), 'partner')} checked, {wrong or 'none'} with a fault.")
    json_document.give(partners=[each.facts() for each in found])
    return not wrong


def show_standings() -> bool:
    """Print a line per partner, then the open problems, one a line; whether there are none. Raises SettingsError."""
    now = datetime.now(UTC)
    partners, given = open_partners()
    found = [read_standing(overview, now) for overview in read_overviews(partners, given)]
    head = ("partner", "last good run", "proof", "last run", "next run", "problems")
    console.show(FittedTable(head, [_row(each, now) for each in found], right=frozenset({"problems"})))
    for each in found:
        for problem in each.problems:
            console.warn(f"{each.partner}: {problem}")
    console.conclude(summary(found, now))
    json_document.give(asked_at=now, partners=[each.facts(now) for each in found])
    return not any(each.problems for each in found)


def summary(found: Sequence[Standing], now: datetime) -> str:
    """`200 partners, 7 with open problems: 3 not fresh, 2 not proven, 4 with open incidents.`"""
    wrong = sum(1 for each in found if each.problems)
    sums = {
        "not fresh": sum(1 for each in found if not each.is_fresh(now)),
        "not proven": sum(1 for each in found if each.is_proven is False),
        "with open incidents": sum(1 for each in found if each.incidents),
    }
    parts = ", ".join(f"{count} {words}" for words, count in sums.items() if count)
    return f"{counted(len(found), 'partner')}, {wrong or 'none'} with open problems{f': {parts}' if parts else ''}."


def _row(each: Standing, now: datetime) -> tuple[str, ...]:
    good, due = each.last_good_at, each.next_due_at
    return (
        each.partner,
        format_ago(good, now) if good else "never",
        PROOF[each.is_proven],
        each.last_run or "",
        format_ago(due, now) if due else "",
        str(len(each.problems) or "none"),
    )


def _facts(each: Overview) -> dict[str, object]:
    return {
        "partner": each.name,
        "environment": each.environment,
        "warehouse": each.warehouse,
        "data_dir": each.data_dir,
        "schedule": each.schedule,
        "fault": each.fault,
    }
