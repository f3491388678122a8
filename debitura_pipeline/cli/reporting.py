"""What `debitura report` prints."""

from __future__ import annotations

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.report import make_report, print_pdf
from debitura_pipeline.settings import Settings


def write_page(settings: Settings, client: str | None, *, as_pdf: bool) -> None:
    """Write the page, then the PDF. Raises WarehouseError, PdfError (the page is written by then)."""
    facts = make_report(settings, client)
    as_of = f"{facts.as_of:%Y-%m-%d %H:%M} UTC" if facts.as_of else "no complete reading yet"
    json_document.give(report=facts.path, as_of=facts.as_of, figures=facts.figures)
    console.conclude(f"Written: {facts.path} (as of {as_of})")
    if as_pdf:
        printed = print_pdf(facts.path)
        json_document.give(pdf=printed)
        console.conclude(f"Printed: {printed}")
