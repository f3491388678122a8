"""Write the partner report: order of the sections, and the file.

The warehouse is opened read-only. A missing report table leaves its section out; an empty warehouse still gives a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.report.masthead import read_masthead
from debitura_pipeline.report.model import ReportPage, Section
from debitura_pipeline.report.page import plain_number, render
from debitura_pipeline.report.read import Reports, ReportSource
from debitura_pipeline.report.sections_control import data_quality, reconciliation, reconciliation_verdict
from debitura_pipeline.report.sections_findings import findings
from debitura_pipeline.report.sections_pipeline import case_outcomes, pipeline
from debitura_pipeline.report.sections_revenue import revenue_by_month, stage_sums, top_clients
from debitura_pipeline.report.stages import STAGES, headline
from debitura_pipeline.settings import Settings
from debitura_pipeline.sharing import share
from debitura_pipeline.warehouse.opening import open_warehouse

FILE_NAME = "partner-report.html"
CHAPTERS: tuple[Callable[[Reports], Section | None], ...] = (
    revenue_by_month, top_clients, pipeline, findings, case_outcomes, reconciliation, data_quality,
)  # fmt: skip


@dataclass(frozen=True)
class ReportFacts:
    """The page's path and its headline figures: exact USD by figure key."""

    path: Path
    figures: dict[str, str]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def write_report(settings: Settings, *, now: Callable[[], datetime] = _utc_now) -> ReportFacts:
    """Write `<data dir>/reports/partner-report.html`, atomically, with the folder's read permissions.

    Raises WarehouseError if the warehouse cannot be opened or a report lacks a column of its contract.
    """
    with open_warehouse(settings, read_only=True) as warehouse:
        page = compose(warehouse, is_simulated=settings.uses_embedded_sandbox, written_at=now())
    path = settings.reports_dir / FILE_NAME
    _replace(path, render(page))
    return ReportFacts(path, {figure.key: plain_number(figure.value) for figure in page.figures})


def compose(warehouse: ReportSource, *, is_simulated: bool, written_at: datetime) -> ReportPage:
    """The page as plain values; `render(page)` gives its HTML."""
    reports = Reports(warehouse)
    chapters = (chapter(reports) for chapter in CHAPTERS)
    return ReportPage(
        masthead=read_masthead(reports, is_simulated=is_simulated, verdict=reconciliation_verdict(reports)),
        figures=headline(stage_sums(reports)),
        sections=tuple(chapter for chapter in chapters if chapter is not None),
        written_at=written_at,
        glossary=tuple((stage.label, stage.meaning) for stage in STAGES),
    )


def _replace(path: Path, text: str) -> None:
    """A reader finds the old page or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private_atomically(path, text.encode(), fsync=True, finish=lambda draft: share(draft, path.parent))
