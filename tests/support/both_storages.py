"""Settings of tests that run on files and in Postgres alike, for this process and those that it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from tests.support.postgres import Database

STORAGES = ("files", "postgres")


def settings_on(
    request: pytest.FixtureRequest, data_dir: Path, monkeypatch: pytest.MonkeyPatch, **more: str
) -> Settings:
    """Warehouse and Dagster's storage as files, or in Postgres, as the fixture's parameter says; set in the environment, too."""
    values = {"DEBITURA_DATA_DIR": str(data_dir), "DEBITURA_ENVIRONMENT": "sandbox", **more}
    if request.param == "postgres":
        database: Database = request.getfixturevalue("postgres")
        values |= {"DAGSTER_POSTGRES_URL": database.url, "DEBITURA_WAREHOUSE": database.url}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings(values)
