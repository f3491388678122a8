"""The partner report: report tables in, one self-contained HTML page out. The rest of the project calls `write_report`."""

from debitura_pipeline.report.write import ReportFacts, write_report

__all__ = ["ReportFacts", "write_report"]
