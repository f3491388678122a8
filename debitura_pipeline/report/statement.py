"""One client's statement: rate, link, fees by stage, what is due when, cases, transactions, findings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.formats import format_amount, format_count, format_datetime, format_day, format_percent
from debitura_pipeline.report.answers import adding_up, how_much, if_read, when_due
from debitura_pipeline.report.masthead import read_masthead
from debitura_pipeline.report.model import Answer, AnswerLine, Badge, Masthead, ReportPage
from debitura_pipeline.report.page import client_name
from debitura_pipeline.report.read import ZERO, Reports, ReportSource
from debitura_pipeline.report.sections_clients import CLIENTS, FEE_COLUMN, link_in_words
from debitura_pipeline.report.sections_control import reconciliation_verdict
from debitura_pipeline.report.sections_revenue import client_months, stage_sums
from debitura_pipeline.report.sections_statement import (
    client_calendar,
    client_cases,
    client_dues,
    client_findings,
    client_gaps,
    client_transactions,
)
from debitura_pipeline.report.stages import GLOSSARY, STAGES, StageSum, headline, patterns_of, still_to_come

TITLE = "Client statement"
CLIENT_COLUMNS = (
    "creditor_id", "external_tenant_id", "company_name", "country", "client_record", "attribution", "onboarding_state", "linked_at",
    "rate_min_pct", "rate_weighted_pct", "rate_max_pct", "cases_total", "cases_open", "transactions_total", "first_fee_at",
    "last_fee_at", "fee_total_usd", "fee_disputed_usd", "fee_unclassified_usd", *FEE_COLUMN.values(),
)  # fmt: skip


def compose_statement(warehouse: ReportSource, client: str, *, is_simulated: bool, written_at: datetime) -> ReportPage:
    """The statement of the client with this tenant id or creditor id. Raises WarehouseError if there is no such client, or
    several have the tenant id."""
    reports = Reports(warehouse)
    found = _find(reports, client)
    head = read_masthead(reports, is_simulated=is_simulated, verdict=reconciliation_verdict(reports))
    makers = (client_calendar, client_months, client_cases, client_transactions, client_findings)
    sections = tuple(section for make in makers if (section := make(reports, found.creditor_id)) is not None)
    sums = _sums(found, stage_sums(reports, found.creditor_id))
    answers = (
        Answer("how-much", "How much?", if_read(reports, how_much(sums)), "figures"),
        Answer("when", "When?", when_of_client(reports, found.creditor_id, sums), "calendar"),
        Answer("missing", "Is anything missing?", client_gaps(reports, found.creditor_id), "findings"),
    )
    return ReportPage(
        masthead=Masthead(head.as_of, is_simulated, _facts(found), TITLE, client_name(found.company_name)),
        figures=headline(sums),
        sections=sections,
        written_at=written_at,
        answers=answers,
        glossary=GLOSSARY,
        lacking=tuple(name for name in reports.lacking if name.startswith(("reports.", "marts."))),
        patterns=patterns_of(sections),
    )


def when_of_client(reports: Reports, creditor_id: str, sums: Mapping[str, StageSum]) -> tuple[AnswerLine, ...]:
    """What comes when from this client's cases, in lines that add up to what is still to come."""
    lines = if_read(reports, when_due(client_dues(reports, creditor_id)))
    return adding_up(lines, still_to_come(sums))


def statement_name(client: str) -> str:
    """The statement's file name: the id; where that is not for file names, what is left of it and a part of its hash, so that no
    client's statement replaces another's."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", client.lower()).strip("-")[:80]
    if plain and plain == client:
        return f"statement-{plain}.html"
    return f"statement-{plain or 'client'}-{hashlib.sha256(client.encode()).hexdigest()[:8]}.html"


def _find(reports: Reports, client: str) -> Any:
    if not reports.has(CLIENTS):
        raise WarehouseError("There is no report of clients yet.", cure="Run `debitura nightly` first.")
    tail = "WHERE creditor_id = $1 OR external_tenant_id = $1 ORDER BY creditor_id"
    found = reports.records(CLIENTS, CLIENT_COLUMNS, tail, (client,))
    exact = [row for row in found if row.creditor_id == client] or found
    if not exact:
        raise WarehouseError(
            f"No client has the tenant id or creditor id {client!r}.",
            cure="`reports.attribution_by_client` has the ids of all clients.",
        )
    if len(exact) > 1:
        ids = ", ".join(row.creditor_id for row in exact)
        raise WarehouseError(
            f"{len(exact)} client records have the tenant id {client!r}: {ids}.", cure="Give one of these ids."
        )
    return exact[0]


def _sums(client: Any, by_stage: Mapping[str, StageSum]) -> dict[str, StageSum]:
    """Fees by stage as the report of clients has them; what may be clawed back of them, as the one by stage has it."""
    columns = {**FEE_COLUMN, "Disputed": "fee_disputed_usd", "Unclassified": "fee_unclassified_usd"}
    fees = {stage.key: getattr(client, columns[stage.key]) or ZERO for stage in STAGES}
    return {
        key: StageSum(
            client.transactions_total if key == "Paid" else int(bool(usd)),
            usd,
            by_stage[key].risk_usd if key in by_stage else ZERO,
        )
        for key, usd in fees.items()
    }


def _facts(client: Any) -> tuple[tuple[str, str | Badge], ...]:
    is_gone = client.client_record == "archived"
    linked = f", {'linked on' if is_gone else 'since'} {format_day(client.linked_at)}" if client.linked_at else ""
    no_rate = (
        "no revenue yet" if not client.transactions_total else "not known: no fee that counts has an amount in USD"
    )
    rates = format_percent(client.rate_weighted_pct)
    if client.rate_min_pct != client.rate_max_pct:
        rates += f" on average, from {format_percent(client.rate_min_pct)} to {format_percent(client.rate_max_pct)}"
    return (
        ("Link", f"{link_in_words(client.client_record, client.attribution)}{linked}"),
        ("Your share of Debitura's revenue", rates if client.rate_weighted_pct is not None else no_rate),
        ("Cases", f"{format_count(client.cases_total)}, {format_count(client.cases_open)} of them open"),
        ("Fees in all", f"{format_amount(client.fee_total_usd)} USD, without disputed ones"),
        ("First and last fee", f"{format_datetime(client.first_fee_at)} to {format_datetime(client.last_fee_at)}"
         if client.first_fee_at else "none yet"),
        ("Tenant id", client.external_tenant_id or "none"),
        ("Creditor id", client.creditor_id),
        ("Country", client.country or "not stated"),
    )  # fmt: skip
