"""The partner report and clients' statements: reads report tables, writes self-contained HTML pages, and prints them to PDF."""

from debitura_pipeline.report.pdf import print_pdf
from debitura_pipeline.report.write import ReportFacts, make_report, write_report

__all__ = ["ReportFacts", "make_report", "print_pdf", "write_report"]
