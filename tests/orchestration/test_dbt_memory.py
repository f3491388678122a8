"""What DuckDB may hold while dbt builds is a setting like any other, from `.env` too."""

from __future__ import annotations

from pathlib import Path

import pytest

from debitura_pipeline import memory
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.manifest import dbt_environment, parse_environment
from debitura_pipeline.settings import load_settings


def test_the_memory_that_the_settings_name_reaches_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEBITURA_DUCKDB_MEMORY", raising=False)
    (tmp_path / ".env").write_text("DEBITURA_DUCKDB_MEMORY=1.5 GB\n")
    assert dbt_environment(load_settings(root=tmp_path))["DEBITURA_DUCKDB_MEMORY"] == "1.5 GB"
    by_itself = dbt_environment(load_settings({}, tmp_path))["DEBITURA_DUCKDB_MEMORY"]
    assert by_itself == parse_environment(tmp_path)["DEBITURA_DUCKDB_MEMORY"], "else dbt would parse its project again"


@pytest.mark.parametrize(
    ("total_gib", "chosen"), [(1, "400MiB"), (4, "512MiB"), (8, "1024MiB"), (16, "2048MiB"), (256, "2048MiB")]
)
def test_dbt_may_use_an_eighth_of_the_memory(total_gib: int, chosen: str, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {total_gib * 1024**2} kB\nMemAvailable: 1024 kB\n")
    assert memory.for_duckdb(tmp_path) == chosen


def test_a_container_without_much_memory_gets_little(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 67108864 kB\n",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{6 * 1024**3}\n",
        "sys/fs/cgroup/memory.current": "0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.for_duckdb(tmp_path) == "768MiB"


@pytest.mark.parametrize("wrong", ["lots", "400", "0MB", "-1GB", "400 MiB;", "1e3MB"])
def test_what_is_no_amount_of_memory_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="DEBITURA_DUCKDB_MEMORY"):
        load_settings({"DEBITURA_DUCKDB_MEMORY": wrong})
