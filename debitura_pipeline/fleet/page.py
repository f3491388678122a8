"""The fleet page as plain values: who needs a look, what is to be done, and the money of each partner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

from debitura_pipeline.fleet.members import SANDBOX, FleetMember
from debitura_pipeline.fleet.money import Amounts, FleetMoney
from debitura_pipeline.fleet.problems import count_of_problems, problems_table
from debitura_pipeline.formats import format_month, title_case
from debitura_pipeline.plural import counted
from debitura_pipeline.report.model import (
    Answer,
    AnswerLine,
    Badge,
    Cell,
    Heading,
    Link,
    Masthead,
    ReportPage,
    ReportTable,
    Section,
    Tone,
)
from debitura_pipeline.report.read import REMOVED_CHARACTERS
from debitura_pipeline.status.times import format_duration

SHOWN = 4  # partners of an answer; all of them fit on a phone's first screen
PRODUCTION = "production"
FAILED = ("failed", "killed")
LETTERS = 48  # of a reason there
GLOSSARY = (
    ("Fresh", "The last good nightly run ended at most 26 hours ago."),
    ("Proven", "That run has proven that no client, case or transaction is missing."),
    ("Last month, this month so far", "Fees of payments that debtors made in it (UTC), estimates included, without "
                                      "disputed ones: basis collected of the partner's page."),
    ("Still to come", "Fees that are not paid out yet: ready to invoice, confirmed and estimated, without disputed ones."),
)  # fmt: skip
Row = tuple[Cell | Badge | Link, ...]


def compose_fleet(members: Sequence[FleetMember], money: FleetMoney, now: datetime, folder: Path) -> ReportPage:
    """The page, as of `now`. `folder`: where it will be, for the links to the partners' own pages."""
    ordered = sorted(members, key=lambda member: (severity(member, now), member.name))
    problems = problems_table(ordered)
    sections = [
        *_together(members, money),
        _partners(ordered, money, now, folder),
        _problems(problems, len({row[0] for row in problems.rows})),
        *_by_currency(money),
    ]
    simulated = [member for member in members if member.is_simulated]
    return ReportPage(
        masthead=Masthead(now, bool(members) and len(simulated) == len(members), (), title="All partners"),
        figures=(),
        sections=tuple(sections),
        written_at=now,
        answers=tuple(_answers(ordered, now, folder)),
        glossary=GLOSSARY,
    )


def severity(member: FleetMember, now: datetime) -> int:
    """What needs a look first has the lowest number."""
    one = member.standing
    checks = (one.last_good_at is None, not one.is_fresh(now), one.last_run in FAILED, one.is_proven is False,
              bool(one.incidents), bool(one.problems or member.fault))  # fmt: skip
    return next((place for place, is_so in enumerate(checks) if is_so), len(checks))


def _answers(members: Sequence[FleetMember], now: datetime, folder: Path) -> Iterable[Answer]:
    def age(member: FleetMember) -> str:
        good = member.standing.last_good_at
        if member.overview.fault:
            return "its settings are at fault"
        return "no good run yet" if good is None else f"{format_duration(now - good)} old"

    def answer(name: str, question: str, found: Sequence[FleetMember], words: Callable[[FleetMember], str]) -> Answer:
        if not found:
            none = Badge("Nobody", "good") if members else Badge("There is no partner", "unknown")
            return Answer(name, question, (AnswerLine("", badge=none),), "partners")
        tone: Tone = "warn" if name == "proven" else "bad"
        head = AnswerLine("", badge=Badge(f"{len(found)} of {counted(len(members), 'partner')}", tone))
        lines = [AnswerLine(one.name, words=words(one), href=one.link_from(folder)) for one in found[:SHOWN]]
        rest = len(found) - SHOWN
        more = [AnswerLine("", words=f"and {counted(rest, 'other')}")] if rest > 0 else []
        return Answer(name, question, (head, *lines, *more), "problems")

    late = [member for member in members if not member.standing.is_fresh(now)]
    doubted = [member for member in members if member.standing.is_proven is False]
    troubled = [member for member in members if member.standing.incidents]
    yield answer("fresh", "Who is not fresh?", late, age)
    yield answer("proven", "Who is not proven?", doubted, _doubt)
    yield answer("incidents", "Who has open incidents?", troubled, _incidents)


def _doubt(member: FleetMember) -> str:
    return _short(member.standing.doubt or "")


def _incidents(member: FleetMember) -> str:
    first, *others = member.standing.incidents
    return f"{first.title}{f' (and {len(others)} more)' if others else ''}"


def _short(text: str) -> str:
    text = text.translate(REMOVED_CHARACTERS)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1].rstrip()}…"


