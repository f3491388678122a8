"""What DuckDB may hold while dbt builds is a setting like any other, from `.env` too."""

from __future__ import annotations

from pathlib import Path

import pytest

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.manifest import dbt_environment
from debitura_pipeline.settings import load_settings


def test_the_memory_that_the_settings_name_reaches_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEBITURA_DUCKDB_MEMORY", raising=False)
    (tmp_path / ".env").write_text("DEBITURA_DUCKDB_MEMORY=1.5 GB\n")
    assert dbt_environment(load_settings(root=tmp_path))["DEBITURA_DUCKDB_MEMORY"] == "1.5 GB"
    assert dbt_environment(load_settings({}, tmp_path))["DEBITURA_DUCKDB_MEMORY"] == "400MiB"


@pytest.mark.parametrize("wrong", ["lots", "400", "0MB", "-1GB", "400 MiB;", "1e3MB"])
def test_what_is_no_amount_of_memory_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="DEBITURA_DUCKDB_MEMORY"):
        load_settings({"DEBITURA_DUCKDB_MEMORY": wrong})
