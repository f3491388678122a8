"""Write the partner report: order of the sections, and the file.

The warehouse is opened read-only. A missing report table leaves its section out; an empty warehouse still gives a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.report.answers import first_screen
from debitura_pipeline.report.masthead import read_masthead, read_proof
from debitura_pipeline.report.model import ReportPage, Section
from debitura_pipeline.report.page import plain_number, render
from debitura_pipeline.report.read import Reports, ReportSource
from debitura_pipeline.report.sections_calendar import payment_calendar
from debitura_pipeline.report.sections_cases import case_outcomes
from debitura_pipeline.report.sections_changes import what_changed
from debitura_pipeline.report.sections_clients import clients
from debitura_pipeline.report.sections_control import data_quality, reconciliation, reconciliation_verdict
from debitura_pipeline.report.sections_findings import findings
from debitura_pipeline.report.sections_forecast import forecast
from debitura_pipeline.report.sections_onboarding import onboarding_funnel
from debitura_pipeline.report.sections_partners import collection_partners, invoice_draft
from debitura_pipeline.report.sections_pipeline import pipeline
from debitura_pipeline.report.sections_revenue import revenue_by_month, stage_sums
from debitura_pipeline.report.sections_vintage import vintages
from debitura_pipeline.report.sections_waterfall import stage_waterfall
from debitura_pipeline.report.source import open_source
from debitura_pipeline.report.stages import GLOSSARY, headline, patterns_of
from debitura_pipeline.report.statement import compose_statement, statement_name
from debitura_pipeline.settings import Settings
from debitura_pipeline.sharing import share
from debitura_pipeline.warehouse.opening import open_warehouse

FILE_NAME = "partner-report.html"
Chapter = Callable[[Reports], Section | None]
CHAPTERS: tuple[Chapter, ...] = (
    payment_calendar, what_changed, stage_waterfall, invoice_draft, collection_partners, pipeline, forecast, revenue_by_month,
    vintages, case_outcomes, onboarding_funnel, clients, findings, reconciliation, data_quality,
)  # fmt: skip


@dataclass(frozen=True)
class ReportFacts:
    """The page's path, its headline figures (exact USD by figure key), and the instant of the data (None: never read)."""

    path: Path
    figures: dict[str, str]
    as_of: datetime | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


def write_report(settings: Settings, *, now: Callable[[], datetime] = _utc_now) -> ReportFacts:
    """Write `<data dir>/reports/partner-report.html`, atomically, with the folder's read permissions.

    Raises WarehouseError if the warehouse cannot be opened or a report lacks a column of its contract.
    """
    with open_warehouse(settings, read_only=True) as warehouse:
        page = compose(warehouse, is_simulated=settings.uses_embedded_sandbox, written_at=now())
    return put(page, settings.reports_dir / FILE_NAME)


def make_report(
    settings: Settings, client: str | None = None, *, now: Callable[[], datetime] = _utc_now
) -> ReportFacts:
    """Write the page again, or one client's statement, from the published night (before the first one: the warehouse).

    `client`: tenant id or creditor id. Raises WarehouseError if there is nothing to read, or no such client.
    """
    with open_source(settings) as source:
        if client is None:
            page = compose(source, is_simulated=settings.uses_embedded_sandbox, written_at=now(), is_lenient=True)
            return put(page, settings.reports_dir / FILE_NAME)
        page = compose_statement(source, client, is_simulated=settings.uses_embedded_sandbox, written_at=now())
    return put(page, settings.reports_dir / statement_name(client))


def put(page: ReportPage, path: Path) -> ReportFacts:
    """Write a page: a reader finds the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private_atomically(path, render(page).encode(), fsync=True, finish=lambda draft: share(draft, path.parent))
    return ReportFacts(path, {figure.key: plain_number(figure.value) for figure in page.figures}, page.masthead.as_of)


def compose(
    warehouse: ReportSource, *, is_simulated: bool, written_at: datetime, is_lenient: bool = False
) -> ReportPage:
    """The page as plain values; `render(page)` gives its HTML. `is_lenient`: a section whose table lacks a column, as in a
    file of an older version, is left out. Raises WarehouseError."""
    reports = Reports(warehouse)
    verdict, sums = reconciliation_verdict(reports), stage_sums(reports)
    chapters, failed = _read(reports, CHAPTERS, is_lenient=is_lenient)
    answers = first_screen(
        reports, sums, reconciliation_verdict(reports, with_time=False), read_proof(reports, verdict)
    )
    return ReportPage(
        masthead=read_masthead(reports, is_simulated=is_simulated, verdict=verdict),
        figures=headline(sums),
        sections=chapters,
        written_at=written_at,
        answers=answers,
        glossary=GLOSSARY,
        lacking=tuple(name for name in (*reports.lacking, *failed) if name.startswith("reports.")),
        patterns=patterns_of(chapters),
    )


def _read(reports: Reports, chapters: Iterable[Chapter], *, is_lenient: bool) -> tuple[tuple[Section, ...], list[str]]:
    """The sections with rows, and the names of those that an older file cannot give."""
    found, failed = [], []
    for chapter in chapters:
        try:
            section = chapter(reports)
        except WarehouseError:
            if not is_lenient:
                raise
            failed.append(f"reports.{chapter.__name__}")
            continue
        if section is not None:
            found.append(section)
    return tuple(found), failed