def _partners(members: Sequence[FleetMember], money: FleetMoney, now: datetime, folder: Path) -> Section:
    headings = (
        Heading("Partner"), Heading("Freshness"), Heading("Age, hours", "count"), Heading("Proof"), Heading("Problems", "count"),
        *(Heading(f"{words}, USD", "money") for words in _periods(money)),
    )  # fmt: skip
    rows = tuple(_row(member, money, now, folder) for member in members)
    caption = "A name leads to the partner's own page, which has the same figures; amounts are in USD, as Debitura converts them"
    table = ReportTable("partners", caption, headings, rows, is_sortable=True)
    elsewhen = counted(len(money.elsewhen), "partner")
    notes = (
        (f"The data of {elsewhen} is of another month, hence the dashes; see their own pages.",)
        if money.elsewhen
        else ()
    )
    lead = "Those that need a look come first. Search for a name, or for a word such as late, failed or test."
    return Section("partners", "Partners", lead, tables=(table,), notes=notes)


def _row(member: FleetMember, money: FleetMoney, now: datetime, folder: Path) -> Row:
    one, usd = member.standing, money.usd.get(member.name, Amounts())
    age = None if one.last_good_at is None else max(int((now - one.last_good_at).total_seconds() // 3600), 0)
    proof = None if one.is_proven is None else Badge("proven", "good") if one.is_proven else Badge("not proven", "warn")
    return (
        Link(member.name, member.link_from(folder), _aside(member)), freshness_badge(member, now), age, proof,
        count_of_problems(member), usd.last_month, usd.this_month, usd.to_come,
    )  # fmt: skip


def _aside(member: FleetMember) -> str:
    """What is not as with most partners."""
    environment = _environment(member).lower() if member.overview.environment not in (PRODUCTION, None) else ""
    unpublished = "" if member.night is not None or member.overview.fault else "nothing published"
    return ", ".join(filter(None, (environment, unpublished)))


def freshness_badge(member: FleetMember, now: datetime) -> Badge:
    """One or two words."""
    one = member.standing
    if member.overview.fault:
        return Badge("settings at fault", "bad")
    failed = one.last_run if one.last_run in FAILED else ""
    if one.last_good_at is None:
        return Badge(f"never, {failed}" if failed else "never", "bad")
    if not one.is_fresh(now):
        return Badge(f"late, {failed}" if failed else "late", "bad")
    return Badge(failed, "warn") if failed else Badge("fresh", "good")


def _problems(table: ReportTable, partners: int) -> Section:
    if not table.rows:
        return Section("problems", "Open problems", "There are none.")
    lead = f"{counted(len(table.rows), 'problem')} of {counted(partners, 'partner')}; incidents as of each one's last check."
    return Section("problems", "Open problems", lead, tables=(table,))


def _together(members: Sequence[FleetMember], money: FleetMoney) -> Iterable[Section]:
    totals = sorted(money.totals(members).items(), key=lambda one: (one[0][0] != PRODUCTION, *one[0]))
    if not totals:
        return
    is_mixed = len({environment for (environment, _), _ in totals}) > 1
    headings = (Heading("Currency"), *((Heading("Environment"),) if is_mixed else ()), Heading("Partners", "count"),
                *(Heading(words, "money") for words in _periods(money)))  # fmt: skip
    rows = tuple(
        (currency, *((_name(environment),) if is_mixed else ()), count, *_cells(amounts))
        for (environment, currency), (count, amounts) in totals
    )
    caption = "Fees in the currency that they are in; two currencies are never added, nor are two environments"
    yield Section("together", "Money of all partners", "", tables=(ReportTable("together", caption, headings, rows),))


def _by_currency(money: FleetMoney) -> Iterable[Section]:
    rows = tuple((partner, currency, *_cells(amounts)) for (partner, currency), amounts in money.by_currency.items())
    if not rows:
        return
    headings = Heading("Partner"), Heading("Currency"), *(Heading(words, "money") for words in _periods(money))
    caption = "Fees of each partner in the currency that they are in"
    table = ReportTable("partner_currencies", caption, headings, rows, is_sortable=True)
    yield Section("currencies", "Money by partner and currency", "", tables=(table,))


def _cells(amounts: Amounts) -> tuple[Cell, Cell, Cell]:
    return amounts.last_month, amounts.this_month, amounts.to_come


def _periods(money: FleetMoney) -> tuple[str, str, str]:
    """The headings of the three amounts."""
    if money.month is None or money.last_month is None:
        return "Last month", "This month so far", "Still to come"
    return _month(money.last_month), f"{_month(money.month)} so far", "Still to come"


def _month(month: date) -> str:
    return format_month(month)


def _environment(member: FleetMember) -> str:
    return _name(member.overview.environment or "")


def _name(environment: str) -> str:
    return "Simulated" if environment == SANDBOX else title_case(environment)
