"""What is published: a night whole, never locked, switched in one step; the same files of both engines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse import exports, published_folder
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from debitura_pipeline.warehouse.postgres.neighbours import MARK, marked_table
from debitura_pipeline.warehouse.publish import publish, readers_have
from debitura_pipeline.warehouse.tables import all_tables
from tests.support.day import engine_of_the_day
from tests.warehouse.folders import NAMES, fill, marks, nights, shown
from tests.warehouse.landings import Landings, case, night
from tests.warehouse.nights import many_nights
from tests.warehouse.states import state

READER = """
    import sys, duckdb
    seen = 0
    import os
    while not os.path.exists(sys.argv[2]):
        pinned = os.path.realpath(sys.argv[1] + "/current")
        found = {mark for name in ("warehouse", "reports") for (mark,) in duckdb.connect(
            f"{pinned}/{name}.duckdb", read_only=True).execute(
            "SELECT DISTINCT mark FROM reports.a UNION SELECT DISTINCT mark FROM marts.b").fetchall()}
        found |= {mark for (mark,) in duckdb.execute(
            "SELECT DISTINCT mark FROM read_parquet($1)", [pinned + "/*.parquet"]).fetchall()}
        assert len(found) == 1, found
        with duckdb.connect(sys.argv[1] + "/warehouse.duckdb", read_only=True) as connection:
            mark = connection.execute("SELECT max(mark) FROM reports.a").fetchone()[0]
        assert mark >= seen, (mark, seen)
        seen = mark
        print("read", flush=True)
"""
WIDE_ROWS = 150_000


def test_copy_holds_every_table_value_by_value(settings: Settings, landings: Landings) -> None:
    fill(settings, 1)
    with open_warehouse(settings) as warehouse:
        for landed in many_nights(landings):
            warehouse.merge(landed)
        expected = state(warehouse)
    result = publish(settings)
    assert result.path == settings.published_dir / "warehouse.duckdb"
    assert result.bytes == result.path.stat().st_size
    assert [path.name for path in result.parquet] == ["a.parquet", "b.parquet"]
    assert result.csv == [] and result.spreadsheet.is_file()
    with duckdb.connect(result.path, read_only=True) as copy:
        copy.execute("SET TimeZone = 'UTC'")
        for schema, name, columns in all_tables():
            names = ", ".join(f'"{column}"' for column, _ in columns)
            described = copy.execute(f'SELECT {names} FROM {schema}."{name}" LIMIT 0').description or []
            assert [str(kind) for _, kind, *_ in described] == [
                kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for _, kind in columns
            ]
            texts = ", ".join(f'CAST("{column}" AS VARCHAR)' for column, _ in columns)
            found = copy.execute(f'SELECT {texts} FROM {schema}."{name}"').fetchall()
            assert sorted(found, key=repr) == expected[f"{schema}.{name}"]
        views = copy.execute("SELECT count(*) FROM information_schema.tables WHERE table_type = 'VIEW'").fetchone()
        assert views == (3,), "history is not stored a second time"


@engine_of_the_day("postgresql")
def test_each_mart_and_report_is_in_all_files_views_too(settings: Settings) -> None:
    fill(settings, 1)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("CREATE VIEW reports.v AS SELECT * FROM marts.b WHERE i < 10")
        if settings.warehouse.dsn is not None:
            warehouse.execute(f"COMMENT ON VIEW reports.v IS '{MARK}'")
    publish(settings)
    folder = settings.published_dir
    assert shown(folder) == NAMES | {"v.parquet"}
    with duckdb.connect(str(folder / "reports.duckdb"), read_only=True) as reports:
        found = reports.execute("SELECT table_schema, table_name FROM information_schema.tables ORDER BY 2").fetchall()
        assert found == [("reports", "a"), ("marts", "b"), ("reports", "v")]
        assert reports.execute("SELECT count(*) FROM reports.v").fetchall() == [(10,)]
    with open_warehouse(settings) as warehouse:
        warehouse.execute("DROP VIEW reports.v")
    publish(settings)
    assert shown(folder) == NAMES
    assert not [path for path in folder.iterdir() if path.is_symlink() and not path.exists()]


@engine_of_the_day("postgresql")
def test_files_are_the_owners_alone(settings: Settings) -> None:
    fill(settings, 1)
    publish(settings)
    for path in [settings.published_dir, *settings.published_dir.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@engine_of_the_day("postgresql")
def test_group_access_given_to_the_folder_lasts(settings: Settings) -> None:
    """Analysts that read by group would be locked out by the next night, or a group that nobody chose let in."""
    fill(settings, 1)
    folder = publish(settings).path.parent
    analysts = 54321 if os.geteuid() == 0 else os.getgid()
    os.chown(folder, -1, analysts)
    folder.chmod(0o2750)
    night = publish(settings).night.path
    for path in (folder / "nights", night, *night.iterdir()):
        if not path.is_symlink():
            mode = 0o750 if path.is_dir() else 0o640
            assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (analysts, mode), path
    folder.chmod(0o700)
    night = publish(settings).night.path
    for path in (folder / "nights", night, night / "warehouse.duckdb"):
        assert path.stat().st_mode & 0o077 == 0, path


@engine_of_the_day("duckdb")
def test_reader_that_reads_over_and_over_meets_one_night_at_a_time(settings: Settings, tmp_path: Path) -> None:
    """An analyst's notebook or BI tool must not fail, nor add up two nights, because a run is on."""
    fill(settings, 1)
    publish(settings)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", textwrap.dedent(READER), str(settings.published_dir), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        for mark in range(2, 6):
            # In the middle of a reading, and never three nights ahead of it: the reader keeps to the night it began with.
            assert reader.stdout.readline() == "read\n", reader.stderr.read()
            fill(settings, mark)
            publish(settings)
        stop.touch()
        assert reader.wait(30) == 0, reader.stderr.read()


