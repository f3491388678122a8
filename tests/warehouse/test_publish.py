"""The published copy: whole, never locked, replaced in one step; Parquet beside it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse import publish as publishing
from debitura_pipeline.warehouse.open import open_warehouse
from debitura_pipeline.warehouse.publish import publish
from tests.warehouse.landings import Landings, case, night

READER = """
    import sys, duckdb
    opened = seen = 0
    stop = sys.argv[2]
    import os
    print("ready", flush=True)
    while not os.path.exists(stop):
        with duckdb.connect(sys.argv[1] + "/warehouse.duckdb", read_only=True) as connection:
            marks = connection.execute("SELECT (SELECT min(mark) FROM reports.a), (SELECT max(mark) FROM marts.b), "
                "(SELECT count(*) FROM reports.a)").fetchone()
        assert marks[0] == marks[1] and marks[2] == 20000, marks
        rows = duckdb.execute("SELECT count(*), count(DISTINCT mark) FROM read_parquet($1)",
            [sys.argv[1] + "/a.parquet"]).fetchone()
        assert rows == (20000, 1), rows
        assert marks[0] >= seen, (marks, seen)
        opened, seen = opened + 1, marks[0]
    print(opened, seen, flush=True)
"""


@pytest.fixture
def engine() -> str:
    """What is told here is DuckDB's file alone."""
    return "duckdb"


def fill(settings: Settings, mark: int) -> None:
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        for schema, name in (("reports", "a"), ("marts", "b")):
            warehouse.run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            warehouse.run(f"CREATE OR REPLACE TABLE {schema}.{name} AS SELECT i, {mark} AS mark FROM range(20000) t(i)")


def test_copy_holds_what_the_warehouse_holds(settings: Settings, landings: Landings) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.merge(landings.land("cases", [case("a"), case("b")]))
    published = publish(settings)
    assert published.path == settings.published_dir / "warehouse.duckdb"
    assert published.bytes == published.path.stat().st_size
    assert published.parquet == []
    with duckdb.connect(published.path, read_only=True) as reader:
        assert reader.execute("SELECT case_id FROM raw.cases ORDER BY 1").fetchall() == [("a",), ("b",)]


def test_tables_and_views_are_exported_and_stale_files_go(settings: Settings) -> None:
    fill(settings, 1)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("CREATE VIEW reports.v AS SELECT * FROM marts.b WHERE i < 10")
    published = publish(settings)
    assert [path.name for path in published.parquet] == ["a.parquet", "b.parquet", "v.parquet"]
    assert duckdb.execute("SELECT count(*) FROM read_parquet($1)", [str(published.parquet[2])]).fetchall() == [(10,)]
    with open_warehouse(settings) as warehouse:
        warehouse.execute("DROP VIEW reports.v")
    publish(settings)
    found = {path.name: path.stat().st_mode & 0o777 for path in settings.published_dir.iterdir()}
    assert found == {"a.parquet": 0o600, "b.parquet": 0o600, "warehouse.duckdb": 0o600}


def test_reader_that_opens_over_and_over_never_meets_an_error(settings: Settings, tmp_path: Path) -> None:
    """An analyst's notebook or BI tool must not fail because a run is on."""
    fill(settings, 1)
    publish(settings)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", textwrap.dedent(READER), str(settings.published_dir), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        assert reader.stdout.readline() == "ready\n"
        for mark in range(2, 14):
            fill(settings, mark)
            publish(settings)
        stop.touch()
        opened, _ = map(int, reader.stdout.readline().split() or (0, 0))
        assert reader.wait(20) == 0, reader.stderr.read()
    assert opened > 5


def test_publishing_that_dies_leaves_the_old_files(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(settings, 1)
    publish(settings)
    fill(settings, 2)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_put", _fail)
        with pytest.raises(WarehouseError, match="The old files stay"):
            publish(settings)
    assert list(settings.published_dir.glob(".draft-*"))
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as reader:
        assert reader.execute("SELECT max(mark) FROM reports.a").fetchall() == [(1,)]
    publish(settings)
    assert not list(settings.published_dir.glob(".draft-*"))


def _fail(draft: Path, target: Path) -> Path:
    raise OSError(28, "No space left on device")


def test_nobody_writes_while_the_copy_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a second handle on the file would drop DuckDB's lock, and a writer could slip in under the copy."""
    fill(settings, 1)
    real, said = publishing._export, []

    def exporting(warehouse: object, folder: Path) -> list[Path]:
        code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
        other = subprocess.run(
            [sys.executable, "-c", code, str(settings.warehouse.path)], capture_output=True, text=True, check=False
        )
        said.append(other.stderr)
        return real(warehouse, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "_export", exporting)
    publish(settings)
    assert "Could not set lock" in said[0]


def test_nothing_to_publish_is_said(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match="no warehouse"):
        publish(settings)
    assert not settings.published_dir.exists()


def test_two_tables_of_one_name_are_refused(settings: Settings) -> None:
    fill(settings, 1)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("CREATE TABLE marts.a AS SELECT 1 AS x")
    with pytest.raises(WarehouseError, match="same name"):
        publish(settings)


def test_warehouse_goes_on_after_publishing(settings: Settings, landings: Landings) -> None:
    for number in range(3):
        with open_warehouse(settings) as warehouse:
            warehouse.merge(landings.land("cases", [case("a", lifecycle=str(number))], at=night(number)))
        publish(settings)
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM raw.cases_history").fetchall() == [(3,)]
