"""Sections on movement: what the last run changed, and how the money moved through the stages month by month."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_amount, format_change, format_count, in_cents, title_case
from debitura_pipeline.plural import counted
from debitura_pipeline.report.model import Badge, Heading, ReportTable, Section
from debitura_pipeline.report.page import client_name
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.stages import BY_KEY

CHANGED = "reports.what_changed"
TRANSACTIONS, AS_OF = "marts.fct_transactions", "marts.transactions_as_of"
ROWS_SHOWN = 20
SUBJECTS = {"transaction": "Transactions", "case": "Cases", "client": "Clients"}
CHANGES = {"new": "new", "moved": "moved to another stage", "edited": "edited", "gone": "gone", "returned": "came back",
           "reopened": "reopened", "restated": "restated by the partner mode"}  # fmt: skip
IS_ESTIMATE = {"true": "An estimate", "false": "Final"}
NOTHING = Badge("Nothing changed", "good")
FIRST_NIGHT = Badge("First reading: nothing to compare with yet", "unknown")


def readings(reports: Reports) -> list[Any]:
    """`at`, by the API's clock, and `published_at` of each whole reading of the transactions, the oldest first. Readings of one
    clock are one."""
    if not reports.has("ops.syncs"):
        return []
    published = "max(published_at)" if reports.has_column("ops.syncs", "published_at") else "NULL"
    tail = (
        "WHERE resource = 'transactions' AND status = 'done' AND coalesce(mode, '') <> 'client' GROUP BY 1 ORDER BY 1"
    )
    return reports.records("ops.syncs", ("coalesce(as_of, started_at) AS at", f"{published} AS published_at"), tail)


def compared_with(reports: Reports) -> datetime:
    """When the reading began that `what_changed` compares with: the last published one before the newest, else the one before."""
    *earlier, _ = readings(reports)
    seen = [one for one in earlier if one.published_at is not None]
    before: datetime = (seen or earlier)[-1].at
    return before


def moved_with_rates(reports: Reports, changes: Decimal) -> Decimal | None:
    """What exchange rates alone made of estimates since the reading that is compared with, USD: the change of all expected and
    earned income, less that of the changes. None where it is no cent, or the warehouse cannot say what it was."""
    income = reports.once(_income_since)
    if income is None:
        return None
    moved = income - changes
    return moved if in_cents(moved) else None


def _income_since(reports: Reports) -> Decimal | None:
    """By how much all expected and earned income changed since the reading that is compared with, USD."""
    if not reports.has(TRANSACTIONS) or not reports.has_function(*AS_OF.split(".")):
        return None
    columns, where = ("sum(referral_fee_usd) AS usd",), "WHERE revenue_stage NOT IN ('Disputed', 'Unclassified')"
    (now,) = reports.records(TRANSACTIONS, columns, where)
    (then,) = reports.records(f"{AS_OF}('{compared_with(reports).isoformat()}')", columns, where)
    return total([now.usd]) - total([then.usd])


def is_first_night(reports: Reports) -> bool:
    """Whether the transactions were read at most once, so that there is no earlier state."""
    return len(readings(reports)) <= 1


def night_changes(reports: Reports) -> list[Any]:
    """`subject`, `change`, `n`, `usd` (of expected and earned income) of the last run. Empty without the table."""
    if not reports.has(CHANGED):
        return []
    columns = ("subject", "change", "count(*) AS n", "sum(delta_expected_usd) AS usd")
    return reports.records(CHANGED, columns, "GROUP BY subject, change ORDER BY subject DESC, change")


def what_changed(reports: Reports) -> Section | None:
    """Changes of the last run: counts with USD, moves, edits, what is gone or came back, reopened cases."""
    if not reports.has(CHANGED):
        return None
    found, is_first = night_changes(reports), is_first_night(reports)
    title = "Changes since the last reading"
    usd = total(row.usd for row in found if row.subject == "transaction")
    rates = None if is_first else moved_with_rates(reports, usd)
    if is_first or not (found or rates):
        lead = "After the next reading, this section names each move, edit, deletion and reopened case."
        return Section("changes", title, lead, verdict=FIRST_NIGHT if is_first else NOTHING)
    lead = (
        f"{counted(sum(row.n for row in found), 'change')} found by the last run; "
        f"they changed expected and paid fees by {format_change(usd)} USD."
    )
    if rates:
        lead += (
            f" Exchange rates moved estimates by {format_change(rates)} USD: {format_change(usd + rates)} USD in all."
        )
    tables = (_kinds(found), _moves(reports), _edits(reports), _gone(reports), _cases(reports))
    return Section("changes", title, lead, tables=tuple(table for table in tables if table.rows))


def _kinds(found: list[Any]) -> ReportTable:
    rows = tuple((_named(row), row.n, row.usd if row.subject == "transaction" else None) for row in found)
    headings = (Heading("What"), Heading("Count", "count"), Heading("Change, USD", "change"))
    return ReportTable("what_changed", "All changes by kind", headings, rows)


def _named(row: Any) -> str:
    return f"{SUBJECTS.get(row.subject, row.subject)} {CHANGES.get(row.change, title_case(row.change).lower())}"


def _moves(reports: Reports) -> ReportTable:
    columns = ("from_value AS before", "to_value AS after", "count(*) AS n", "sum(delta_expected_usd) AS usd")
    tail = (
        "WHERE subject = 'transaction' AND change = 'moved' GROUP BY from_value, to_value "
        f"ORDER BY count(*) DESC, from_value, to_value LIMIT {ROWS_SHOWN}"
    )
    found = reports.records(CHANGED, columns, tail)
    headings = (Heading("From"), Heading("To"), Heading("Transactions", "count"), Heading("Change, USD", "change"))
    rows = tuple((_stage(row.before), _stage(row.after), row.n, row.usd) for row in found)
    return ReportTable("moves", "Moves between stages", headings, rows)


def _edits(reports: Reports) -> ReportTable:
    return _list(
        reports,
        "edits",
        "Edited: amounts (a dash: the currency changed), and what is an estimate",
        "change IN ('edited', 'restated')",
    )


def _gone(reports: Reports) -> ReportTable:
    return _list(reports, "gone", "Transactions that are gone, or came back", "change IN ('gone', 'returned')")


def _list(reports: Reports, name: str, caption: str, which: str) -> ReportTable:
    """The transactions of these changes with the highest difference."""
    where = f"WHERE subject = 'transaction' AND {which}"
    columns = ("company_name AS client", "change", "from_value AS before", "to_value AS after",
               "CASE WHEN field = 'referral_fee_usd' THEN 'USD' ELSE currency END AS currency",
               "CASE WHEN field = 'referral_fee_usd' THEN delta_usd ELSE delta_amount END AS delta_amount",
               "delta_usd", "not_after")  # fmt: skip
    (count,) = reports.records(CHANGED, ("count(*) AS n",), where)
    found = reports.records(
        CHANGED, columns, f"{where} ORDER BY abs(delta_usd) DESC NULLS LAST, subject_id LIMIT {ROWS_SHOWN}"
    )
    headings = (Heading("Client"), Heading("Change, USD", "change"), Heading("What"), Heading("From"), Heading("To"),
                Heading("In its currency", "change"), Heading("Currency"), Heading("Seen", "instant"))  # fmt: skip
    rows = tuple(
        (client_name(row.client), row.delta_usd, title_case(CHANGES.get(row.change, row.change)), _stage(row.before),
         _stage(row.after), row.delta_amount, row.currency, row.not_after)
        for row in found
    )  # fmt: skip
    more = f", the {len(rows)} largest of {format_count(count.n)}" if count.n > len(rows) else ""
    return ReportTable(name, caption + more, headings, rows)


def _cases(reports: Reports) -> ReportTable:
    """Cases reopened or gone: both can take a fee with them."""
    where = "WHERE subject = 'case' AND change IN ('reopened', 'gone', 'returned')"
    columns = (
        "company_name AS client",
        "change",
        "from_value AS before",
        "to_value AS after",
        "not_after",
    )
    (count,) = reports.records(CHANGED, ("count(*) AS n",), where)
    found = reports.records(
        CHANGED, columns, f"{where} ORDER BY change DESC, not_after DESC, subject_id LIMIT {ROWS_SHOWN}"
    )
    headings = (Heading("Client"), Heading("What"), Heading("From"), Heading("To"), Heading("Seen", "instant"))
    rows = tuple(
        (client_name(row.client), title_case(CHANGES[row.change]), row.before, row.after, row.not_after)
        for row in found
    )
    more = f", {len(rows)} of {format_count(count.n)}" if count.n > len(rows) else ""
    return ReportTable("changed_cases", f"Cases reopened, gone or back{more}", headings, rows)


def _stage(value: str | None) -> str | None:
    """A stage by its name on the page, an amount to cents, whether it is an estimate in words, any other value as it is."""
    if value is None or value in BY_KEY:
        return BY_KEY[value].label if value else None
    if value.lower() in IS_ESTIMATE:
        return IS_ESTIMATE[value.lower()]
    try:
        return format_amount(Decimal(value))
    except ArithmeticError:
        return value