@engine_of_the_day("duckdb")
def test_three_nights_stay_and_an_open_file_longer(settings: Settings) -> None:
    fill(settings, 1)
    first = publish(settings).night
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as reader:
        for mark in range(2, 6):
            fill(settings, mark)
            publish(settings)
        assert not first.path.exists()
        assert reader.execute("SELECT max(mark) FROM reports.a").fetchall() == [(1,)]
    assert len(nights(settings.published_dir)) == 3
    files = [str(settings.published_dir / "nights" / name / "a.parquet") for name in nights(settings.published_dir)]
    kept = [duckdb.execute("SELECT DISTINCT mark FROM read_parquet($1)", [file]).fetchall() for file in files]
    assert kept == [[(3,)], [(4,)], [(5,)]]


@engine_of_the_day("postgresql")
def test_clock_that_goes_back_makes_no_older_night(settings: Settings) -> None:
    fill(settings, 1)
    publish(settings, now=lambda: datetime(2036, 1, 1, tzinfo=UTC))
    fill(settings, 2)
    publish(settings)
    assert nights(settings.published_dir) == ["20360101T000000Z", "20360101T000001Z"]
    assert marks(settings.published_dir) == {2}


@engine_of_the_day("duckdb")
def test_it_is_told_what_is_published_and_as_of_when(settings: Settings, landings: Landings) -> None:
    folder = settings.published_dir
    assert readers_have(folder) == "Nothing is published yet."
    with open_warehouse(settings) as warehouse:
        warehouse.merge(landings.land("cases", [case("a")], at=night(0)))
    publish(settings, now=lambda: datetime(2026, 4, 1, 2, tzinfo=UTC))
    assert readers_have(folder) == "Still published: the night made 2026-04-01 02:00 UTC.", "not everything was read"
    with open_warehouse(settings) as warehouse:
        for resource in ("clients", "transactions"):
            warehouse.merge(landings.land(resource, [], at=night(1)))
    publish(settings, now=lambda: datetime(2026, 4, 1, 3, tzinfo=UTC))
    assert readers_have(folder) == (
        f"Still published: the night as of {night(0):%Y-%m-%d %H:%M} UTC, made 2026-04-01 03:00 UTC."
    )
    (folder / "current" / published_folder.NIGHT_FILE).write_text("{")
    assert "the night made 20" in readers_have(folder)


