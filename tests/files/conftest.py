"""One published night with every type that marts and reports have, made by `publish` from a warehouse of a few rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.publish import publish

# A currency and its amounts; a name that a spreadsheet would take for a formula; a day and an instant; a count with a gap.
TABLES = """
    CREATE SCHEMA IF NOT EXISTS marts;
    CREATE SCHEMA IF NOT EXISTS reports;
    CREATE TABLE reports.revenue_by_month (
        month DATE, company_name VARCHAR, currency VARCHAR, fee DECIMAL(18, 4), fee_usd DECIMAL(28, 4),
        share DECIMAL(18, 8), transactions INTEGER, is_final BOOLEAN, paid_at TIMESTAMPTZ);
    INSERT INTO reports.revenue_by_month VALUES
        ('2026-01-01', '=HYPERLINK("http://x")', 'EUR', 10.1000, 12345678901234567890.1234, 0.5, 3, true,
            '2026-01-31 23:30:00.25+00'),
        ('2026-02-01', 'Größe, "Ltd"', 'DKK', -0.0001, 0.3000, 0.12345678, NULL, false, NULL),
        ('2026-03-01', NULL, 'EUR', 0.2000, 0.1000, NULL, 9, NULL, '2026-03-29 01:00:00+00');
    COMMENT ON TABLE reports.revenue_by_month IS 'One row per month and currency.';
    COMMENT ON COLUMN reports.revenue_by_month.fee IS 'Fee in the currency.';
    CREATE TABLE marts.fct_cases AS SELECT 'case-' || i AS case_id, (i * 1.5)::DECIMAL(18, 4) AS amount FROM range(3000) AS t(i);
"""
AS_OF = datetime(2026, 4, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a pipeline that published one night. Tests only read it."""
    settings = load_settings(
        {"DEBITURA_DATA_DIR": str(tmp_path_factory.mktemp("published") / "data"), "DEBITURA_PUBLISH_CSV": "yes"}
    )
    with open_warehouse(settings) as warehouse:
        for statement in TABLES.split(";"):
            if statement.strip():
                warehouse.execute(statement)
    publish(settings, now=lambda: AS_OF)
    return settings


@pytest.fixture(scope="session")
def folder(published: Settings) -> Path:
    return published.published_dir
