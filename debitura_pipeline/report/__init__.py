"""The partner report: reads report tables, writes one self-contained HTML page."""

from debitura_pipeline.report.write import ReportFacts, write_report

__all__ = ["ReportFacts", "write_report"]