def test_nobody_writes_while_the_copy_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB: closing a second handle on the file would drop its lock. Postgres: all tables are of one moment."""
    fill(settings, 1)
    said = []
    if settings.warehouse.path is not None:
        copy = shutil.copyfileobj

        def copying(reader: Any, writer: Any, size: int) -> None:
            copy(reader, writer, size)
            code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
            other = [sys.executable, "-c", code, str(settings.warehouse.path)]
            said.append(subprocess.run(other, capture_output=True, text=True, check=False).stderr)

        monkeypatch.setattr(shutil, "copyfileobj", copying)
        publish(settings)
        assert "Could not set lock" in said[0]
        return
    export = PostgresWarehouse.export

    def interrupted(self: PostgresWarehouse, sql: str, path: Path) -> None:
        export(self, sql, path)
        if "marts" in sql:
            said.append(sql)
            with open_warehouse(settings) as other:
                other.execute("UPDATE reports.a SET mark = 2")

    monkeypatch.setattr(PostgresWarehouse, "export", interrupted)
    publish(settings)
    assert marks(settings.published_dir) == {1} and said


def test_nothing_to_publish_is_said(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match="debitura nightly"):
        publish(settings)
    assert not list(settings.published_dir.glob("nights/*"))


@engine_of_the_day("duckdb")
def test_folder_that_cannot_be_written_is_said_in_one_line(settings: Settings) -> None:
    fill(settings, 1)
    settings.data_dir.mkdir(exist_ok=True)
    settings.published_dir.touch()
    with pytest.raises(WarehouseError, match=r"Publishing into .* failed: File exists\. Nothing is published yet\."):
        publish(settings)


@engine_of_the_day("postgresql")
def test_two_tables_of_one_name_are_refused(settings: Settings) -> None:
    fill(settings, 1)
    publish(settings)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("CREATE TABLE marts.a AS SELECT 1 AS x")
        if settings.warehouse.dsn is not None:
            warehouse.execute(marked_table("marts.a"))
    with pytest.raises(WarehouseError, match="same name"):
        publish(settings)
    assert marks(settings.published_dir) == {1}


@engine_of_the_day("duckdb")
def test_files_that_an_earlier_version_left_become_a_night(settings: Settings) -> None:
    folder = settings.published_dir
    folder.mkdir(parents=True)
    with duckdb.connect(folder / "warehouse.duckdb") as old:
        old.execute("CREATE SCHEMA reports; CREATE TABLE reports.a AS SELECT 0 AS mark")
        old.execute(f"COPY reports.a TO '{folder}/a.parquet'; COPY reports.a TO '{folder}/gone.parquet'")
    (folder / ".draft-b.parquet.part").touch()
    fill(settings, 1)
    publish(settings)
    assert marks(folder) == {1} and shown(folder) == NAMES
    (first, second) = nights(folder)
    assert (folder / "nights" / first / "gone.parquet").exists() and second == (folder / "current").resolve().name
    assert not list(folder.glob(".draft-*"))


@engine_of_the_day("postgresql")
def test_folder_that_was_copied_with_its_links_followed(settings: Settings, tmp_path: Path) -> None:
    fill(settings, 1)
    publish(settings)
    subprocess.run(["cp", "-rL", str(settings.published_dir), str(tmp_path / "copy")], check=True)
    subprocess.run(["rm", "-r", str(settings.published_dir)], check=True)
    (tmp_path / "copy").rename(settings.published_dir)
    fill(settings, 2)
    publish(settings)
    assert marks(settings.published_dir) == {2} and shown(settings.published_dir) == NAMES


@engine_of_the_day("postgresql")
def test_warehouse_goes_on_after_publishing(settings: Settings, landings: Landings) -> None:
    for number in range(3):
        with open_warehouse(settings) as warehouse:
            warehouse.merge(landings.land("cases", [case("a", lifecycle=str(number))], at=night(number)))
        publish(settings)
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM raw.cases_history").fetchall() == [(3,)]


def test_wide_rows_do_not_need_more_memory(tmp_path: Path) -> None:
    """Fifty columns of decimals and texts that differ in each row: as the marts of a large partner, and wider."""
    columns = ", ".join(
        f"CAST(i * {n} AS DECIMAL(38, 4)) AS amount_{n}, md5(CAST(i + {n} AS VARCHAR)) AS text_{n}"
        for n in range(1, 26)
    )
    with duckdb.connect(tmp_path / "warehouse.duckdb", config={"memory_limit": "512MiB"}) as warehouse:
        warehouse.execute("SET preserve_insertion_order = false; SET threads = 1; CREATE SCHEMA marts")
        warehouse.execute(f"CREATE TABLE marts.wide AS SELECT {columns} FROM range({WIDE_ROWS}) AS t(i)")
    code = (
        "import sys, pathlib; from debitura_pipeline.warehouse.exports import export_marts;"
        "export_marts(pathlib.Path(sys.argv[1])); print(pathlib.Path('/proc/self/status').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak and int(peak[1]) < 400 * 1024
    rows = duckdb.execute("SELECT count(*) FROM read_parquet($1)", [str(tmp_path / "wide.parquet")]).fetchall()
    assert rows == [(WIDE_ROWS,)] and exports.ROW_GROUP_ROWS < WIDE_ROWS
